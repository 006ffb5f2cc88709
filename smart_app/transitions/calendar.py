"""Business days: Monday to Friday, except holidays, in the practice's zone (domain 2.1).

The holidays are data with the years they cover; a question about any other year is refused, because
a guessed deadline is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

DAY = timedelta(days=1)
SATURDAY = 5


class CalendarMissing(Exception):
    """The holiday table does not cover the days that the question needs."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Holidays by date, and the first and last day for which the table is complete."""

    first: date
    last: date
    holidays: Mapping[date, str]
    version: str
    source: str

    def covers(self, start: date, end: date) -> bool:
        return self.first <= start and end <= self.last

    def is_business_day(self, day: date) -> bool:
        """Raises: CalendarMissing."""
        if not self.covers(day, day):
            raise CalendarMissing(f"no holidays are known for {day.year}")
        return day.weekday() < SATURDAY and day not in self.holidays

    def add_business_days(self, day: date, count: int) -> date:
        """The `count`-th business day after `day`; `day` itself does not count. Raises: CalendarMissing."""
        while count:
            day += DAY
            count -= self.is_business_day(day)
        return day

    def with_site_holidays(self, holidays: Iterable[tuple[date, str]]) -> Calendar:
        """The same calendar with the closures that a site adds."""
        return Calendar(self.first, self.last, {**self.holidays, **dict(holidays)}, self.version, self.source)


@cache
def federal_calendar() -> Calendar:
    """The calendar that ships."""
    record = read_data("holidays-us-federal.json")
    return Calendar(
        first=date.fromisoformat(record["effective_from"]),
        last=date.fromisoformat(record["effective_to"]),
        holidays={date.fromisoformat(row["date"]): row["name"] for row in record["holidays"]},
        version=record["version"],
        source=record["source"],
    )


def site_holidays(content: bytes) -> tuple[tuple[date, str], ...]:
    """A site's own closures, from JSON: `[{"date": "2026-12-24", "name": "..."}]`. Raises: ValueError."""
    try:
        records = msgspec.json.decode(content)
        return tuple((date.fromisoformat(record["date"]), str(record["name"])) for record in records)
    except (msgspec.DecodeError, TypeError, KeyError, ValueError):
        raise ValueError("not a list of objects with date and name") from None


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    return instant.astimezone(zone).date()


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The last second of a local day, as an aware instant in the zone."""
    return datetime.combine(day, time(23, 59, 59), zone)


@cache
def read_data(name: str) -> Any:
    """A data file of this package."""
    return msgspec.json.decode(resources.files("smart_app.transitions").joinpath(f"data/{name}").read_bytes())
