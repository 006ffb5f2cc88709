"""Sections 2.6 and 2.9: a whole TQ1 -> Timing, and the place of a schedule in a taper."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mappings.datatypes import FUNCTIONS
from mappings.hl7v2.message import parse
from mappings.result import Source
from mappings.scope import Scope


def made(
    function: str, *segments: str, at: int = 0, field: int = 3, repetition: int = 0
) -> tuple[Any, list[str]]:
    """What a function makes of a field of the `at`-th of these segments, and the codes of its findings."""
    header = "MSH|^~\\&|A|B|||20260301120000-0600||RDE^O11|1|P|2.5.1"
    message = parse("\r".join((header, *segments)).encode())
    scope = Scope(Source("s"), message)
    value = message.segments[1 + at].repetitions(field)[repetition]
    return FUNCTIONS[function](value, scope), [finding.code for finding in scope.account.findings]


def tq1(**fields: str) -> str:
    numbered = {int(name[1:]): value for name, value in fields.items()}
    return "TQ1|" + "|".join(numbered.get(number, "") for number in range(1, 15))


@pytest.mark.requirement("2.6")
@pytest.mark.parametrize(
    ("segment", "repeat"),
    [
        (tq1(f3="BID"), {"frequency": 2, "period": 1, "periodUnit": "d"}),
        (
            tq1(f3="QAM", f4="0800"),
            {"frequency": 1, "period": 1, "periodUnit": "d", "timeOfDay": ["08:00:00"]},
        ),
        (tq1(f3="ONCE", f5="6^h"), {"count": 1, "frequency": 1, "period": 6, "periodUnit": "h"}),
        (tq1(f3="PCM", f6="10^d"), {"when": ["PCM"], "boundsDuration": 10}),
        (
            tq1(f3="PCM", f13="30^min", f14="3"),
            {"when": ["PCM"], "duration": 30, "durationUnit": "min", "count": 3},
        ),
        (
            tq1(f3="PCM", f7="20260302", f8="20260305"),
            {"when": ["PCM"], "boundsPeriod": {"start": "2026-03-02", "end": "2026-03-05"}},
        ),
    ],
)
def test_fields_of_a_tq1_are_one_repeat(segment: str, repeat: dict[str, Any]) -> None:
    found, findings = made("tq1", segment)
    content = found["repeat"]
    if "boundsDuration" in content:
        content["boundsDuration"] = content["boundsDuration"]["value"]
    assert content == repeat
    assert findings == []


@pytest.mark.requirement("2.6")
@pytest.mark.parametrize(
    ("start", "length", "end"),
    [
        ("20260302", "3^d", "2026-03-04"),
        ("20260302", "2^wk", "2026-03-15"),
        ("20260302080000-0600", "36^h", "2026-03-03T20:00:00-06:00"),
        ("20260302080000Z", "30^min", "2026-03-02T08:30:00Z"),
        ("20260302", "6^h", None),
        ("202603", "3^d", None),
        ("99991231", "3^d", None),
        ("20260302", "3^mo", None),
    ],
)
def test_a_start_with_a_length_is_a_period_where_its_end_can_be_told(start, length, end) -> None:
    found, _ = made("tq1", tq1(f3="BID", f6=length, f7=start))
    assert found["repeat"]["boundsPeriod"].get("end") == end
    before, _ = made("tq", f"RXE|^BID^{length[0].replace('3', 'D3')}^{start}", field=1)
    assert before["repeat"]["boundsPeriod"]["start"] == found["repeat"]["boundsPeriod"]["start"]


def test_the_end_that_is_sent_wins_over_a_length() -> None:
    found, _ = made("tq1", tq1(f3="BID", f6="9^d", f7="20260302", f8="20260304"))
    assert found["repeat"]["boundsPeriod"] == {"start": "2026-03-02", "end": "2026-03-04"}


def test_what_is_no_length_of_time_is_left_out_with_a_finding() -> None:
    found, findings = made("tq1", tq1(f3="BID", f6="3^mg", f14="many"))
    assert found["repeat"] == {"frequency": 2, "period": 1, "periodUnit": "d"}
    assert findings == ["unit-unknown"]


def test_a_tq1_without_a_pattern_is_read_from_any_field() -> None:
    found, _ = made("tq1", tq1(f7="20260302"), field=7)
    assert found == {"repeat": {"boundsPeriod": {"start": "2026-03-02"}}}


@pytest.mark.requirement("taper")
@pytest.mark.parametrize(
    ("conjunctions", "sequences"),
    [("SS ", [1, 2, 3]), ("A ", [1, 1]), ("ASA ", [1, 1, 2, 2]), (" ", [None]), ("  ", [1, 2])],
)
def test_schedules_after_each_other_are_counted_and_those_beside_each_other_share_a_number(
    conjunctions: str, sequences: list[int | None]
) -> None:
    segments = [tq1(f3="BID", f12=conjunction.strip()) for conjunction in conjunctions]
    others = ("ORC|NW", "RXE||1", *segments, "RXR|PO", tq1(f3="QD"))
    found = [made("dosage_sequence", *others, at=2 + index)[0] for index in range(len(segments))]
    assert found == sequences
    field = "~".join(f"^BID^^^^^^^{conjunction.strip()}" for conjunction in conjunctions)
    repetitions = range(len(conjunctions))
    assert [made("dosage_sequence", f"RXE|{field}", field=1, repetition=n)[0] for n in repetitions] == sequences


@pytest.mark.requirement("give-per")
def test_a_length_of_time_is_a_quantity() -> None:
    found, findings = made("time_span", "RXA|||||||||||||H1".replace("|||H1", "|M30"), field=11)
    assert (found["value"], found["code"], findings) == (Decimal(30), "min", [])
    assert made("time_span", "RXA|||||||||||HOURLY", field=11) == (None, ["unit-unknown"])


@pytest.mark.requirement("2.9")
@pytest.mark.parametrize(
    ("start", "end", "effective", "codes"),
    [
        ("20260302", "", {"effectiveDateTime": "2026-03-02"}, []),
        ("20260302", "20260302", {"effectiveDateTime": "2026-03-02"}, []),
        ("20260302", "20260303", {"effectivePeriod": {"start": "2026-03-02", "end": "2026-03-03"}}, []),
        ("20260302", "20260301", {"effectiveDateTime": "2026-03-02"}, ["period-reversed"]),
        ("20261399", "", {"effectiveDateTime": "2026-03-01T12:00:00-06:00"}, ["time-invalid"]),
    ],
)
def test_an_administration_has_a_time_or_a_period(start, end, effective, codes) -> None:
    assert made("administration_time", f"RXA|0|1|{start}|{end}|1") == (effective, codes)


@pytest.mark.requirement("2.9")
def test_where_it_is_dispensed_to_is_a_chain_of_places() -> None:
    found, _ = made("la", "RXD|||||||||||||3N^301^A^SYN&1.2.3&ISO^^^^^1 SAMPLE WAY", field=13)
    assert found["display"] == "A"
