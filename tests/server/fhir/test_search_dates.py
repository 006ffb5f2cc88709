"""Dates as ranges, and the nine prefixes against every way two ranges can lie.

Covers hl7.org/fhir/R4/search.html#prefix and #date, hl7.org/fhir/R4/datatypes.html#dateTime.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fhir.criteria import indexed, matches
from server.fhir.dates import EARLIEST, LATEST, date_range, zone
from server.fhir.search_parsing import parse_search

NEW_YORK = "America/New_York"


def at(*parts: int, tz: str = "UTC") -> int:
    moment = datetime(*parts, tzinfo=ZoneInfo(tz))  # type: ignore[arg-type]
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2024", at(2024, 1, 1, tz=NEW_YORK), at(2025, 1, 1, tz=NEW_YORK)),
        ("2024-02", at(2024, 2, 1, tz=NEW_YORK), at(2024, 3, 1, tz=NEW_YORK)),
        ("2024-12", at(2024, 12, 1, tz=NEW_YORK), at(2025, 1, 1, tz=NEW_YORK)),
        ("2024-02-29", at(2024, 2, 29, tz=NEW_YORK), at(2024, 3, 1, tz=NEW_YORK)),
        # 23 and 25 hours long: the clocks change on these days
        ("2024-03-10", at(2024, 3, 10, 5), at(2024, 3, 11, 4)),
        ("2024-11-03", at(2024, 11, 3, 4), at(2024, 11, 4, 5)),
        ("2024-05-01T10:20", at(2024, 5, 1, 14, 20), at(2024, 5, 1, 14, 21)),
        ("2024-05-01T10:20:30", at(2024, 5, 1, 14, 20, 30), at(2024, 5, 1, 14, 20, 31)),
        ("2024-05-01T10:20Z", at(2024, 5, 1, 10, 20), at(2024, 5, 1, 10, 21)),
        ("2024-05-01T10:20:30Z", at(2024, 5, 1, 10, 20, 30), at(2024, 5, 1, 10, 20, 31)),
        ("2024-05-01T10:20:30+05:30", at(2024, 5, 1, 4, 50, 30), at(2024, 5, 1, 4, 50, 31)),
        ("2024-05-01T10:20:30-05:00", at(2024, 5, 1, 15, 20, 30), at(2024, 5, 1, 15, 20, 31)),
        ("2024-05-01T10:20:30.5Z", at(2024, 5, 1, 10, 20, 30, 500000), at(2024, 5, 1, 10, 20, 30, 600000)),
        ("2024-05-01T10:20:30.123Z", at(2024, 5, 1, 10, 20, 30, 123000), at(2024, 5, 1, 10, 20, 30, 124000)),
        (
            "2024-05-01T10:20:30.123456789Z",
            at(2024, 5, 1, 10, 20, 30, 123456),
            at(2024, 5, 1, 10, 20, 30, 123457),
        ),
        ("2016-12-31T23:59:60Z", at(2017, 1, 1), at(2017, 1, 1, 0, 0, 1)),
    ],
)
def test_a_date_is_the_range_of_its_precision_in_the_practices_zone(text: str, low: int, high: int) -> None:
    assert date_range(text, zone(NEW_YORK)) == (low, high)


@pytest.mark.parametrize("text", ["0001", "0001-01-01T00:00:00+14:00", "9999", "9999-12", "9999-12-31"])
@pytest.mark.parametrize("name", ["UTC", NEW_YORK, "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_ends_of_the_calendar_are_dates_too(text: str, name: str) -> None:
    low, high = date_range(text, zone(name))
    assert EARLIEST < low < high < LATEST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "24",
        "2024-",
        "2024-13",
        "2024-00",
        "2024-02-30",
        "2023-02-29",
        "2024-1-1",
        "0000",
        "0000-01-01",
        "2024-05-01T",
        "2024-05-01T10",
        "2024-05-01T24:00",
        "2024-05-01T10:60",
        "2024-05-01T10:20:61Z",
        "2024-05-01T10:20:30+15:00",
        "2024-05-01T10:20:30+05:60",
        "2024-05-01 10:20",
        "2024-05-01Z",
        "2024\n",
        "٢٠٢٤",
        "2024-05-01T10:20:30.Z",
        "now",
    ],
)
def test_what_is_no_date_of_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        date_range(text, zone("UTC"))


@given(st.dates(), st.sampled_from(["UTC", NEW_YORK, "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia"]))
def test_days_follow_each_other_without_gap_or_overlap(day: object, name: str) -> None:
    _, end = date_range(f"{day:%Y}".zfill(4) + f"{day:-%m-%d}", zone(name))
    following = day + timedelta(days=1) if str(day) != "9999-12-31" else None  # type: ignore[operator]
    if following is not None:
        start, _ = date_range(f"{following:%Y}".zfill(4) + f"{following:-%m-%d}", zone(name))
        assert start == end


# The prefixes. For each precision of the search [q0, q1), and each way a resource's period can lie to it,
# which prefixes match.

PRECISIONS = {
    "year": ("2024", at(2024, 1, 1, tz=NEW_YORK), at(2025, 1, 1, tz=NEW_YORK)),
    "month": ("2024-03", at(2024, 3, 1, tz=NEW_YORK), at(2024, 4, 1, tz=NEW_YORK)),
    "day": ("2024-03-10", at(2024, 3, 10, tz=NEW_YORK), at(2024, 3, 11, tz=NEW_YORK)),
    "minute": ("2024-03-05T10:20Z", at(2024, 3, 5, 10, 20), at(2024, 3, 5, 10, 21)),
    "second": ("2024-03-05T10:20:30Z", at(2024, 3, 5, 10, 20, 30), at(2024, 3, 5, 10, 20, 31)),
}
STEP = 10_000  # microseconds: less than the finest precision above

# shape -> (start and end, each relative to q0 or q1 in steps, None for open), prefixes that match
SHAPES: dict[str, tuple[tuple[str, int] | None, tuple[str, int] | None, str]] = {
    "before": (("q0", -5), ("q0", -2), "ne lt le eb"),
    "up to the start": (("q0", -5), ("q0", 0), "ne lt le eb"),
    "over the start": (("q0", -5), ("q0", 3), "ne lt le ap"),
    "within": (("q0", 3), ("q0", 5), "eq ge le ap"),
    "from the start": (("q0", 0), ("q0", 5), "eq ge le ap"),
    "to the end": (("q1", -5), ("q1", 0), "eq ge le ap"),
    "the same": (("q0", 0), ("q1", 0), "eq ge le ap"),
    "around": (("q0", -5), ("q1", 5), "ne gt lt ge le ap"),
    "over the end": (("q1", -3), ("q1", 5), "ne gt ge ap"),
    "from the end": (("q1", 0), ("q1", 5), "ne gt ge sa"),
    "after": (("q1", 2), ("q1", 5), "ne gt ge sa"),
    "open start, ended before": (None, ("q0", -5), "ne lt le eb"),
    "open start, ended within": (None, ("q0", 5), "ne lt le ap"),
    "open start, ended after": (None, ("q1", 5), "ne gt lt ge le ap"),
    "open end, begun before": (("q0", -5), None, "ne gt lt ge le ap"),
    "open end, begun within": (("q0", 5), None, "ne gt ge ap"),
    "open end, begun after": (("q1", 5), None, "ne gt ge sa"),
}
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def _instant(microseconds: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.requirement("U3")
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_prefix_against_period(shape: str, precision: str, prefix: str) -> None:
    text, q0, q1 = PRECISIONS[precision]
    start, end, matching = SHAPES[shape]
    place = {"q0": q0, "q1": q1}
    period = {}
    if start is not None:
        period["start"] = _instant(place[start[0]] + start[1] * STEP)
    if end is not None:  # the last millisecond belongs to the period
        period["end"] = _instant(place[end[0]] + end[1] * STEP - 1000)
    resource = {"resourceType": "Observation", "status": "final", "effectivePeriod": period}
    query = parse_search("Observation", [("date", prefix + text)], time_zone=NEW_YORK)
    found = matches(indexed(resource, time_zone=NEW_YORK), query)
    assert found == (prefix in matching.split())


@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_prefix_finds_a_resource_without_the_date(prefix: str) -> None:
    resource = {"resourceType": "Observation", "status": "final"}
    assert not matches(indexed(resource), parse_search("Observation", [("date", prefix + "2024")]))


def test_no_prefix_means_equal() -> None:
    bare, written = (parse_search("Observation", [("date", text)]) for text in ("2024", "eq2024"))
    assert bare.conditions == written.conditions


def test_approximate_reaches_a_tenth_of_the_distance_to_now() -> None:
    now = datetime(2024, 1, 11, tzinfo=UTC)  # ten days after the first: one day either way
    for day, found in (
        ("2023-12-31", True),
        ("2023-12-30", False),
        ("2024-01-02", True),
        ("2024-01-04", False),
    ):
        resource = {"resourceType": "Observation", "status": "final", "effectiveDateTime": day}
        query = parse_search("Observation", [("date", "ap2024-01-01")], now=now)
        assert matches(indexed(resource), query) is found, day


def test_a_plus_sign_that_arrived_as_a_space_is_understood() -> None:
    written = parse_search("Observation", [("date", "2024-05-01T10:20:30+05:00")])
    decoded = parse_search("Observation", [("date", "2024-05-01T10:20:30 05:00")])
    assert written.conditions == decoded.conditions


@pytest.mark.parametrize(
    ("timing", "query", "found"),
    [
        ({"event": ["2024-01-01", "2024-03-01"]}, "2024-02-01", False),
        ({"event": ["2024-01-01", "2024-03-01"]}, "ap2024-02-01", True),  # only the outer limits count
        ({"event": ["2024-01-01", "2024-03-01"]}, "2024", True),
        ({"repeat": {"boundsPeriod": {"start": "2024-02-01"}}}, "gt2030", True),
        ({"repeat": {"frequency": 1}}, "gt1900", False),
    ],
)
def test_a_timing_reaches_from_its_first_to_its_last_event(timing: dict, query: str, found: bool) -> None:
    resource = {"resourceType": "Observation", "status": "final", "effectiveTiming": timing}
    assert matches(indexed(resource), parse_search("Observation", [("date", query)])) is found
