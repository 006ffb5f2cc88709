"""A point in time as HL7 v2 writes it (v2.9 ch. 2A, DTM; TS), and the offset that a local time had."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

# YYYY[MM[DD[HH[MM[SS[.S+]]]]]][offset]. After an hour some senders write an offset of two digits.
_DTM = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d{2})(?:(?P<day>\d{2})(?:(?P<hour>\d{2})"
    r"(?:(?P<minute>\d{2})(?:(?P<second>\d{2})(?P<fraction>\.\d+)?)?)?)?)?)?"
    r"\s*(?P<offset>Z|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)
# Some senders write ISO 8601 with its separators.
_ISO = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d{2})(?:-(?P<day>\d{2})(?:[T ](?P<hour>\d{2})"
    r":(?P<minute>\d{2})(?::(?P<second>\d{2})(?P<fraction>\.\d+)?)?(?P<offset>Z|[+-]\d{2}(?::?\d{2})?)?)?)?",
    re.ASCII,
)
_TM = re.compile(
    r"(?P<hour>\d{2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?P<fraction>\.\d+)?)?)?\s*(?:Z|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)
# TS.2, degree of precision (withdrawn with v2.6): how many of year, month, day, hour, minute, second count.
DEGREES = {"Y": 1, "L": 2, "D": 3, "H": 4, "M": 5, "S": 6}
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class NoTime(ValueError):
    """Not a date or time. `code`: of mappings/findings.json; `text`: words without what was sent."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as sent: `day` YYYY, YYYY-MM or YYYY-MM-DD; `time` HH:MM:SS[.S+] or ""; `offset` ±HH:MM, Z or "".

    left_out: code of a finding about what was sent and could not be kept, "" for nothing.
    """

    day: str
    time: str = ""
    offset: str = ""
    left_out: str = ""

    @property
    def is_exact(self) -> bool:
        """Whether it stands for one instant."""
        return bool(self.time and self.offset)

    @property
    def written(self) -> str:
        """As a dateTime of FHIR: a time only with its offset."""
        return f"{self.day}T{self.time}{self.offset}" if self.is_exact else self.day

    @property
    def instant(self) -> datetime:
        """An exact moment in UTC; a leap second is the one before it, digits past microseconds do not count."""
        fraction = self.time[9:15].ljust(6, "0") if len(self.time) > 9 else "0"
        minutes = 0
        if self.offset != "Z":
            minutes = int(f"{self.offset[0]}1") * (int(self.offset[1:3]) * 60 + int(self.offset[4:6]))
        zone = timezone(timedelta(minutes=minutes))
        whole = self._local.replace(microsecond=int(fraction), tzinfo=zone)
        try:
            return whole.astimezone(UTC)
        except OverflowError:  # the first and the last hours that datetime knows
            return _FIRST if whole.year == 1 else _LAST

    @property
    def _local(self) -> datetime:
        return datetime.fromisoformat(f"{self.day}T{self.time[:8].replace(':60', ':59')}")

    def is_after(self, other: Moment) -> bool:
        """Whether it is later for certain: by instants, else by the days, months or years that both name."""
        if self.is_exact and other.is_exact:
            return self.instant > other.instant
        shared = min(len(self.day), len(other.day))
        return self.day[:shared] > other.day[:shared]

    def in_zone(self, zone: str) -> Moment:
        """A time without an offset with the one that its time zone (IANA name) had then.

        Raises NoTime for an unknown zone, for a local time that was there twice or never, and for a time before
        time zones, whose offset has seconds that FHIR cannot write.
        """
        place = _zone(zone)
        if place is None:
            raise NoTime("time-zone-unknown", "the source's time zone is not known here")
        local = self._local
        first, second = (local.replace(tzinfo=place, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
        if first > second:
            raise NoTime("time-ambiguous", "a local time that was there twice, when clocks were set back")
        if first < second:
            raise NoTime("time-skipped", "a local time that never was, when clocks were set forward")
        seconds = int(first.total_seconds())
        if seconds % 60:
            raise NoTime("time-zone-unknown", "a time before time zones, when offsets had seconds")
        sign, minutes = "-" if seconds < 0 else "+", abs(seconds) // 60
        return Moment(self.day, self.time, f"{sign}{minutes // 60:02d}:{minutes % 60:02d}", self.left_out)


@lru_cache(4096)
def parse(content: str, degree: str = "") -> Moment:
    """A DTM or TS as sent (TS.2: `degree`). Raises NoTime for what is no date of the calendar.

    A month or a day of 00 says that it is unknown: what stands before it is kept.
    """
    found = _ISO.fullmatch(content) or _DTM.fullmatch(content)
    # A sign and two digits after a date alone are no offset, but somebody's way to write something else.
    if found is None or (found["hour"] is None and len(found["offset"] or "") in (1, 3)):
        raise NoTime("time-invalid", "not a date or time of HL7 v2")
    part = found.groupdict()
    limit = DEGREES.get(degree, 6)
    if part["month"] == "00":
        limit = min(limit, 1)
    elif part["day"] == "00":
        limit = min(limit, 2)
    try:
        datetime(int(part["year"]), int(_known(part["month"])), int(_known(part["day"])), tzinfo=UTC)
    except ValueError as error:
        raise NoTime("time-invalid", "a date that no calendar has") from error
    day = "-".join([part[name] for name in ("year", "month", "day") if part[name]][:limit])
    if "00" in (part["month"], part["day"]):
        return Moment(day, left_out="time-part-zero")
    if part["hour"] is None or limit < 4:
        return Moment(day)
    if part["minute"] is None or limit < 5:
        return Moment(day, left_out="time-hour-only")
    seconds = f"{part['second']}{part['fraction'] or ''}" if part["second"] and limit > 5 else "00"
    if not on_a_clock(part["hour"], part["minute"], seconds[:2]):
        return Moment(day, left_out="time-of-day-invalid")
    offset = _offset(part["offset"] or "")
    if offset is None:
        return Moment(day, left_out="time-offset-invalid")
    return Moment(day, f"{part['hour']}:{part['minute']}:{seconds}", offset)


def _known(part: str | None) -> str:
    return "1" if part in (None, "00") else str(part)


def time_of_day(content: str) -> str:
    """A TM as HH:MM:SS[.S+], its offset left out: a time of FHIR has none. Raises NoTime."""
    found = _TM.fullmatch(content)
    if found is None or not on_a_clock(found["hour"], found["minute"] or "0", found["second"] or "0"):
        raise NoTime("time-invalid", "not a time of day of HL7 v2")
    if found["minute"] is None:
        raise NoTime("time-hour-only", "an hour without minutes is no time of FHIR")
    return f"{found['hour']}:{found['minute']}:{found['second'] or '00'}{found['fraction'] or ''}"


def on_a_clock(hour: str, minute: str, second: str) -> bool:
    """Whether a clock shows it; it shows 60 seconds when a leap second is put in."""
    return int(hour) < 24 and int(minute) < 60 and int(second) <= 60


def _offset(sent: str) -> str | None:
    """±HH:MM or Z, "" where none was sent, None for one that no place has."""
    if sent in ("", "Z"):
        return sent
    digits = sent[1:].replace(":", "").ljust(4, "0")
    if int(digits) > 1400 or int(digits[2:]) > 59:
        return None
    return f"{sent[0]}{digits[:2]}:{digits[2:]}"


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # KeyError: ZoneInfoNotFoundError
        return None
