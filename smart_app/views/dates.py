"""Dates and times as people read them, in the practice's zone and the reader's language.

FHIR dates may be partial ("2020", "2020-05") and are shown exactly as precisely as they were
recorded. Patterns go through gettext, so that a translation may order day and month its own way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from flask_babel import get_locale, pgettext

When = str | date | datetime | None
"""A FHIR date or dateTime, a day, or an aware instant."""


@dataclass(frozen=True, slots=True)
class Here:
    """The practice's zone, and now."""

    zone: ZoneInfo
    now: datetime

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()


def parse_fhir(value: str, zone: ZoneInfo) -> tuple[date | None, datetime | None, int]:
    """A FHIR date or dateTime as (day in the zone, instant if it has one, number of parts 0 to 3).

    Parts: 1 year, 2 year and month, 3 a full day; 0 when the value is empty or no date at all.
    """
    try:
        if "T" in value:
            instant = datetime.fromisoformat(value)
            if instant.tzinfo is None:
                return instant.date(), None, 3
            local = instant.astimezone(zone)
            return local.date(), local, 3
        parts = [int(part) for part in value.split("-")]
        year, month, day = [*parts, 1, 1][:3]
        return date(year, month, day), None, min(len(parts), 3)
    except (ValueError, OverflowError):
        return None, None, 0


def show_day(value: When, here: Here) -> str:
    """A day in words: "Wed 25 Nov" in the current year, else "25 Nov 2025"; partial dates partly."""
    day, parts = _day(value, here.zone)
    if day is not None and parts == 3 and day.year == here.today.year:
        return _date(day, pgettext("date pattern", "EEE d MMM"))
    return show_full_day(value, here)


def show_full_day(value: When, here: Here) -> str:
    """A day with its year: "3 Feb 1952"; partial dates partly; what is no date as it is."""
    day, parts = _day(value, here.zone)
    if day is None:
        return value if isinstance(value, str) else ""
    patterns = {
        1: "yyyy",
        2: pgettext("date pattern", "MMM yyyy"),
        3: pgettext("date pattern", "d MMM yyyy"),
    }
    return _date(day, patterns[parts])


def show_time(value: str | datetime | None, here: Here) -> str:
    """The clock time in the zone, "14:02"; empty where the value has none."""
    instant = parse_fhir(value, here.zone)[1] if isinstance(value, str) else value
    if instant is None:
        return ""
    local = instant.astimezone(here.zone).replace(tzinfo=None)
    return str(format_datetime(local, pgettext("date pattern", "HH:mm"), locale=get_locale()))


def show_moment(value: str | datetime | None, here: Here) -> str:
    """Day and time, the day left out when it is today: "14:02", "Fri 27 Nov 10:10"."""
    time = show_time(value, here)
    if time and _day(value, here.zone)[0] == here.today:
        return time
    return " ".join(part for part in (show_day(value, here), time) if part)


def _day(value: When, zone: ZoneInfo) -> tuple[date | None, int]:
    if value is None or value == "":
        return None, 0
    if isinstance(value, datetime):
        return value.astimezone(zone).date(), 3
    if isinstance(value, date):
        return value, 3
    day, _, parts = parse_fhir(value, zone)
    return day, parts


def _date(day: date, pattern: str) -> str:
    return str(format_date(day, pattern, locale=get_locale()))
