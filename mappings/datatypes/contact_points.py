"""XTN, TN -> ContactPoint (v2-to-FHIR datatype maps; tables 0201, 0202)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mappings.datatypes.reading import as_code, said, text
from mappings.datatypes.times import between
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition


def xtn(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """XTN -> ContactPoint; None without a number or address."""
    return _contact_point(value, scope, "")


def xtn_home(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """XTN -> ContactPoint, of use home where it does not say its use (PID-13)."""
    return _contact_point(value, scope, "home")


def xtn_work(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """XTN -> ContactPoint, of use work where it does not say its use (PID-14)."""
    return _contact_point(value, scope, "work")


def _contact_point(value: Repetition, scope: Scope, use: str) -> dict[str, Any] | None:
    equipment, address = as_code(value.said(3)), value.said(4)
    row = scope.table("0202", equipment) if equipment else None
    system = row.target if row is not None else "other"
    if not equipment:
        system = "email" if address else "phone"
    content = _number(value, scope, system)
    if not content:
        return None
    found: dict[str, Any] = {"system": system, "value": content}
    if row is not None:
        scope.used(value.value(3), "system", row.name)
    elif equipment:
        scope.warn("code-unknown", value.value(3), "no type of equipment has this code (table 0202)")
    elif not address:
        scope.warn("telecom-unmarked", value.value(1), "nothing says what it is; taken for a phone")
    _use(found, value, scope, use)
    rank = value.said(18)
    if rank.isascii() and rank.isdigit() and 0 < int(rank[:10]) < 2**31 and len(rank) <= 10:
        found["rank"] = int(rank)
        scope.used(value.value(18), "rank")
    valid = between(value, 13, 14, scope.at("period"))
    if valid:
        found["period"] = valid
    return found


def _use(found: dict[str, Any], value: Repetition, scope: Scope, use: str) -> None:
    kind, equipment = value.value(2), value.value(3)
    code = as_code(said(kind))
    row = scope.table("0201", code) if code else None
    if code and row is None:
        scope.warn("code-unknown", kind, "no use of telecommunication has this code (table 0201)")
    mobile = scope.table("0202-use", as_code(said(equipment))) if said(equipment) else None
    if mobile is not None and mobile.target:
        found["use"] = mobile.target
        scope.used(equipment, "use", mobile.name)
    elif row is not None and row.target:
        found["use"] = row.target
        scope.used(kind, "use", row.name)
    elif use and not code:
        found["use"] = use


def _number(value: Repetition, scope: Scope, system: str) -> str:
    """The address (4) of an email; a number as a whole (12), composed (5 to 8) or as written (1)."""
    if system == "email" and (address := text(value, scope, "value", 4)):
        return address
    if whole := text(value, scope, "value", 12):
        return whole
    if local := value.said(7):
        country, area, extension = (value.said(number) for number in (5, 6, 8))
        for number in (5, 6, 7, 8):
            scope.used(value.value(number), "value")
        parts = [
            f"+{country.lstrip('+')}" if country else "",
            area,
            local,
            f"x{extension}" if extension else "",
        ]
        return " ".join(part for part in parts if part)
    return text(value, scope, "value") or text(value, scope, "value", 4)
