"""RXA-3 and RXA-4 -> MedicationAdministration.effective[x]: a time, or from when until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mappings.datatypes.times import dtm, period
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition

_END_FIELD, _ENTERED_FIELD = 4, 22


def administration_time(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """RXA-3 -> effective[x]: with another time in RXA-4 a Period, else a dateTime.

    R4 demands one: a time that cannot be read is a finding, and that of its entry or of the message stands.
    """
    end = scope.sibling(value, _END_FIELD)
    if end is not None and not end.is_null:
        apart = scope.apart()
        found = period(value.value(1), end.value(1), apart.at("effectivePeriod"))
        if found and "start" in found and "end" in found and found["start"] != found["end"]:
            scope.take(apart)
            return {"effectivePeriod": found}
    start = dtm(value, scope.at("effectiveDateTime"))
    if start is None:
        return _entered(value, scope.at("effectiveDateTime"))
    if end is not None and not end.is_null:
        if dtm(end, scope.apart()) == start:
            scope.used(end.value(1), "effectiveDateTime")
        else:
            scope.warn("period-reversed", end.value(1), "an end that is no time after the start; left out")
    return {"effectiveDateTime": start}


def _entered(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    header = scope.message.first("MSH")
    sent = header.repetitions(7) if header is not None else ()
    for other in (scope.sibling(value, _ENTERED_FIELD), *sent):
        if other is not None and (found := dtm(other, scope)):
            return {"effectiveDateTime": found}
    return None
