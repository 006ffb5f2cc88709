"""FHIR dates as half-open ranges [low, high) of UTC microseconds since 1970, at the precision written.

"2024-03" is the whole of March, "2024-03-05T10:00:00Z" one second. Values without a zone are those of the
practice: its midnight, not UTC's. Periods without an end reach to LATEST, without a start from EARLIEST.
Sources: hl7.org/fhir/R4/search.html#date, hl7.org/fhir/R4/datatypes.html#dateTime
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

EARLIEST = -(2**63)
LATEST = 2**63 - 1

MICROSECOND = 1_000_000
_EPOCH = date(1970, 1, 1).toordinal()
_LAST_DAY = date.max.toordinal()
_USUAL_LENGTH = 40  # fractions of a second may be of any length; only usual dates are remembered
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)


_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """An aware datetime as UTC microseconds since 1970."""
    return (moment - _FIRST) // _STEP


@lru_cache(maxsize=16)
def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises: ZoneInfoNotFoundError (a KeyError), ValueError."""
    return ZoneInfo(name)


def date_range(text: str, local: ZoneInfo) -> tuple[int, int]:
    """The range of a date, dateTime or instant, or of a search value (seconds and zone may be missing).

    local: the zone of values that name none. Raises: ValueError if it is not a date of the calendar.
    """
    return _remembered(text, local) if len(text) <= _USUAL_LENGTH else _read(text, local)


def _read(text: str, local: ZoneInfo) -> tuple[int, int]:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError("not a FHIR date")
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    if month is None:
        first = date(int(year), 1, 1).toordinal()
        return _day(first, local), _day(date(int(year), 12, 31).toordinal() + 1, local)
    if day is None:
        first = date(int(year), int(month), 1).toordinal()
        return _day(first, local), _day(first + monthrange(int(year), int(month))[1], local)
    ordinal = date(int(year), int(month), int(day)).toordinal()
    if hour is None:
        return _day(ordinal, local), _day(ordinal + 1, local)
    seconds = int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:  # 60: a leap second
        raise ValueError("not a time of day")
    if offset is None:
        local_time = datetime(int(year), int(month), int(day), int(hour), int(minute), tzinfo=local)
        shift = _offset(local_time)
    elif offset == "Z":
        shift = 0
    else:
        shift = int(offset[1:3]) * 3600 + int(offset[4:6]) * 60
        if int(offset[1:3]) > 14 or int(offset[4:6]) > 59:
            raise ValueError("not a zone")
        if offset[0] == "-":
            shift = -shift
    low = ((ordinal - _EPOCH) * 86_400 + seconds - shift) * MICROSECOND
    if second is None:
        return low, low + 60 * MICROSECOND
    if fraction is None:
        return low, low + MICROSECOND
    low += int(fraction[:6].ljust(6, "0"))
    return low, low + 10 ** max(0, 6 - len(fraction))


_remembered = lru_cache(maxsize=8192)(_read)


def _day(ordinal: int, local: ZoneInfo) -> int:
    """The local midnight at which a day begins."""
    naive = datetime.fromordinal(min(ordinal, _LAST_DAY))  # the day after 9999-12-31 has no datetime
    return ((ordinal - _EPOCH) * 86_400 - _offset(naive.replace(tzinfo=local))) * MICROSECOND


def _offset(local_time: datetime) -> int:
    shift = local_time.utcoffset()
    return 0 if shift is None else int(shift.total_seconds())
