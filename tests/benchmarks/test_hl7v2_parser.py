"""The parsers that are compared read the same values of the same messages, and are compared round by round.

Covers benchmarks/hl7v2_parser.py, benchmarks/bars.py.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def parsers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """hl7v2_parser."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("hl7v2_parser")


def test_every_parser_reads_the_same_values(parsers: ModuleType) -> None:
    for make, results in parsers.MESSAGES.values():
        read = {name: work(make(), results) for name, work in parsers.PARSERS.items()}
        assert read["Baton"][:4] == ["T-100", "Probe", "W1", "V-77"]
        assert len(read["Baton"]) == 4 + 2 * results
        assert all(values == read["Baton"] for values in read.values())


def test_the_admission_is_of_the_size_that_is_told(parsers: ModuleType) -> None:
    assert parsers.admission().count(b"\r") == 13
    assert parsers.report().count(b"\rOBX|") == parsers.RESULTS


def test_ratios_are_those_of_neighbouring_rounds(parsers: ModuleType) -> None:
    found = [
        parsers.Rates("a message", "Baton", [100.0, 300.0, 400.0]),
        parsers.Rates("a message", "hl7", [50.0, 100.0, 100.0]),
    ]
    assert parsers.times(found, "a message", "hl7") == pytest.approx(3.0)
    assert parsers.admissions_a_second(found) == 300.0


@pytest.mark.parametrize(("rate", "holds"), [(20_000.0, True), (19_999.0, False)])
def test_admissions_meet_the_bar_or_miss_it(parsers: ModuleType, rate: float, holds: bool) -> None:
    bars = importlib.import_module("bars")
    (verdict,) = bars.parser_verdicts([parsers.Rates("a message", "Baton", [rate])])
    assert verdict.holds is holds
    assert bars.parser_verdicts([]) == []
