"""XAD, AD, SAD -> Address (v2-to-FHIR datatype maps; table 0190)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mappings.datatypes.reading import as_code, said, text
from mappings.datatypes.times import period
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition

_CENSUS_TRACT = "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-censusTract"
_PARTS = (("city", 3), ("state", 4), ("postalCode", 5), ("country", 6))


def xad(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """XAD -> Address; None where no part of an address is there."""
    found: dict[str, Any] = {}
    lines = _lines(value, scope)
    if lines:
        found["line"] = lines
    for member, component in _PARTS:
        if part := text(value, scope, member, component):
            found[member] = part
    # XAD.9 was a code and is a CWE since v2.7: its text says more than its code.
    district = text(value, scope, "district", 9, 2) or text(value, scope, "district", 9)
    if district:
        found["district"] = district
    tract = text(value, scope, "extension[0].valueString", 10, 2) or text(
        value, scope, "extension[0].valueString", 10
    )
    if tract:
        found["extension"] = [{"url": _CENSUS_TRACT, "valueString": tract}]
    return _qualified(found, value, scope) if found else None


def _lines(value: Repetition, scope: Scope) -> list[str]:
    """The street as a whole (SAD.1); its name and number (SAD.2, SAD.3) only where that lacks them."""
    lines: list[str] = []
    if street := text(value, scope, "line[0]"):
        lines.append(street)
    parts = [value.value(1, 3), value.value(1, 2)]
    composed = " ".join(part for leaf in parts if (part := said(leaf)))
    if composed:
        is_told = bool(street) and all(said(leaf).casefold() in street.casefold() for leaf in parts)
        if not is_told:
            lines.append(composed)
        for leaf in parts:
            scope.used(leaf, f"line[{len(lines) - 1}]")
    for component in (2, 19):
        if line := text(value, scope, f"line[{len(lines)}]", component):
            lines.append(line)
    return lines


def _qualified(found: dict[str, Any], value: Repetition, scope: Scope) -> dict[str, Any]:
    kind = value.value(7)
    if code := as_code(said(kind)):
        use, sort = scope.table("0190", code), scope.table("0190-type", code)
        if use is None and sort is None:
            scope.warn("code-unknown", kind, "no type of address has this code (table 0190)")
        for member, row in (("use", use), ("type", sort)):
            if row is not None and row.target:
                found[member] = row.target
                scope.used(kind, member, row.name)
    valid = period(value.value(13), value.value(14), scope.at("period"))
    if valid is None:
        valid = period(value.value(12, 1), value.value(12, 2), scope.at("period"))
    if valid:
        found["period"] = valid
    return found
