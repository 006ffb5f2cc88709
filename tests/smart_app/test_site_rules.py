"""A site's own safety rules in BATON_HOME: used when they hold, named when they do not.

Covers docs/safety.md, "Rules of your own".
"""

from __future__ import annotations

from pathlib import Path

import pytest

from smart_app.joining import SITE_RULES, read_site_rules
from smart_app.settings import SettingsError, read_settings

RULE = """
age_from = 65
[[rule]]
id = "site-1"
drugs.groups = ["benzodiazepine"]
severity = "moderate"
effect = "The licensed text."
action = "Ask."
source = "The licensed set"
year = 2023
basis = "read"
"""


def rules(home: Path, text: str | None) -> list[str]:
    if text is not None:
        (home / SITE_RULES).write_text(text, encoding="utf-8")
    return [rule.id for rule in read_site_rules(read_settings({"BATON_HOME": str(home)}, demo=True))]


def test_the_file_of_a_site_is_read_and_none_is_needed(tmp_path: Path) -> None:
    assert rules(tmp_path, None) == []
    assert rules(tmp_path, RULE) == ["site-1"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (RULE.replace("benzodiazepine", "no-such-group"), "site-1.*no-such-group"),
        (RULE.replace('"moderate"', '"grave"'), "site-1.*grave"),
        (RULE + "conditions = ['none']", "site-1.*none"),
        ("rule = 7", "safety-rules.toml"),
        ("[[rule]", "safety-rules.toml"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_and_says_why(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        rules(tmp_path, text)
