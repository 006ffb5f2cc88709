"""RPT, TQ -> Timing (HL7 v2.9 ch. 2A, 4.5.4; tables 0335, 0528; hl7.org/fhir/R4/datatypes.html#Timing).

A pattern that can be read as numbers becomes `repeat`; every pattern stays as sent, or in its words, in `code`.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mappings.datatypes.amounts import TIMES, span
from mappings.datatypes.moment import NoTime, time_of_day
from mappings.datatypes.numbers import number
from mappings.datatypes.reading import as_code, said
from mappings.datatypes.repeat_pattern import PRN, Repeat, pattern
from mappings.datatypes.times import period
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition, Value

_GTS = "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation"
_COUNT = re.compile(r"X([1-9][0-9]{0,8})", re.ASCII | re.IGNORECASE)
_WITHOUT_OFFSET = frozenset({"C", "CM", "CD", "CV"})
_DAYS = {"d": 1, "wk": 7}
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "wk": 604800}
_DATE = len("YYYY-MM-DD")
_OFFSET_MINUTES = {"min": 1, "h": 60, "d": 1440}


def rpt(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """RPT, or a pattern alone -> Timing."""
    named = value.part(1)
    words = named.value(2) if named.said(2) else value.value(11)
    found = _patterned(named.value(1), words, scope)
    repeat: Repeat = found.pop("repeat", {})
    _period(repeat, value, scope)
    _event(repeat, value, scope)
    return _timing(found, repeat)


def tq(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """TQ (of ORC-7, RXE-1, OBR-27 before v2.7) -> Timing."""
    interval = value.part(2)
    found = _patterned(interval.value(1), value.value(8), scope)
    repeat: Repeat = found.pop("repeat", {})
    times = [] if "when" in repeat else _times(interval.value(2), scope)
    if times:
        repeat["timeOfDay"] = times
    _bounds(repeat, value, scope)
    count = number(value.said(12))
    if count is not None and count == int(count) and 0 < count < 2**31:
        repeat["count"] = int(count)
        scope.used(value.value(12), "repeat.count")
    return _timing(found, repeat)


def rpt_as_needed(value: Repetition, scope: Scope) -> bool | None:
    """RPT, or a pattern alone -> boolean: true where it says "as needed"; None where it says nothing of it."""
    return _as_needed(value.value(1), scope)


def tq_as_needed(value: Repetition, scope: Scope) -> bool | None:
    """TQ -> boolean, as rpt_as_needed."""
    return _as_needed(value.value(2), scope)


def _as_needed(leaf: Value, scope: Scope) -> bool | None:
    if not PRN.search(said(leaf)):
        return None
    scope.used(leaf)
    return True


def _timing(found: dict[str, Any], repeat: Repeat) -> dict[str, Any] | None:
    return {**found, **({"repeat": repeat} if repeat else {})} or None


def _patterned(leaf: Value, words: Value, scope: Scope) -> dict[str, Any]:
    """`code` and `repeat` of a pattern and of the words for it."""
    sent, label = as_code(said(leaf)), said(words)
    if not (sent or label):
        return {}
    scope.used(words if label else leaf, "code.text")
    found: dict[str, Any] = {"code": {"text": label or sent}}
    repeat, abbreviation = pattern(sent) if sent else ({}, "")
    if repeat:
        found["repeat"] = repeat
        scope.used(leaf, "repeat")
    elif PRN.sub("", sent).strip():
        scope.warn("repetition-pattern-unknown", leaf, "not known as a timing (table 0335); kept as text")
    if abbreviation and not PRN.search(sent):
        found["code"]["coding"] = [{"system": _GTS, "code": abbreviation}]
        scope.used(leaf, "code.coding[0].code")
    return found


def _period(repeat: Repeat, value: Repetition, scope: Scope) -> None:
    """RPT.5 and 6: how long one round takes, where the pattern does not say."""
    length, units = value.value(5), value.value(6)
    amount = number(said(length))
    if amount is None or amount <= 0 or "period" in repeat:
        return
    known = scope.table("ucum", said(units), exact=True) if said(units) else None
    code = known.target if known else said(units)
    if code not in TIMES:
        scope.warn("unit-unknown", units if said(units) else length, "a length of time needs a unit of time")
        return
    repeat.update(frequency=1, period=amount, periodUnit=code)
    scope.used(length, "repeat.period")
    scope.used(units, "repeat.periodUnit")


def _event(repeat: Repeat, value: Repetition, scope: Scope) -> None:
    """RPT.8 to 10: an event of the day, and how many minutes before or after it."""
    leaf = value.value(8)
    if code := as_code(said(leaf)):
        row = scope.table("0528", code)
        if row is None:
            scope.warn("code-unknown", leaf, "table 0528 does not know this code")
        elif row.target and "when" not in repeat:
            repeat["when"] = [row.target]
            scope.used(leaf, "repeat.when[0]", row.name)
    distance, units = value.value(9), value.value(10)
    amount = number(said(distance))
    if amount is None or not repeat.get("when") or set(repeat["when"]) & _WITHOUT_OFFSET:
        return
    known = scope.table("ucum", said(units), exact=True) if said(units) else None
    factor = _OFFSET_MINUTES.get(known.target if known else said(units) or "min")
    if factor is None or amount * factor != int(amount * factor) or not 0 <= amount * factor < 2**31:
        scope.warn("unit-unknown", distance, "a distance from an event needs whole minutes; left out")
        return
    repeat["offset"] = int(amount * factor)
    scope.used(distance, "repeat.offset")
    scope.used(units, "repeat.offset")


def _times(leaf: Value, scope: Scope) -> list[str]:
    """RI.2: times of day, joined by commas."""
    found = []
    odd: NoTime | None = None
    for sent in said(leaf).split(","):
        try:
            found.append(time_of_day(sent.strip()))
        except NoTime as error:
            odd = error if sent.strip() else odd
    if odd is not None:
        scope.warn(odd.code, leaf, f"{odd.text}; left out")
    if found:
        scope.used(leaf, "repeat.timeOfDay")
    return found


def _bounds(repeat: Repeat, value: Repetition, scope: Scope) -> None:
    """TQ.3 to 5: a duration, from when until when, or for how long. `X5` and the like say how often."""
    leaf = value.value(3)
    sent = said(leaf)
    length = span(sent)
    times = _COUNT.fullmatch(sent)
    if times:
        repeat["count"] = int(times[1])
        scope.used(leaf, "repeat.count")
    if length and not value.said(5) and not value.said(4):
        repeat["boundsDuration"] = length
        scope.used(leaf, "repeat.boundsDuration.value")
        return
    bounds = period(value.value(4), value.value(5), scope.at("repeat.boundsPeriod"))
    if bounds and length and "end" not in bounds and (last := later(bounds["start"], length)):
        bounds["end"] = last
        scope.used(leaf, "repeat.boundsPeriod.end")
    if bounds:
        repeat["boundsPeriod"] = bounds


def later(start: str, length: dict[str, Any]) -> str:
    """When a length of time from a start is over: its last day, or the time; "" where that cannot be told."""
    try:
        if len(start) == _DATE and length["code"] in _DAYS:
            days = length["value"] * _DAYS[length["code"]]
            return (date.fromisoformat(start) + timedelta(days=int(days) - 1)).isoformat() if days >= 1 else ""
        if "T" in start and length["code"] in _SECONDS:
            seconds = float(length["value"] * _SECONDS[length["code"]])
            moment = datetime.fromisoformat(start) + timedelta(seconds=seconds)
            return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return ""
    return ""
