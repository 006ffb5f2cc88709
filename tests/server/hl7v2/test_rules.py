"""Modes of acknowledgement, times for the order of events, settings of sources: rules without a database.

Covers server/hl7v2/modes.py, server/hl7v2/timestamps.py, server/hl7v2/sources.py.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fhir.dates import microseconds as of
from server.hl7v2.modes import ACCEPTED, ERROR, REJECTED, is_due, mode_of, word_of
from server.hl7v2.sources import (
    SourceError,
    SourceSettings,
    known_source,
    read_settings,
    write_settings,
)
from server.hl7v2.timestamps import microseconds
from server.storage.hl7v2_sources import SourceRow

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.requirement("MLLP11")
def test_both_conditions_empty_is_original_mode() -> None:
    assert not mode_of("", "").enhanced
    assert mode_of("AL", "").enhanced
    assert mode_of("", "ER").enhanced


@pytest.mark.requirement("MLLP11")
@pytest.mark.parametrize(
    ("condition", "due"),
    [("AL", "AER"), ("NE", ""), ("ER", "ER"), ("SU", "A")],
)
def test_a_condition_says_what_is_to_be_said(condition: str, due: str) -> None:
    assert "".join(word for word in (ACCEPTED, ERROR, REJECTED) if is_due(condition, word)) == due


@pytest.mark.requirement("MLLP11")
def test_codes_of_both_modes() -> None:
    assert [mode_of("AL", "NE").code(word) for word in "AER"] == ["CA", "CE", "CR"]
    assert [mode_of("", "").code(word) for word in "AER"] == ["AA", "AE", "AR"]
    assert [mode_of("ER", "AL").code(word) for word in "AER"] == ["", "CE", "CR"]
    assert mode_of("what", "").code(ACCEPTED) == "CA"  # an answer too many does less harm
    assert (word_of("applied"), word_of("failed"), word_of("parked")) == ("A", "E", "E")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026", datetime(2026, 1, 1, tzinfo=NEW_YORK)),
        ("202602", datetime(2026, 2, 1, tzinfo=NEW_YORK)),
        ("20260203", datetime(2026, 2, 3, tzinfo=NEW_YORK)),
        ("2026020304", datetime(2026, 2, 3, 4, tzinfo=NEW_YORK)),
        ("20260203040506.78", datetime(2026, 2, 3, 4, 5, 6, 780_000, NEW_YORK)),
        ("20260203040506-0000", datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)),
        ("202602030405+0530", datetime(2026, 2, 2, 22, 35, tzinfo=UTC)),
    ],
)
def test_a_time_is_the_beginning_of_what_it_names(text: str, moment: datetime) -> None:
    assert microseconds(text, NEW_YORK) == of(moment)


@pytest.mark.parametrize("text", ["", "26", "20261301", "20260230", "202602030460", "x", "2026+9900", "2026Z"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert microseconds(text, NEW_YORK) is None


@given(st.text("0123456789+-. \u0661", max_size=30))
def test_no_text_breaks_the_reader_of_times(text: str) -> None:
    found = microseconds(text, NEW_YORK)
    assert found is None or isinstance(found, int)


def test_settings_that_are_written_are_read_again() -> None:
    settings = SourceSettings(mode="enhanced", networks=("10.0.0.0/8",), systems={"N": "urn:x"}, connections=3)
    assert read_settings(write_settings(settings)) == settings
    assert write_settings(SourceSettings()) == "{}"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("[]", "JSON object"),
        ("{", "JSON object"),
        ('{"colour": "red"}', "no setting of that name"),
        ('{"mode": "loud"}', "mode is one of"),
        ('{"connections": 0}', "from 1 on"),
        ('{"connections": true}', "whole number"),
        ('{"production": "yes"}', "true or false"),
        ('{"networks": ["10.0.0.1/8"]}', "CIDRs"),
        ('{"networks": "10.0.0.0/8"}', "list of texts"),
        ('{"systems": {"A": 1}}', "object of texts"),
        ('{"return_address": "somewhere"}', "HOST:PORT"),
        ('{"return_address": "host:99999"}', "HOST:PORT"),
        ('{"time_zone": "Mars/Base"}', "IANA"),
        ('{"time_zone": "../etc"}', "IANA"),
    ],
)
def test_settings_that_cannot_be_used_are_named(given: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        read_settings(given)


@pytest.mark.requirement("MLLP13")
def test_who_is_admitted_as_a_source() -> None:
    row = SourceRow("north", "A", "B", "confirmed", json.dumps({"networks": ["10.1.0.0/16"]}), 0)
    near = known_source(row)
    assert near.admits("10.1.2.3", ())
    assert near.admits("::ffff:10.1.2.3", ())
    assert not near.admits("10.2.0.1", ())
    assert not near.admits("", ())
    proven = known_source(SourceRow("n", "A", "B", "confirmed", '{"certificates": ["adt.example"]}', 0))
    assert proven.admits("10.2.0.1", ("adt.example",))
    assert not proven.admits("10.2.0.1", ("other.example",))
    assert known_source(SourceRow("n", "A", "B", "new", '{"mode": 1}', 0)).broken


def test_a_source_as_a_map_sees_it() -> None:
    text = '{"time_zone": "America/Chicago", "authorities": ["N"], "switches": {"ca": "active"}}'
    source = known_source(SourceRow("north", "A", "B", "confirmed", text, 0)).mapping
    assert (source.name, source.time_zone, source.authorities) == ("north", "America/Chicago", ("N",))
    assert source.switches == {"ca": "active"}
