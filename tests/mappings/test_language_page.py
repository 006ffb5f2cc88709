"""docs/reference/mapping-language.md names every word of the language and every command, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from mappings.cli import map_group
from mappings.compiler import conditions, library, resources, rules, values

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "mapping-language.md").read_text("utf-8")
NAMED = set(
    re.findall(
        r"[a-z_]+",
        " ".join(re.findall(r"`([^`]*)`", PAGE)) + " ".join(re.findall(r"```yaml(.*?)```", PAGE, re.S)),
    )
)


def test_every_word_is_described() -> None:
    words = {
        *rules.WORDS,
        *values.WORDS,
        *values.CLOCKS,
        *conditions.WORDS,
        *conditions.STATES,
        *resources.WORDS,
        *resources.WRITES,
        *resources.UNIDENTIFIED,
        *library.KINDS,
    }
    assert words - NAMED == set()


def test_every_command_is_described() -> None:
    described = set(re.findall(r"^\| `baton map ([a-z]+)", PAGE, re.M))
    assert described == set(map_group.commands)
