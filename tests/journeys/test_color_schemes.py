"""In the dark the pages change their colours and nothing else.

So what a browser finds of layout, names and roles in the light holds in the dark too, and only the rules about
colours are asked twice (test_server_pages.py, pages/test_accessibility.py).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "server", ROOT / "smart_app"]
SHEETS = [path for folder in FOLDERS for path in folder.rglob("*.css") if "vendor" not in path.parts]
ASKED = "prefers-color-scheme"
DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{\s*:root \{(?P<declared>[^{}]*)\}\s*\}")
COLOR = r"(#[0-9a-f]{3,8}|rgb\([\d\s/%]+\))"
A_COLOR = re.compile(COLOR, re.IGNORECASE)
A_SHADOW = re.compile(rf"([\d.]+(px)?\s+){{2,4}}{COLOR}(,\s*([\d.]+(px)?\s+){{2,4}}{COLOR})*", re.IGNORECASE)


def of_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("sheet", [path for path in SHEETS if ASKED in path.read_text("utf-8")], ids=of_name)
def test_a_dark_sheet_gives_other_colors_to_names_that_it_has_in_the_light(sheet: Path) -> None:
    text = sheet.read_text("utf-8")
    found = DARK.search(text)
    assert found is not None
    assert text.count(ASKED) == 1
    light = text[: found.start()]
    declared = [line.split(":", 1) for line in found["declared"].split(";") if line.strip()]
    assert declared
    for name, value in declared:
        assert f"{name.strip()}:" in light
        kind = A_SHADOW if name.strip() == "--shadow" else A_COLOR
        assert kind.fullmatch(value.strip()), f"{name.strip()}: {value.strip()}"


def test_no_page_and_no_script_asks_for_the_scheme() -> None:
    sources = [path for folder in FOLDERS for kind in ("*.js", "*.html") for path in folder.rglob(kind)]
    own = [path for path in sources if "vendor" not in path.parts]
    assert own
    assert [of_name(path) for path in own if ASKED in path.read_text("utf-8")] == []


def test_four_sheets_have_dark_colors() -> None:
    """The EHR, the console, the pages of signing in, the app: none was missed."""
    assert len([path for path in SHEETS if ASKED in path.read_text("utf-8")]) == 4
