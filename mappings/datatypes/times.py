"""DTM, TS, DT, TM, DR: dates, times and periods (HL7 v2.9 ch. 2A; hl7.org/fhir/R4/datatypes.html#dateTime).

The precision of what was sent is kept, and so is its offset. A time without an offset gets the one that the
source's time zone had then; without a zone, that of MSH-7; without that too, only the date is kept. Where
clocks were set, a local time may stand for two moments or for none: then, too, only the date is kept. An offset
is never made up, and nothing here fails a message: what is no date gives None and a finding.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mappings.datatypes.moment import DEGREES, Moment, NoTime, parse, time_of_day
from mappings.datatypes.reading import said
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition, Value

_LEFT_OUT = {
    "time-part-zero": "a month or day of 00 is unknown; what stands before it is kept",
    "time-hour-only": "an hour without minutes; only the date is kept",
    "time-of-day-invalid": "a time of day that no clock shows; only the date is kept",
    "time-offset-invalid": "an offset that no place has; only the date is kept",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(leaf: Value, scope: Scope, degree: str = "") -> Moment | None:
    """The time that a component holds, with an offset where one is known; findings say what was left out."""
    found = _parsed(leaf, scope, degree)
    if found is None or not found.time or found.offset:
        return found
    if scope.source.time_zone:
        try:
            return found.in_zone(scope.source.time_zone)
        except NoTime as error:
            scope.warn(error.code, leaf, f"{error.text}; only the date is kept")
            return found
    offset = _message_offset(scope)
    if not offset:
        scope.warn("time-without-offset", leaf, "no offset, no time zone of the source; only the date is kept")
    return Moment(found.day, found.time, offset)


def _parsed(leaf: Value, scope: Scope, degree: str) -> Moment | None:
    content = said(leaf)
    if not content:
        return None
    try:
        found = parse(content, degree)
    except NoTime as error:
        scope.warn(error.code, leaf, error.text)
        return None
    if found.left_out:
        scope.warn(found.left_out, leaf, _LEFT_OUT[found.left_out])
    return found


def _message_offset(scope: Scope) -> str:
    header = scope.message.first("MSH")
    content = said(header.value(7)) if header is not None else ""
    try:
        return parse(content).offset if content else ""
    except NoTime:
        return ""


def _read(value: Repetition, scope: Scope) -> Moment | None:
    return moment(value.value(1), scope, value.said(2))


def _use(value: Repetition, scope: Scope) -> None:
    scope.used(value.value(1))
    if value.said(2) in DEGREES:
        scope.used(value.value(2))


def dtm(value: Repetition, scope: Scope) -> str | None:
    """DTM, TS -> dateTime."""
    found = _read(value, scope)
    if found is None:
        return None
    _use(value, scope)
    return found.written


def dtm_date(value: Repetition, scope: Scope) -> str | None:
    """DTM, TS, DT -> date: the day as sent, in whatever zone it was."""
    found = _parsed(value.value(1), scope, value.said(2))
    if found is None:
        return None
    _use(value, scope)
    return found.day


def dtm_time(value: Repetition, scope: Scope) -> str | None:
    """DTM, TS -> dateTime, but only where a time of day was sent and its offset is known (a birth time)."""
    if len(value.said(1)) <= len("YYYY-MM-DD"):
        return None
    found = _read(value, scope)
    if found is None or not found.is_exact:
        return None
    _use(value, scope)
    return found.written


def dtm_instant(value: Repetition, scope: Scope) -> str | None:
    """DTM, TS -> instant; None, with a finding, where there is no time or no offset."""
    found = _read(value, scope)
    if found is None:
        return None
    if not found.is_exact:
        scope.warn("time-no-instant", value.value(1), "an instant needs a time and an offset; left out")
        return None
    _use(value, scope)
    return found.written


def tm(value: Repetition, scope: Scope) -> str | None:
    """TM -> time."""
    leaf = value.value(1)
    content = said(leaf)
    if not content:
        return None
    try:
        found = time_of_day(content)
    except NoTime as error:
        scope.warn(error.code, leaf, error.text)
        return None
    scope.used(leaf)
    return found


def dtm_period(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """DTM, TS -> Period that ends at the next field of the segment (OBR-7 and 8, TQ1-7 and 8)."""
    end = scope.sibling(value, value.value().position.field + 1)
    if end is not None:
        return period(value.value(1), end.value(1), scope)
    start = dtm(value, scope.at("start"))
    return {"start": start} if start is not None else None


def dr(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """DR -> Period."""
    return period(value.value(1), value.value(2), scope)


def between(value: Repetition, start: int, end: int, scope: Scope) -> dict[str, Any] | None:
    """Two components of a value -> Period, as `period` makes it; hardly any value has them."""
    if not value.said(start) and not value.said(end):
        return None
    return period(value.value(start), value.value(end), scope)


def period(start: Value, end: Value, scope: Scope) -> dict[str, Any] | None:
    """Two components -> Period; an end before the start is left out with a finding (FHIR's per-1)."""
    found: dict[str, Any] = {}
    first, last = moment(start, scope), moment(end, scope)
    if first is not None:
        found["start"] = first.written
        scope.used(start, "start")
    if last is not None and first is not None and first.is_after(last):
        scope.warn("period-reversed", end, "an end before the start; the end is left out")
    elif last is not None:
        found["end"] = last.written
        scope.used(end, "end")
    return found or None


def microseconds(leaf: Value, scope: Scope) -> int | None:
    """A time with a known offset as UTC microseconds, None for all else: for telling which event was later."""
    found = moment(leaf, scope)
    if found is None or not found.is_exact:
        return None
    return (found.instant - _EPOCH) // timedelta(microseconds=1)
