"""HL7 v2 times as UTC microseconds, for the order of events (pure).

What a map makes of a time keeps its precision; here the beginning of the period counts.
Source: HL7 v2.5.1, 2.A.22 (DTM) and 2.A.77 (TS)
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_FORM = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)"
    r"(?:(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?)?)?)?)?(?P<sign>[+-])?(?(sign)(?P<hours>\d\d)(?P<minutes>\d\d))",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(text: str, zone: ZoneInfo) -> int | None:
    """The moment of `YYYY[MM[DD[HH[MM[SS[.S...]]]]]][+/-ZZZZ]`; None where it is none.

    zone: of times that tell no offset.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    own: tzinfo = zone
    if found["sign"]:
        offset = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"]))
        if offset >= timedelta(hours=24):
            return None
        own = timezone(-offset if found["sign"] == "-" else offset)
    try:
        moment = datetime(
            int(found["year"]),
            int(found["month"] or 1),
            int(found["day"] or 1),
            int(found["hour"] or 0),
            int(found["minute"] or 0),
            min(int(found["second"] or 0), 59),  # a leap second
            int((found["fraction"] or "0").ljust(6, "0")[:6]),
            own,
        )
        return (moment - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None
