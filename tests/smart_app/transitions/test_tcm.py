"""Time limits after a discharge.

Covers: domain 2.1 (calendar), 2.2 (transitional care management), 2.12 (reference algorithm).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_app.transitions.calendar import CalendarMissing, federal_calendar, site_holidays
from smart_app.transitions.tcm import RuleMissing, deadline_contact, deadlines, rule_on

NEW_YORK = ZoneInfo("America/New_York")


def noon(day: str, zone: ZoneInfo = NEW_YORK) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("discharged", "contact_by"),
    [
        ("2026-11-25", "2026-11-30"),  # Thanksgiving and a weekend in between
        ("2026-12-18", "2026-12-22"),
        ("2026-12-24", "2026-12-29"),  # Christmas on a Friday
        ("2026-07-02", "2026-07-07"),  # the Fourth is a Saturday, observed on Friday
        ("2026-11-14", "2026-11-17"),  # discharged on a Saturday
        ("2021-12-30", "2022-01-04"),  # New Year 2022 is observed in 2021
    ],
)
def test_the_contact_is_due_at_the_end_of_the_second_business_day(discharged: str, contact_by: str) -> None:
    due = deadline_contact(noon(discharged), NEW_YORK, federal_calendar())
    assert (
        due.isoformat() == datetime.fromisoformat(f"{contact_by}T23:59:59").replace(tzinfo=NEW_YORK).isoformat()
    )


def test_a_discharge_has_five_limits() -> None:
    found = deadlines(noon("2026-11-25"), NEW_YORK, federal_calendar())
    assert found.discharge_date == date(2026, 11, 25)
    assert found.service == noon("2026-11-25") + timedelta(hours=48)
    assert found.visit_high.date() == date(2026, 12, 2)
    assert found.visit_moderate.date() == date(2026, 12, 9)
    assert found.period_end.date() == date(2026, 12, 24)


def test_the_day_of_discharge_is_that_of_the_practices_zone() -> None:
    late = datetime(2026, 11, 14, 3, 30, tzinfo=UTC)  # Friday evening in New York
    assert deadlines(late, NEW_YORK, federal_calendar()).discharge_date == date(2026, 11, 13)
    assert deadline_contact(late, NEW_YORK, federal_calendar()).date() == date(2026, 11, 17)
    assert deadline_contact(late, ZoneInfo("UTC"), federal_calendar()).date() == date(2026, 11, 17)


def test_the_service_standard_counts_hours_across_a_change_of_the_clock() -> None:
    spring = datetime(2026, 3, 7, 12, tzinfo=NEW_YORK)
    assert deadlines(spring, NEW_YORK, federal_calendar()).service.astimezone(UTC) - spring.astimezone(UTC) == (
        timedelta(hours=48)
    )


def test_a_calendar_that_ends_refuses_instead_of_guessing() -> None:
    with pytest.raises(CalendarMissing):
        federal_calendar().is_business_day(date(2029, 1, 2))
    with pytest.raises(RuleMissing):
        rule_on(date(2018, 12, 31))
    beyond = noon("2027-12-30")
    assert federal_calendar().covers(date(2027, 12, 30), date(2028, 1, 29))
    assert deadlines(beyond, NEW_YORK, federal_calendar()).contact is not None


def test_a_contact_deadline_needs_the_whole_period_covered() -> None:
    short = federal_calendar()
    cut = type(short)(short.first, date(2026, 12, 1), short.holidays, short.version, short.source)
    with pytest.raises(CalendarMissing):
        deadline_contact(noon("2026-11-25"), NEW_YORK, cut)
    assert deadlines(noon("2026-11-25"), NEW_YORK, cut).contact is None


def test_a_site_adds_its_own_closures() -> None:
    closed = site_holidays(b'[{"date": "2026-11-27", "name": "Day after Thanksgiving"}]')
    calendar = federal_calendar().with_site_holidays(closed)
    assert deadline_contact(noon("2026-11-25"), NEW_YORK, calendar).date() == date(2026, 12, 1)
    with pytest.raises(ValueError, match="date and name"):
        site_holidays(b'{"date": 1}')


def test_the_table_holds_every_statutory_holiday_of_its_years() -> None:
    holidays = federal_calendar().holidays
    for year in range(2019, 2029):
        names = {name for day, name in holidays.items() if day.year == year}
        assert len(names) == (11 if year >= 2021 else 10), year
    assert holidays[date(2021, 6, 18)] == "Juneteenth National Independence Day"
    assert holidays[date(2027, 12, 31)] == "New Year's Day"
    assert holidays[date(2027, 7, 5)] == "Independence Day"


@given(st.datetimes(datetime(2019, 1, 2), datetime(2027, 11, 30)), st.integers(0, 9))
def test_a_contact_deadline_is_a_business_day_two_business_days_later(moment: datetime, hours: int) -> None:
    calendar = federal_calendar()
    discharge = moment.replace(tzinfo=UTC) + timedelta(hours=hours)
    due = deadline_contact(discharge, NEW_YORK, calendar).date()
    day = discharge.astimezone(NEW_YORK).date()
    assert calendar.is_business_day(due)
    between = [day + timedelta(days=n) for n in range(1, (due - day).days + 1)]
    assert sum(calendar.is_business_day(one) for one in between) == 2
