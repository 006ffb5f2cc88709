"""`MapSet.run`: what it promises whatever the message holds (never raises), moments, refusals, findings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.engine import check, load
from mappings.hl7v2.message import Hl7Error, parse
from mappings.result import Source

RECEIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOLDEN = sorted((Path(__file__).parent / "maps" / "golden").glob("*.hl7"))


@pytest.fixture(scope="module")
def maps():
    return load()


def moment(maps, evn: str, msh7: str = "20260215093000Z", **source) -> datetime:
    raw = f"MSH|^~\\&|A|F|B|C|{msh7}||ADT^A08|1|P|2.5.1\r{evn}\rPID|||77^^^M^MR"
    mapped = maps.run(parse(raw.encode()), Source("s", **source), received=RECEIVED)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=mapped.moment)


@pytest.mark.requirement("2.2")
@pytest.mark.parametrize(
    ("evn", "when"),
    [
        ("EVN|A08|20260214120000Z||||20260214110000Z", datetime(2026, 2, 14, 11, tzinfo=UTC)),
        ("EVN|A08|20260214120000Z", datetime(2026, 2, 14, 12, tzinfo=UTC)),
        ("EVN|A08", datetime(2026, 2, 15, 9, 30, tzinfo=UTC)),
        ("EVN|A08|20260214|||", datetime(2026, 2, 15, 9, 30, tzinfo=UTC)),
        ("EVN|A08|99999999", datetime(2026, 2, 15, 9, 30, tzinfo=UTC)),
    ],
)
def test_the_moment_is_evn_6_then_evn_2_then_msh_7(maps, evn, when) -> None:
    assert moment(maps, evn) == when


def test_without_any_time_of_day_it_is_when_the_message_came(maps) -> None:
    assert moment(maps, "EVN|A08", msh7="20260215") == RECEIVED


def test_a_time_in_the_future_counts_as_now(maps) -> None:
    assert moment(maps, "EVN|A08|29991231235959Z") == RECEIVED


def test_a_time_without_offset_is_read_in_the_zone_of_the_source_else_in_order(maps) -> None:
    evn = "EVN|A08|20260214120000"
    assert moment(maps, evn, msh7="20260215", time_zone="America/Chicago") == datetime(
        2026, 2, 14, 18, tzinfo=UTC
    )
    assert moment(maps, evn, msh7="20260215") == datetime(2026, 2, 14, 12, tzinfo=UTC)


def test_fractions_of_a_second_are_kept(maps) -> None:
    assert moment(maps, "EVN|A08|20260214120000.250Z").microsecond == 250_000


def test_the_maps_that_ship_have_no_mistake() -> None:
    assert [str(problem) for problem in check()[1] if not problem.is_warning] == []


def test_findings_hold_nothing_of_the_message(maps) -> None:
    raw = b"MSH|^~\\&|A|F|B|C|bad||ADT^A08|1|P|2.5.1\rPID|||SECRET1^^^SECRET2^SECRET3||SECRET4|||SECRET5"
    mapped = maps.run(parse(raw), Source("s"), received=RECEIVED)
    assert mapped.findings
    assert not [finding for finding in mapped.findings if "SECRET" in finding.text + finding.position]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(GOLDEN).map(lambda path: path.read_bytes().replace(b"\n", b"\r")),
    st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=4)), max_size=6),
)
def test_nothing_that_a_message_holds_makes_it_raise_or_fail(maps, raw, changes) -> None:
    for at, content in changes:
        place = 9 + at % max(len(raw) - 9, 1)
        raw = raw[:place] + content + raw[place + len(content) :]
    try:
        message = parse(raw)
    except Hl7Error:
        return
    mapped = maps.run(message, Source("s"), received=RECEIVED)
    assert mapped.refused is None or mapped.refused.code != "map-failed"
