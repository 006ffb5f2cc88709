"""Reference pages say what the program does: every kind of error, every limit.

Covers docs/reference/errors.md, docs/reference/limits.md.
"""

from __future__ import annotations

import re
import runpy
from dataclasses import asdict
from pathlib import Path

import pytest

from server.errors import KINDS
from server.fhir.validation_codes import accepts_code
from server.hl7v2.sources import SourceSettings
from server.interactions.request import Limits
from server.mllp.limits import Limits as ListenerLimits

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"


def generator() -> dict:
    return runpy.run_path(str(ROOT / "docs" / "generate_errors.py"))


def test_every_kind_of_error_is_described_and_no_other() -> None:
    said = generator()["descriptions"]()
    assert set(said) == set(KINDS)
    for name, words in said.items():
        assert set(words) == {"when", "do"}, name
        assert all(text.endswith((".", ")", ".)")) for text in words.values()), name


def test_the_page_of_errors_is_current() -> None:
    made = generator()
    assert (REFERENCE / "errors.md").read_text("utf-8") == made["page"](KINDS, made["descriptions"]()), (
        "run `make generate`"
    )


def test_codes_of_errors_are_those_of_the_value_set() -> None:
    known = accepts_code("http://hl7.org/fhir/ValueSet/issue-type")
    assert not known("nonsense")
    assert [kind.code for kind in KINDS.values() if not known(kind.code)] == []


@pytest.mark.parametrize(("name", "value"), asdict(Limits()).items())
def test_every_limit_stands_on_the_page_with_its_value(name: str, value: int) -> None:
    settable = (REFERENCE / "limits.md").read_text("utf-8").partition("\nFixed:")[0]
    rows = [line for line in settable.splitlines() if line.startswith("| ")]
    names = f"`{name.replace('_', '-')}`"
    (row,) = (row for row in rows if names in row.split("|")[2])
    place = re.findall(r"`[a-z-]+`", row.split("|")[2]).index(names)
    figures = [int(figure.replace(",", "")) for figure in re.findall(r"\d[\d,]*\d|\d", row.split("|")[3])]
    assert figures[place] == value


def test_every_limit_of_the_listener_stands_on_its_page_with_its_value() -> None:
    page = (REFERENCE / "hl7v2-listener.md").read_text("utf-8").partition("\n## Limits")[2]
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    said = {
        name: int(figure.replace(",", ""))
        for names, figures in rows
        for name, figure in zip(
            re.findall(r"`([a-z-]+)`", names), re.findall(r"\d[\d,]*\d|\d", figures), strict=True
        )
    }
    assert said == {name.replace("_", "-"): value for name, value in asdict(ListenerLimits()).items()}


def test_every_setting_of_a_source_stands_on_the_page_of_the_listener() -> None:
    page = (REFERENCE / "hl7v2-listener.md").read_text("utf-8")
    assert [name for name in asdict(SourceSettings()) if f"`{name}`" not in page] == []
