"""Dates as ranges [low, high) of microseconds since 1970, at the precision in which they are written.

Source: hl7.org/fhir/R4/search.html#date, hl7.org/fhir/R4/datatypes.html#dateTime
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import inf
from typing import Any
from zoneinfo import ZoneInfo

Range = tuple[float, float]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.(?P<fraction>\d+))?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?"
)


def _instant(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def date_range(text: str, zone: ZoneInfo) -> Range:
    """A date, dateTime or instant; what names no zone is meant in the practice's."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(text)
    part = {name: value for name, value in match.groupdict().items() if value is not None}
    year, month, day = (int(part.get(name, 1)) for name in ("year", "month", "day"))
    if "hour" not in part:
        low = datetime(year, month, day, tzinfo=zone)
        if "day" in part:
            high = (datetime(year, month, day) + timedelta(days=1)).replace(tzinfo=zone)
        elif "month" in part:
            high = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
        else:
            high = datetime(year + 1, 1, 1, tzinfo=zone)
        return _instant(low), _instant(high)
    written = part.get("zone")
    offset: Any = zone
    if written is not None:
        offset = datetime.fromisoformat("2000-01-01T00:00:00" + written.replace("Z", "+00:00")).tzinfo
    start = _instant(datetime(year, month, day, int(part["hour"]), int(part["minute"]), tzinfo=offset))
    if "second" not in part:
        return start, start + 60_000_000
    fraction = part.get("fraction", "")
    start += int(part["second"]) * 1_000_000 + int(Decimal("0." + (fraction or "0")) * 1_000_000)
    return start, start + int(1_000_000 * Decimal(10) ** -len(fraction))


def period_range(period: dict[str, Any], zone: ZoneInfo) -> Range | None:
    """From the start of its start to the end of its end; what is missing is open. None: it says neither."""
    if "start" not in period and "end" not in period:
        return None
    low = date_range(period["start"], zone)[0] if "start" in period else -inf
    high = date_range(period["end"], zone)[1] if "end" in period else inf
    return low, high


def timing_range(timing: dict[str, Any], zone: ZoneInfo) -> Range | None:
    """The outer limits of its events and of its bounds (R4: only the outer limits count)."""
    found = [date_range(event, zone) for event in timing.get("event", ())]
    bounds = period_range(timing.get("repeat", {}).get("boundsPeriod", {}), zone)
    if bounds is not None:
        found.append(bounds)
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def compare_dates(prefix: str, asked: Range, held: Range) -> bool:
    """R4's table of prefixes for ranges, as docs/reference/search.md reads it."""
    low, high = asked
    a, b = held
    within = low <= a and b <= high
    return {
        "eq": within,
        "ne": not within,
        "gt": b > high,
        "lt": a < low,
        "ge": b > high or within,
        "le": a < low or within,
        "sa": a >= high,
        "eb": b <= low,
        "ap": a < high and b > low,
    }[prefix]


def widened(asked: Range, now: datetime) -> Range:
    """What `ap` asks: each end moved away by a tenth of its distance from now."""
    here = _instant(now)
    low, high = asked
    return low - abs(here - low) // 10, high + abs(here - high) // 10
