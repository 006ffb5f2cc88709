"""How dates are said: as precisely as they were recorded, in the practice's zone.

hl7.org/fhir/R4/datatypes.html#dateTime
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask_babel import Babel
from hypothesis import given
from hypothesis import strategies as st

from smart_app.views.dates import Here, parse_fhir, show_day, show_full_day, show_moment, show_time

NEW_YORK = Here(ZoneInfo("America/New_York"), datetime(2026, 11, 28, 3, 30, tzinfo=UTC))
"""It is Fri 27 Nov 2026, 22:30 in New York, and Saturday in UTC."""


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    app = Flask(__name__)
    Babel(app)
    with app.test_request_context():
        yield


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("1952", "1952"),
        ("1952-02", "Feb 1952"),
        ("1952-02-03", "3 Feb 1952"),
        ("2026-11-25", "Wed 25 Nov"),
        ("2026-11-26T02:00:00Z", "Wed 25 Nov"),
        (datetime(2026, 11, 26, 2, tzinfo=UTC), "Wed 25 Nov"),
        (date(2025, 1, 1), "1 Jan 2025"),
        ("", ""),
        (None, ""),
        ("sometime", "sometime"),
        ("2026-13-45", "2026-13-45"),
    ],
)
def test_a_day_is_said_as_precisely_as_it_is_known(value: object, words: str) -> None:
    assert show_day(value, NEW_YORK) == words  # type: ignore[arg-type]


def test_a_full_day_has_its_year() -> None:
    assert show_full_day("2026-11-25", NEW_YORK) == "25 Nov 2026"


def test_a_time_is_that_of_the_practice() -> None:
    assert show_time("2026-11-27T19:02:00Z", NEW_YORK) == "14:02"
    assert show_time("2026-11-27", NEW_YORK) == ""


def test_today_needs_no_day() -> None:
    assert show_moment("2026-11-27T19:02:00Z", NEW_YORK) == "14:02"
    assert show_moment("2026-11-26T19:02:00Z", NEW_YORK) == "Thu 26 Nov 14:02"


@given(st.text(max_size=40))
def test_no_text_breaks_a_date(text: str) -> None:
    parse_fhir(text, NEW_YORK.zone)


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)))
def test_an_instant_falls_on_its_local_day(instant: datetime) -> None:
    day, local, parts = parse_fhir(instant.isoformat(), NEW_YORK.zone)
    assert (day, local, parts) == (instant.astimezone(NEW_YORK.zone).date(), instant, 3)
