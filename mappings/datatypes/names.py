"""XPN, PN and the names of XCN -> HumanName (v2-to-FHIR datatype maps; tables 0200, 0444)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mappings.datatypes.reading import as_code, text
from mappings.datatypes.times import between, period
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition

_EXTENSION = "http://hl7.org/fhir/StructureDefinition/humanname-"
# Subcomponents of FN and the extension of `family` that each is.
_FAMILY = ((2, "own-prefix"), (3, "own-name"), (4, "partner-prefix"), (5, "partner-name"))


@dataclass(frozen=True, slots=True)
class Layout:
    """At which components the parts of a name stand; 0 for none."""

    family: int
    given: int
    further: int
    prefix: int
    suffixes: tuple[int, ...]
    use: int
    valid: int
    start: int
    end: int
    order: int


XPN = Layout(1, 2, 3, 5, (4, 6, 14), 7, 10, 12, 13, 11)
XCN = Layout(2, 3, 4, 6, (5, 21), 10, 17, 19, 20, 18)


def xpn(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """XPN -> HumanName; None where no part of a name is there."""
    return human_name(value, scope, XPN)


def xpn_called(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """XPN.15 ("called by") -> a second HumanName, the nickname."""
    called = text(value, scope, "given[0]", 15)
    return {"use": "nickname", "given": [called]} if called else None


def xcn_name(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """XCN -> HumanName of the person."""
    return human_name(value, scope, XCN)


def human_name(value: Repetition, scope: Scope, at: Layout) -> dict[str, Any] | None:
    """The name that stands in these components. Given names are kept as sent, not split at spaces."""
    found: dict[str, Any] = {}
    family = text(value, scope, "family", at.family)
    if family:
        found["family"] = family
    _family_parts(found, value, scope, at.family)
    for member, components in (
        ("given", (at.given, at.further)),
        ("prefix", (at.prefix,)),
        ("suffix", at.suffixes),
    ):
        parts = _list(value, scope, member, components)
        if parts:
            found[member] = parts
    return _qualified(found, value, scope, at) if found else None


def _family_parts(found: dict[str, Any], value: Repetition, scope: Scope, component: int) -> None:
    extensions: list[dict[str, str]] = []
    for number, name in _FAMILY:
        part = text(value, scope, f"_family.extension[{len(extensions)}].valueString", component, number)
        if part:
            extensions.append({"url": _EXTENSION + name, "valueString": part})
    if extensions:
        found["_family"] = {"extension": extensions}


def _list(value: Repetition, scope: Scope, member: str, components: tuple[int, ...]) -> list[str]:
    parts: list[str] = []
    for component in components:
        part = text(value, scope, f"{member}[{len(parts)}]", component)
        if part:
            parts.append(part)
    return parts


def _qualified(found: dict[str, Any], value: Repetition, scope: Scope, at: Layout) -> dict[str, Any]:
    if code := as_code(value.said(at.use)):
        use = value.value(at.use)
        row = scope.table("0200", code)
        if row is None:
            scope.warn("code-unknown", use, "no type of name has this code (table 0200)")
        elif row.target:
            found["use"] = row.target
            scope.used(use, "use", row.name)
    valid = between(value, at.start, at.end, scope.at("period"))
    if valid is None and value.said(at.valid, 1) + value.said(at.valid, 2):
        valid = period(value.value(at.valid, 1), value.value(at.valid, 2), scope.at("period"))
    if valid:
        found["period"] = valid
    order = as_code(value.said(at.order))
    if order:
        scope.used(value.value(at.order), "extension[0].valueCode")
        found["extension"] = [{"url": f"{_EXTENSION}assembly-order", "valueCode": order}]
    return found


def displayed(name: dict[str, Any] | None) -> str:
    """A name in words, "" for none: prefix, given, family, suffix."""
    if not name:
        return ""
    parts = [*name.get("prefix", ()), *name.get("given", ()), name.get("family", ""), *name.get("suffix", ())]
    return " ".join(part for part in parts if part)
