"""The reference page says what the parser does: every code of a finding, every structure.

Covers docs/reference/hl7v2-parser.md, mappings/findings.json.
"""

from __future__ import annotations

import re
from pathlib import Path

from mappings.findings import FINDINGS
from mappings.hl7v2.abstract_syntax import structures
from mappings.hl7v2.fields import segments

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "reference" / "hl7v2-parser.md").read_text("utf-8")


def test_every_code_of_a_finding_is_on_the_page_and_no_other() -> None:
    made = {
        code
        for path in (ROOT / "mappings" / "hl7v2").glob("*.py")
        for code in re.findall(r"Finding\(\s*\"([a-z-]+)\"", path.read_text("utf-8"))
    }
    assert made <= set(FINDINGS)
    section = PAGE.partition("## Findings")[2].partition("## Refusals")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)) == made


def test_every_structure_is_on_the_page() -> None:
    section = PAGE.partition("## Structures and groups")[2].partition("## Acknowledgements")[0]
    assert [name for name in structures() if name not in section and not name.startswith("ADT_")] == []


def test_the_number_of_named_segments_is_on_the_page() -> None:
    assert f"tables of {len(segments())} segments" in PAGE
