"""XCN, XON, PL -> References to Practitioners, Organizations and Locations (v2-to-FHIR datatype maps).

What can be known again becomes a resource of its own: a person or organization with a number, a place with
its path. One resource for one key, however often a message speaks of it, so that a year of messages about three
wards makes three Locations. A name alone cannot be known again: it stays a Reference with only a display.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from mappings.datatypes.authorities import Authority, source_uri
from mappings.datatypes.identifiers import ei, identifier
from mappings.datatypes.names import displayed, xcn_name
from mappings.datatypes.reading import as_code, text
from mappings.result import Identity
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition

_PHYSICAL_TYPE = "http://terminology.hl7.org/CodeSystem/location-physical-type"
# Component of a PL, code of the Location's physical type and its display; from the widest to the narrowest.
_LEVELS = (
    (4, "si", "Site"),
    (7, "bu", "Building"),
    (1, "wa", "Ward"),
    (8, "lvl", "Level"),
    (2, "ro", "Room"),
    (3, "bd", "Bed"),
)
Reference = dict[str, Any]
Part: TypeAlias = "Callable[[Repetition, Scope], dict[str, Any] | None]"


def xcn_identifier(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """XCN -> Identifier of the person."""
    return identifier(value, scope, authority=Authority.of(value.part(9)), kind=13, check=11)


def xcn(value: Repetition, scope: Scope) -> Reference | None:
    """XCN -> Reference(Practitioner), with the Practitioner where it has an id number; None for nobody."""
    return _person(value, scope, xcn_identifier, xcn_name)


def ndl(value: Repetition, scope: Scope) -> Reference | None:
    """NDL -> Reference(Practitioner), as xcn does it: the person is a CNN in NDL.1.

    Many send an XCN instead: then a family name stands where NDL.2 has a time.
    """
    second = value.said(2)
    if second and not second[0].isdigit():
        return xcn(value, scope)
    return _person(value.part(1), scope, _cnn_identifier, _cnn_name)


def _cnn_identifier(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    return identifier(value, scope, authority=Authority.of(value, 9))


def _cnn_name(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    family = text(value, scope, "family", 2)
    found: dict[str, Any] = {"family": family} if family else {}
    for member, components in (("given", (3, 4)), ("prefix", (6,)), ("suffix", (5,))):
        parts: list[str] = []
        for component in components:
            if part := text(value, scope, f"{member}[{len(parts)}]", component):
                parts.append(part)
        if parts:
            found[member] = parts
    return found or None


def _person(value: Repetition, scope: Scope, identifier_of: Part, name_of: Part) -> Reference | None:
    if not value.said(1):
        return _by_name(
            displayed(name_of(value, scope.apart())), "Practitioner", value, scope, tuple(range(2, 7))
        )
    apart = scope.apart()
    number = identifier_of(value, apart) or {}
    key = _key("Practitioner", number, scope)
    inner = scope.of(key)
    inner.take(apart, "identifier[0]")
    resource: dict[str, Any] = {"resourceType": "Practitioner", "identifier": [number]}
    name = name_of(value, inner.at("name[0]"))
    if name:
        resource["name"] = [name]
    degree = as_code(value.said(7))
    if degree:
        resource["qualification"] = [{"code": _degree(degree, value, inner)}]
    reference = scope.resource(
        key,
        resource,
        (_identity("Practitioner", number, scope),),
        lists={"identifier": "union:system,value"},
        keep=("name", "qualification"),
    )
    return _displayed(reference, displayed(name))


def _degree(degree: str, value: Repetition, scope: Scope) -> dict[str, Any]:
    row = scope.table("0360", degree)
    if row is None:
        scope.used(value.value(7), "qualification[0].code.text")
        return {"text": degree}
    scope.used(value.value(7), "qualification[0].code.coding[0].code", row.name)
    return {"coding": [{"system": row.system, "code": row.target, "display": row.display}]}


def xon_identifier(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """XON -> Identifier of the organization: XON.10, else XON.3."""
    place = 10 if value.said(10) else 3
    check = 0 if place == 10 else 4
    return identifier(value, scope, authority=Authority.of(value.part(6)), number=place, kind=7, check=check)


def xon(value: Repetition, scope: Scope) -> Reference | None:
    """XON -> Reference(Organization), with the Organization where it has an id number; None for nothing."""
    name = value.said(1)
    if not (value.said(10) or value.said(3)):
        return _by_name(name, "Organization", value, scope, (1,))
    apart = scope.apart()
    number = xon_identifier(value, apart) or {}
    key = _key("Organization", number, scope)
    inner = scope.of(key)
    inner.take(apart, "identifier[0]")
    resource: dict[str, Any] = {"resourceType": "Organization", "identifier": [number]}
    if name:
        resource["name"] = text(value, inner, "name")
    reference = scope.resource(
        key,
        resource,
        (_identity("Organization", number, scope),),
        lists={"identifier": "union:system,value"},
        keep=("name",),
    )
    return _displayed(reference, name)


def pl(value: Repetition, scope: Scope) -> Reference | None:
    """PL -> Reference(Location) to the narrowest place named; a Location for it and each that it is part of.

    The path from the widest to the narrowest place is what a Location is known by, for one source.
    """
    found = _chain(value, scope, is_pl=True)
    return found or _by_name(value.said(9), "Location", value, scope, (9,))


def la(value: Repetition, scope: Scope) -> Reference | None:
    """LA1, LA2 -> Reference(Location), as pl; the address of the place is left alone."""
    return _chain(value, scope, is_pl=False)


def _chain(value: Repetition, scope: Scope, *, is_pl: bool) -> Reference | None:
    names = [as_code(value.said(component)) for component, _, _ in _LEVELS]
    reference: Reference | None = None
    last = max((at for at, name in enumerate(names) if name), default=-1)
    for at, (component, code, display) in enumerate(_LEVELS):
        if not names[at]:
            continue
        path = "|".join(name.replace("%", "%25").replace("|", "%7C") for name in names[: at + 1])
        key = f"Location:{path}:{code}"
        inner = scope.of(key)
        inner.used(value.value(component), "name")
        resource: dict[str, Any] = {
            "resourceType": "Location",
            "name": names[at],
            "mode": "instance",
            "physicalType": {"coding": [{"system": _PHYSICAL_TYPE, "code": code, "display": display}]},
        }
        identities = [Identity(source_uri(scope, "location"), f"{path}:{code}")]
        if reference:
            resource["partOf"] = reference
        if at == last and is_pl:
            _most_granular(resource, identities, value, inner)
        reference = scope.resource(key, resource, identities, write="create")
    return _displayed(reference, names[last]) if reference is not None else None


def _most_granular(
    resource: dict[str, Any], identities: list[Identity], value: Repetition, scope: Scope
) -> None:
    description = text(value, scope, "description", 9)
    if description:
        resource["description"] = description
    number = ei(value.part(10), scope.at("identifier[0]"))
    if number:
        resource["identifier"] = [number]
        if number.get("system"):
            identities.append(Identity(number["system"], number["value"]))


def _key(resource_type: str, number: dict[str, Any], scope: Scope) -> str:
    identity = _identity(resource_type, number, scope)
    return f"{resource_type}:{identity.system}|{identity.value}"


def _identity(resource_type: str, number: dict[str, Any], scope: Scope) -> Identity:
    """By system and number; a number without a system counts for its source only and is no identifier there."""
    if "system" in number:
        return Identity(number["system"], number["value"])
    return Identity(
        f"urn:baton:hl7v2:{scope.source.name}:{resource_type}", number["value"], is_identifier=False
    )


def _by_name(
    name: str, resource_type: str, value: Repetition, scope: Scope, components: tuple[int, ...]
) -> Reference | None:
    if not name:
        return None
    for component in components:
        scope.used(value.value(component), "display")
    return {"type": resource_type, "display": name}


def _displayed(reference: Reference, name: str) -> Reference:
    return {**reference, "display": name} if name else reference
