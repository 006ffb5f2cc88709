"""When that ends which starts with a length: in the fields of lengths.csv (sections 2.1 and 2.8)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.datatypes import FUNCTIONS
from mappings.hl7v2.message import parse
from mappings.result import Source
from mappings.scope import Scope

HEADER = "MSH|^~\\&|A|B|||20260301120000-0500||SIU^S12|1|P|2.5.1"
START = "20260301090000-0500"


def end(segment: str, field: int, *others: str, component: int = 0):
    """The end, the findings, and what was read for it, of what starts in a field of a segment."""
    message = parse("\r".join((HEADER, segment, *others)).encode())
    scope = Scope(Source("s"), message)
    (value,) = message.segments[1].repetitions(field)
    made = FUNCTIONS["dtm_end"](value.part(component) if component else value, scope)
    return made, [finding.code for finding in scope.account.findings], len(scope.account.uses)


@pytest.mark.requirement("2.8")
@pytest.mark.parametrize(
    ("segment", "field", "component"),
    [
        (f"SCH|1||||||||90|min|^^^{START}", 11, 4),
        (f"SCH|1||||||||1.5|h|^^^{START}", 11, 4),
        (f"SCH|1||||||||||^^M90^{START}", 11, 4),
        (f"TQ1|1|||||1.5^h|{START}", 7, 0),
        (f"AIS|1||X|{START}|||90|min", 4, 0),
        (f"AIG|1||X|||||{START}|||90|min", 8, 0),
        (f"AIL|1||X|||{START}|||90|min", 6, 0),
        (f"AIP|1||X|||{START}|||5400|s", 6, 0),
    ],
)
def test_a_length_beside_a_start_makes_the_end(segment, field, component) -> None:
    made, findings, used = end(segment, field, component=component)
    assert made == "2026-03-01T10:30:00-05:00"
    assert findings == []
    assert used >= 2, "start and length were read"


@pytest.mark.requirement("2.8")
@pytest.mark.parametrize(
    ("segment", "field"), [(f"AIP|1||X|||{START}", 6), (f"AIS|1||X|{START}", 4), (f"TQ1|1||||||{START}", 7)]
)
def test_what_has_no_length_of_its_own_lasts_as_long_as_the_appointment(segment, field) -> None:
    assert end(segment, field, "SCH|1||||||||20|min")[0] == "2026-03-01T09:20:00-05:00"
    assert end(segment, field)[0] is None


@pytest.mark.parametrize("length", ["", "0", "-5", "long", "99999999999999999999", "1e9", '""'])
def test_what_is_no_length_makes_no_end(length) -> None:
    assert end(f"AIS|1||X|{START}|||{length}|min", 4)[0] is None


@pytest.mark.parametrize("start", ["20260301", "2026030109", "nonsense", '""', "99991231235900-0500"])
def test_what_is_no_start_makes_no_end(start) -> None:
    assert end(f"AIS|1||X|{start}|||30|min", 4)[0] is None


@pytest.mark.parametrize("spelled", ["M0", "L2", "X5", "M999999999", "W999999999", "30"])
def test_a_length_in_the_letters_of_a_timing_is_a_time_or_nothing(spelled) -> None:
    made = end(f"SCH|1||||||||||^^{spelled}^{START}", 11, component=4)[0]
    assert made is None or datetime.fromisoformat(made) > datetime.fromisoformat("2026-03-01T09:00:00-05:00")


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(1, 525_600))
def test_an_end_is_as_far_from_its_start_as_the_length_says(start, minutes) -> None:
    start = start.replace(microsecond=0)
    made = end(f"AIS|1||X|{start:%Y%m%d%H%M%S}Z|||{minutes}|min", 4)[0]
    assert datetime.fromisoformat(made).replace(tzinfo=None) - start == timedelta(minutes=minutes)
