"""TQ1 as a whole -> Timing, and its place in a taper (HL7 v2.9 4.5.4; hl7.org/fhir/R4/datatypes.html#Timing).

A TQ1 says one schedule in many fields, which FHIR has rules about together (tim-1 to tim-10). So the functions
here are given one field of it, whichever is filled, and look at the others themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mappings.datatypes.amounts import cq_duration
from mappings.datatypes.reading import said
from mappings.datatypes.repeat_pattern import Repeat
from mappings.datatypes.times import period, tm
from mappings.datatypes.timing import later, rpt
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition, Value

_PATTERN, _TIMES, _EVERY, _LASTS, _START, _END, _EACH, _COUNT = 3, 4, 5, 6, 7, 8, 13, 14
_CONJUNCTION_TQ1, _CONJUNCTION_TQ = 12, 9
# A count has nine digits at most, as FHIR's positiveInt has ten.
_MOST_DIGITS = 10
# A component that no value has.
_NOWHERE = 99
_OF_THE_DAY = ("when", "offset")
_TIMING = ("TQ1", "TQ2")


def tq1(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """A field of TQ1 -> Timing of TQ1-3 to 8, 13 and 14, clock times before times of the day."""
    found, repeat = _patterned(value, scope)
    _every(repeat, value, scope)
    _bounds(repeat, value, scope)
    each = _length(_EACH, value, scope)
    if each is not None:
        repeat.update(duration=each.amount["value"], durationUnit=each.amount["code"])
        each.used("repeat.duration", scope)
    count = scope.sibling(value, _COUNT)
    sent = said(count.value(1)) if count is not None else ""
    if count is not None and sent.isascii() and sent.isdecimal() and len(sent) < _MOST_DIGITS and int(sent):
        repeat["count"] = int(sent)
        scope.used(count.value(1), "repeat.count")
    return {**found, **({"repeat": repeat} if repeat else {})} or None


def _patterned(value: Repetition, scope: Scope) -> tuple[dict[str, Any], Repeat]:
    """TQ1-3 and 4. FHIR wants clock times or times of the day (tim-10); the pattern's words stay in `code`."""
    pattern, apart = scope.sibling(value, _PATTERN), scope.apart()
    found = (rpt(pattern, apart) if pattern is not None else None) or {}
    repeat: Repeat = found.pop("repeat", {})
    times = [tm(one, scope.at("repeat.timeOfDay")) for one in scope.siblings(value, _TIMES)]
    clock = list(dict.fromkeys(time for time in times if time))
    if clock:
        repeat = {name: content for name, content in repeat.items() if name not in _OF_THE_DAY}
        repeat["timeOfDay"] = clock
    for use in apart.account.uses:
        if not clock or not use.path.startswith(tuple(f"repeat.{name}" for name in _OF_THE_DAY)):
            scope.used(use.value, use.path, use.table)
    scope.account.findings.extend(apart.account.findings)
    return found, repeat


@dataclass(frozen=True, slots=True)
class _Length:
    """A length of time (Duration), and the leaves that it was made of."""

    amount: dict[str, Any]
    leaves: tuple[Value, ...]

    def used(self, path: str, scope: Scope) -> None:
        for leaf in self.leaves:
            scope.used(leaf, path)


def _length(field: int, value: Repetition, scope: Scope) -> _Length | None:
    """A CQ of the segment that is a length of time; None, with a finding, for what is none."""
    sent, apart = scope.sibling(value, field), scope.apart()
    found = cq_duration(sent, apart) if sent is not None else None
    scope.account.findings.extend(apart.account.findings)
    if found is None or found["value"] <= 0:
        return None
    return _Length(found, tuple(use.value for use in apart.account.uses))


def _every(repeat: Repeat, value: Repetition, scope: Scope) -> None:
    """TQ1-5: the time from one to the next, where nothing else says when."""
    length = None if "period" in repeat or "timeOfDay" in repeat else _length(_EVERY, value, scope)
    if length is not None:
        repeat.update(frequency=1, period=length.amount["value"], periodUnit=length.amount["code"])
        length.used("repeat.period", scope)


def _bounds(repeat: Repeat, value: Repetition, scope: Scope) -> None:
    """TQ1-6 to 8. FHIR has one form of bounds: a start and a length are a period that ends so much later."""
    start, end = scope.sibling(value, _START), scope.sibling(value, _END)
    nothing = value.part(_NOWHERE).value(1)
    bounds = period(
        start.value(1) if start is not None else nothing,
        end.value(1) if end is not None else nothing,
        scope.at("repeat.boundsPeriod"),
    )
    if bounds:
        repeat["boundsPeriod"] = bounds
    length = None if bounds and "end" in bounds else _length(_LASTS, value, scope)
    if length is None:
        return
    if not bounds:
        repeat["boundsDuration"] = length.amount
        length.used("repeat.boundsDuration", scope)
    elif last := later(bounds["start"], length.amount):
        bounds["end"] = last
        length.used("repeat.boundsPeriod.end", scope)


def dosage_sequence(value: Repetition, scope: Scope) -> int | None:
    """A field of TQ1, or a TQ -> Dosage.sequence: what runs beside another (conjunction A) has its number.

    None where there is one schedule only.
    """
    position = value.value().position
    if position.segment == "TQ1":
        conjunctions, at = _of_segments(position.ordinal - 1, scope)
    else:
        conjunctions = [one.value(_CONJUNCTION_TQ) for one in scope.siblings(value, position.field)]
        at = max(value.repetition, 1) - 1
    if len(conjunctions) < 2:
        return None
    scope.used(conjunctions[at])
    return 1 + sum(said(conjunction) != "A" for conjunction in conjunctions[:at])


def _of_segments(own: int, scope: Scope) -> tuple[list[Value], int]:
    """TQ1-12 of the TQ1 of one order in their order, and which of them is that of the segment at an index."""
    segments = scope.message.segments
    first = last = own
    while first > 0 and segments[first - 1].name in _TIMING:
        first -= 1
    while last + 1 < len(segments) and segments[last + 1].name in _TIMING:
        last += 1
    run = [index for index in range(first, last + 1) if segments[index].name == "TQ1"]
    return [segments[index].value(_CONJUNCTION_TQ1) for index in run], run.index(own)
