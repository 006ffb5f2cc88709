"""PR1-5 and PR1-7 -> Procedure.performed[x]: a time, or a period where it is known how long it took."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mappings.datatypes.times import moment
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition

_MINUTES_FIELD = 7
# A year has 525,600 minutes: what is longer is no duration of a procedure.
_MOST_DIGITS = 6


def procedure_time(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """PR1-5 -> performed[x]: with minutes in PR1-7 and an offset a Period, else a dateTime."""
    leaf = value.value(1)
    start = moment(leaf, scope)
    if start is None:
        return None
    minutes = scope.sibling(value, _MINUTES_FIELD)
    sent = minutes.said() if minutes is not None else ""
    lasted = int(sent) if sent.isascii() and sent.isdecimal() and len(sent) <= _MOST_DIGITS else 0
    if not lasted or not start.is_exact or minutes is None:
        scope.used(leaf, "performedDateTime")
        return {"performedDateTime": start.written}
    try:
        end = datetime.fromisoformat(start.written) + timedelta(minutes=lasted)
    except (ValueError, OverflowError):
        scope.used(leaf, "performedDateTime")
        return {"performedDateTime": start.written}
    scope.used(leaf, "performedPeriod.start")
    scope.used(minutes.value(), "performedPeriod.end")
    return {"performedPeriod": {"start": start.written, "end": end.isoformat().replace("+00:00", "Z")}}
