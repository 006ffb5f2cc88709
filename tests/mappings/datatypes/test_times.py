"""Section 2.1, DTM/TS, DT, TM, DR: precision and offset stay as sent, an offset is never made up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.datatypes.moment import NoTime, parse
from mappings.datatypes.times import microseconds
from mappings.hl7v2.message import parse as message_of
from mappings.result import Source
from mappings.scope import Scope

NEW_YORK = Source("east", "America/New_York")
Ask = Callable[..., Any]


@pytest.mark.parametrize(
    ("sent", "result"),
    [
        ("2024", "2024"),
        ("202402", "2024-02"),
        ("20240229", "2024-02-29"),
        ("202402291015-0500", "2024-02-29T10:15:00-05:00"),
        ("20240229101530-0500", "2024-02-29T10:15:30-05:00"),
        ("20240229101530.1200+0100", "2024-02-29T10:15:30.1200+01:00"),
    ],
)
def test_precision_is_that_of_what_was_sent(sent: str, result: str, ask: Ask) -> None:
    answer = ask("dtm", sent)
    assert answer.result == result
    assert answer.used == {"1.1": [""]}
    assert answer.findings == []


def test_minutes_without_seconds_get_seconds_of_zero(ask: Ask) -> None:
    assert ask("dtm", "202402291015+0000").result == "2024-02-29T10:15:00+00:00"


def test_an_hour_alone_leaves_the_date_and_a_finding(ask: Ask) -> None:
    answer = ask("dtm", "2024022910")
    assert (answer.result, answer.findings) == ("2024-02-29", ["time-hour-only"])


@pytest.mark.parametrize(
    ("sent", "result"),
    [
        ("202403010900+0530", "2024-03-01T09:00:00+05:30"),
        ("202403010900+00", "2024-03-01T09:00:00+00:00"),
        ("202403010900-05:00", "2024-03-01T09:00:00-05:00"),
        ("202403010900Z", "2024-03-01T09:00:00Z"),
    ],
)
def test_an_offset_is_kept_as_sent_whatever_the_zone_of_the_source(sent: str, result: str, ask: Ask) -> None:
    assert ask("dtm", sent, source=NEW_YORK).result == result


@pytest.mark.parametrize(
    ("sent", "result"),
    [("202401151200", "2024-01-15T12:00:00-05:00"), ("202407151200", "2024-07-15T12:00:00-04:00")],
)
def test_without_an_offset_the_zone_of_the_source_gives_the_one_of_that_day(
    sent: str, result: str, ask: Ask
) -> None:
    assert ask("dtm", sent, source=NEW_YORK, header_time="20240115120000+0000").result == result


@pytest.mark.parametrize(
    ("sent", "code"), [("202411030130", "time-ambiguous"), ("202403100230", "time-skipped")]
)
def test_a_local_time_that_was_there_twice_or_never_leaves_the_date(sent: str, code: str, ask: Ask) -> None:
    answer = ask("dtm", sent, source=NEW_YORK)
    assert answer.result == f"{sent[:4]}-{sent[4:6]}-{sent[6:8]}"
    assert answer.findings == [code]


def test_without_a_zone_the_offset_of_the_message_is_taken(ask: Ask) -> None:
    answer = ask("dtm", "202401151200", header_time="20240115120000-0600")
    assert (answer.result, answer.findings) == ("2024-01-15T12:00:00-06:00", [])


def test_without_any_offset_only_the_date_is_kept(ask: Ask) -> None:
    answer = ask("dtm", "202401151200", header_time="20240115120000")
    assert (answer.result, answer.findings) == ("2024-01-15", ["time-without-offset"])


@pytest.mark.parametrize("zone", ["Nowhere/Town", "../etc/passwd", "x" * 300])
def test_a_zone_that_nobody_knows_leaves_the_date(zone: str, ask: Ask) -> None:
    answer = ask("dtm", "202401151200", source=Source("x", zone))
    assert (answer.result, answer.findings) == ("2024-01-15", ["time-zone-unknown"])


def test_a_time_before_there_were_zones_leaves_the_date(ask: Ask) -> None:
    assert ask("dtm", "188001011200", source=NEW_YORK).result == "1880-01-01"


@pytest.mark.parametrize(
    "sent", ["0000", "00000000", "99999999", "20230229", "hello", "2024-", "20240101-05", "1"]
)
def test_what_is_no_date_gives_nothing_and_a_finding(sent: str, ask: Ask) -> None:
    answer = ask("dtm", sent)
    assert (answer.result, answer.findings, answer.unread) == (None, ["time-invalid"], {"1.1"})


@pytest.mark.parametrize("sent", ["", '""', "   "])
def test_an_empty_field_and_a_deleted_one_give_nothing(sent: str, ask: Ask) -> None:
    answer = ask("dtm", f"{sent}^x", field=1)
    assert (answer.result, answer.findings) == (None, [])


@pytest.mark.parametrize(("sent", "result"), [("19800000", "1980"), ("19800500", "1980-05")])
def test_a_month_or_day_of_zeros_is_unknown(sent: str, result: str, ask: Ask) -> None:
    answer = ask("dtm", sent)
    assert (answer.result, answer.findings) == (result, ["time-part-zero"])


@pytest.mark.parametrize("sent", ["202401012560", "20240101240000", "202401011260"])
def test_a_time_that_no_clock_shows_leaves_the_date(sent: str, ask: Ask) -> None:
    answer = ask("dtm", sent)
    assert (answer.result, answer.findings) == ("2024-01-01", ["time-of-day-invalid"])


@pytest.mark.parametrize("sent", ["202401011200+1500", "202401011200-0575"])
def test_an_offset_that_no_place_has_leaves_the_date_and_is_not_replaced(sent: str, ask: Ask) -> None:
    answer = ask("dtm", sent, source=NEW_YORK)
    assert (answer.result, answer.findings) == ("2024-01-01", ["time-offset-invalid"])


@pytest.mark.parametrize(
    ("sent", "result"),
    [
        ("2024-05-01", "2024-05-01"),
        ("2024-05", "2024-05"),
        ("2024-05-01T10:00:00.5-05:00", "2024-05-01T10:00:00.5-05:00"),
        ("2024-05-01 10:00Z", "2024-05-01T10:00:00Z"),
    ],
)
def test_dates_with_the_separators_of_iso_8601_are_read_too(sent: str, result: str, ask: Ask) -> None:
    assert ask("dtm", sent).result == result


@pytest.mark.parametrize(
    ("degree", "result"),
    [
        ("Y", "2024"),
        ("L", "2024-05"),
        ("H", "2024-05-01"),
        ("M", "2024-05-01T10:15:00-05:00"),
        ("S", "2024-05-01T10:15:30.5-05:00"),
        ("?", "2024-05-01T10:15:30.5-05:00"),
    ],
)
def test_the_degree_of_precision_of_a_ts_limits_what_counts(degree: str, result: str, ask: Ask) -> None:
    assert ask("dtm", f"20240501101530.5-0500^{degree}").result == result


def test_the_degree_of_precision_counts_as_read(ask: Ask) -> None:
    answer = ask("dtm", "20240501101530-0500^D")
    assert answer.result == "2024-05-01"
    assert answer.used == {"1.1": [""], "2.1": [""]}


def test_a_date_is_the_day_as_sent_in_whatever_zone(ask: Ask) -> None:
    answer = ask("dtm_date", "202405012330-0500")
    assert (answer.result, answer.findings) == ("2024-05-01", [])


def test_a_birth_time_is_only_there_where_a_time_was_sent(ask: Ask) -> None:
    assert ask("dtm_time", "20240501").result is None
    assert ask("dtm_time", "202405010307-0500").result == "2024-05-01T03:07:00-05:00"


def test_an_instant_needs_a_time_and_an_offset(ask: Ask) -> None:
    assert ask("dtm_instant", "20240501101530-0500").result == "2024-05-01T10:15:30-05:00"
    assert ask("dtm_instant", "20240501").findings == ["time-no-instant"]
    assert ask("dtm_instant", "202405011015", header_time="").result is None


@pytest.mark.parametrize(
    ("sent", "result"), [("1015", "10:15:00"), ("101530.25", "10:15:30.25"), ("10:15", "10:15:00")]
)
def test_a_time_of_day_is_written_to_the_second(sent: str, result: str, ask: Ask) -> None:
    assert ask("tm", sent).result == result


@pytest.mark.parametrize("sent", ["10", "2460", "noon", "25"])
def test_what_is_no_time_of_day_is_left_out(sent: str, ask: Ask) -> None:
    answer = ask("tm", sent)
    assert answer.result is None
    assert answer.findings


def test_dr_is_a_period(ask: Ask) -> None:
    answer = ask("dr", "20240101^20240201")
    assert answer.result == {"start": "2024-01-01", "end": "2024-02-01"}
    assert answer.used == {"1.1": ["start"], "2.1": ["end"]}


@pytest.mark.parametrize(
    ("start", "end", "reversed_"),
    [
        ("20240101120000.5+0000", "20240101120000.4+0000", True),
        ("20240101120000.4+0000", "20240101120000.5+0000", False),
        ("20240101120000+0000", "20240101080000-0500", False),
        ("20240101120000+0000", "20240101060000-0500", True),
        ("20240102", "202401", False),
        ("202402", "20240131", True),
    ],
)
def test_periods_compare_moments_or_the_days_that_both_name(
    start: str, end: str, reversed_: bool, ask: Ask
) -> None:
    assert ("end" not in ask("dr", f"{start}^{end}").result) is reversed_


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("19700101000001.25+0000", 1_250_000),
        ("19700101010000+0100", 0),
        ("197001010000Z", 0),
        ("19691231235960+0000", -1_000_000),
        ("19700101", None),
        ("", None),
        ("x", None),
    ],
)
def test_the_time_of_an_event_is_microseconds_where_its_offset_is_known(
    sent: str, expected: int | None
) -> None:
    message = message_of(f"MSH|^~\\&|A|B\rEVN||{sent}\r".encode())
    assert microseconds(message.get("EVN-2"), Scope(Source("x"), message)) == expected


@pytest.mark.parametrize("sent", ["00010101000000+1400", "99991231235959-1200"])
def test_the_first_and_the_last_hours_of_the_calendar_are_times_too(sent: str) -> None:
    message = message_of(f"MSH|^~\\&|A|B\rEVN||{sent}\r".encode())
    found = microseconds(message.get("EVN-2"), Scope(Source("x"), message))
    assert found is not None
    assert (found < 0) is sent.startswith("0001")


def test_a_period_never_ends_before_it_starts(ask: Ask) -> None:
    answer = ask("dr", "20240201^20240101")
    assert answer.result == {"start": "2024-02-01"}
    assert (answer.findings, answer.unread) == (["period-reversed"], {"2.1"})


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.sampled_from(["Europe/Berlin", "Asia/Kolkata"])
)
def test_the_offset_of_a_zone_is_the_one_that_the_zone_has(moment: datetime, zone: str) -> None:
    local = moment.replace(microsecond=0)
    aware = [local.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1)]
    try:
        found = parse(local.strftime("%Y%m%d%H%M%S").rjust(14, "0")).in_zone(zone)
    except NoTime:
        offsets = [one.utcoffset() for one in aware]
        assert offsets[0] != offsets[1] or offsets[0].total_seconds() % 60  # type: ignore[union-attr]
    else:
        assert datetime.fromisoformat(found.written) == aware[0]


@given(st.text(alphabet="0123456789+-:.TZ ", max_size=24))
def test_nothing_of_a_time_is_made_up(sent: str) -> None:
    try:
        found = parse(sent)
    except NoTime:
        return
    digits = [c for c in sent if c.isdigit()]
    kept = [c for c in f"{found.day}{found.time.removesuffix(':00')}" if c.isdigit()]
    assert kept == digits[: len(kept)]
    assert not found.offset or any(sign in sent[4:] for sign in "+-Z")


@pytest.mark.parametrize(
    ("start", "end", "made", "findings"),
    [
        ("20260216", "20260217", {"start": "2026-02-16", "end": "2026-02-17"}, []),
        ("20260216", "", {"start": "2026-02-16"}, []),
        ("20260216", "20260215", {"start": "2026-02-16"}, ["period-reversed"]),
        ("nonsense", "20260216", {"end": "2026-02-16"}, ["time-invalid"]),
        ("nonsense", "", None, ["time-invalid"]),
    ],
)  # fmt: skip
def test_a_period_ends_at_the_next_field(ask, start, end, made, findings) -> None:
    answer = ask("dtm_period", segment=f"OBR|1||||||{start}|{end}", field=7)
    assert (answer.result, answer.findings) == (made, findings)
