"""FHIR dates and times as instants (pure). Partial dates are ranges; their beginning is taken here.

Source: hl7.org/fhir/R4/datatypes.html#dateTime
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

_PARTIAL = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", re.ASCII)


def instant(value: Any, zone: ZoneInfo) -> datetime | None:
    """A dateTime or instant as aware UTC; a date begins at midnight of the zone; None if it is none."""
    if not isinstance(value, str):
        return None
    if match := _PARTIAL.fullmatch(value):
        try:
            start = datetime(int(match[1]), int(match[2] or 1), int(match[3] or 1), tzinfo=zone)
            return start.astimezone(UTC)
        except (ValueError, OverflowError):
            return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def day(value: Any, zone: ZoneInfo) -> date | None:
    """The local day of a date or dateTime; None where it does not say one."""
    if isinstance(value, str) and (match := _PARTIAL.fullmatch(value)):
        if not match[3]:
            return None
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    moment = instant(value, zone)
    return moment.astimezone(zone).date() if moment else None


def fhir_instant(moment: datetime) -> str:
    """An aware datetime as FHIR writes it, UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
