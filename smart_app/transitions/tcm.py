"""The time limits of a discharge: two business days, 48 hours, 7 and 14 days, 30 days (domain 2.2).

Every number is data with the time it is in force (`data/tcm-rules.json`, `data/service-standard.json`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from smart_app.transitions.calendar import (
    Calendar,
    CalendarMissing,
    end_of_day,
    local_date,
    read_data,
)


class RuleMissing(Exception):
    """No rule is in force on that day."""


@dataclass(frozen=True, slots=True)
class TcmRule:
    """The limits in force for discharges of a time."""

    effective_from: date
    effective_to: date | None
    """None: until a new rule is known; `reviewed` says when somebody last looked."""
    reviewed: date
    contact_business_days: int
    attempts_in_good_faith: int
    visit_days_high: int
    visit_days_moderate: int
    period_days: int
    source: str
    version: str


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Last instants, aware, in the practice's zone. `contact` is None where the calendar ends.

    service: discharge instant + 48 hours. period_end: last day of the 30, the discharge being the first.
    """

    discharge_date: date
    contact: datetime | None
    service: datetime
    visit_high: datetime
    visit_moderate: datetime
    period_end: datetime


@cache
def _rules() -> tuple[TcmRule, ...]:
    record = read_data("tcm-rules.json")
    return tuple(
        TcmRule(
            **{
                **row,
                "effective_from": date.fromisoformat(row["effective_from"]),
                "effective_to": date.fromisoformat(row["effective_to"]) if row["effective_to"] else None,
                "reviewed": date.fromisoformat(row["reviewed"]),
                "version": record["version"],
            }
        )
        for row in record["rules"]
    )


def rule_on(day: date) -> TcmRule:
    """The rule for a discharge on that day. Raises: RuleMissing."""
    for rule in _rules():
        if rule.effective_from <= day and (rule.effective_to is None or day <= rule.effective_to):
            return rule
    raise RuleMissing(f"no rule is in force on {day.isoformat()}")


def service_hours() -> int:
    """The service standard: hours from discharge to the first outreach, weekends included."""
    hours: int = read_data("service-standard.json")["hours"]
    return hours


def deadline_contact(discharge: datetime, zone: ZoneInfo, calendar: Calendar) -> datetime:
    """The end of the second business day after the local day of discharge.

    A late notice of the discharge does not move it.
    Raises: CalendarMissing unless the calendar covers the whole period; RuleMissing.
    Source: CMS MLN booklet Transitional Care Management Services
    """
    day = local_date(discharge, zone)
    rule = rule_on(day)
    if not calendar.covers(day, day + timedelta(days=rule.period_days)):
        raise CalendarMissing(f"no holidays are known for the {rule.period_days} days after {day.isoformat()}")
    return end_of_day(calendar.add_business_days(day, rule.contact_business_days), zone)


def deadlines(discharge: datetime, zone: ZoneInfo, calendar: Calendar) -> Deadlines:
    """All limits of a discharge (aware instant). Raises: RuleMissing."""
    day = local_date(discharge, zone)
    rule = rule_on(day)
    try:
        contact = deadline_contact(discharge, zone, calendar)
    except CalendarMissing:
        contact = None
    return Deadlines(
        discharge_date=day,
        contact=contact,
        # in UTC, since adding to a local time would add wall-clock hours
        service=(discharge.astimezone(UTC) + timedelta(hours=service_hours())).astimezone(zone),
        visit_high=end_of_day(day + timedelta(days=rule.visit_days_high), zone),
        visit_moderate=end_of_day(day + timedelta(days=rule.visit_days_moderate), zone),
        period_end=end_of_day(day + timedelta(days=rule.period_days - 1), zone),
    )
