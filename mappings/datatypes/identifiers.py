"""CX, EI, EIP, DLN, PLN and the identifiers of XCN and XON -> Identifier (v2-to-FHIR datatype maps)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mappings.datatypes.authorities import Authority, configured, local_uri, system
from mappings.datatypes.reading import as_code, said, text
from mappings.datatypes.times import between, moment
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition, Value

TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
_CHECK_DIGIT = "http://hl7.org/fhir/StructureDefinition/identifier-checkDigit"
Identifier = dict[str, Any]


def cx(value: Repetition, scope: Scope) -> Identifier | None:
    """CX -> Identifier; None without an id number."""
    found = identifier(value, scope, authority=Authority.of(value.part(4)), kind=5, check=2)
    if found is not None:
        _within(found, between(value, 7, 8, scope.at("period")))
    return found


def cx_merged(value: Repetition, scope: Scope) -> Identifier | None:
    """CX of MRG -> Identifier; what names no authority has that of the PID before it: the first of the same
    type there, else the first."""
    authority = Authority.of(value.part(4))
    if not _is_named(authority):
        authority = _of_survivor(value, scope) or authority
    found = identifier(value, scope, authority=authority, kind=5, check=2)
    if found is not None:
        _within(found, between(value, 7, 8, scope.at("period")))
    return found


def _is_named(authority: Authority) -> bool:
    return bool(said(authority.namespace) or said(authority.universal))


def _of_survivor(value: Repetition, scope: Scope) -> Authority | None:
    place = value.value().position.ordinal
    before = [segment for segment in scope.message.every("PID") if segment.ordinal < place]
    numbers = before[-1].repetitions(3) if before else ()
    named = [(said(one.value(5)), Authority.of(one.part(4))) for one in numbers]
    named = [(kind, authority) for kind, authority in named if _is_named(authority)]
    alike = [authority for kind, authority in named if kind == said(value.value(5))]
    return next(iter((*alike, *(authority for _, authority in named))), None)


def identifier(
    value: Repetition,
    scope: Scope,
    *,
    authority: Authority,
    number: int = 1,
    kind: int = 0,
    check: int = 0,
) -> Identifier | None:
    """An Identifier out of these components: its number, its type (table 0203), its check digit; 0 for none."""
    content = text(value, scope, "value", number)
    if not content:
        return None
    found: Identifier = {"value": content}
    if kind:
        _typed(found, value.value(kind), "0203", scope)
    _assigned(found, authority, scope)
    digit = text(value, scope, "extension[0].valueString", check) if check else ""
    if digit:
        found["extension"] = [{"url": _CHECK_DIGIT, "valueString": digit}]
    return found


def _assigned(found: Identifier, authority: Authority, scope: Scope) -> None:
    namespace = said(authority.namespace)
    uri = system(authority, scope, "system", "assigner.display")
    if uri:
        found["system"] = uri
    if namespace and said(authority.universal):
        found["assigner"] = {"display": namespace}


def _typed(found: Identifier, leaf: Value, table: str, scope: Scope) -> None:
    code = as_code(said(leaf))
    if not code:
        return
    row = scope.table(table, code)
    if row is None:
        scope.warn("code-unknown", leaf, f"no type of identifier has this code (table {table})")
        coding = {"system": f"http://terminology.hl7.org/CodeSystem/v2-{table}", "code": code}
    else:
        coding = {"system": row.system, "code": row.target, "display": row.display}
    found["type"] = {"coding": [coding]}
    scope.used(leaf, "type.coding[0].code", row.name if row else "")


def _within(found: Identifier, valid: dict[str, Any] | None) -> None:
    if valid:
        found["period"] = valid


def _of_type(found: Identifier | None, code: str, scope: Scope) -> Identifier | None:
    if found is not None:
        row = scope.table("0203", code)
        display = {"display": row.display} if row else {}
        found["type"] = {"coding": [{"system": TYPES, "code": code, **display}]}
    return found


def ei(value: Repetition, scope: Scope) -> Identifier | None:
    """EI -> Identifier."""
    return identifier(value, scope, authority=Authority.of(value, 2))


def ei_placer(value: Repetition, scope: Scope) -> Identifier | None:
    """EI -> Identifier of type PLAC."""
    return _of_type(ei(value, scope), "PLAC", scope)


def ei_filler(value: Repetition, scope: Scope) -> Identifier | None:
    """EI -> Identifier of type FILL."""
    return _of_type(ei(value, scope), "FILL", scope)


def ei_placer_group(value: Repetition, scope: Scope) -> Identifier | None:
    """EI -> Identifier of type PGN."""
    return _of_type(ei(value, scope), "PGN", scope)


def ei_filler_group(value: Repetition, scope: Scope) -> Identifier | None:
    """EI -> Identifier of type FGN."""
    return _of_type(ei(value, scope), "FGN", scope)


def ei_accession(value: Repetition, scope: Scope) -> Identifier | None:
    """EI -> Identifier of type ACSN."""
    return _of_type(ei(value, scope), "ACSN", scope)


def eip_placer(value: Repetition, scope: Scope) -> Identifier | None:
    """EIP -> Identifier of its placer half, type PLAC."""
    return ei_placer(value.part(1), scope)


def eip_filler(value: Repetition, scope: Scope) -> Identifier | None:
    """EIP -> Identifier of its filler half, type FILL."""
    return ei_filler(value.part(2), scope)


def eip_placer_group(value: Repetition, scope: Scope) -> Identifier | None:
    """EIP -> Identifier of its placer half, type PGN."""
    return ei_placer_group(value.part(1), scope)


def eip_filler_group(value: Repetition, scope: Scope) -> Identifier | None:
    """EIP -> Identifier of its filler half, type FGN."""
    return ei_filler_group(value.part(2), scope)


def dln(value: Repetition, scope: Scope) -> Identifier | None:
    """DLN -> Identifier of type DL; its system is that of the state or country that issued it."""
    content = text(value, scope, "value")
    if not content:
        return None
    found: Identifier = {"value": content}
    place = value.value(2)
    if name := said(place):
        row = scope.table("driver-licences", name)
        found["system"] = scope.source.systems.get(name) or (row.target if row else local_uri(name))
        if row is None and name not in scope.source.systems:
            scope.warn(
                "namespace-unknown", place, "no system is configured for driver's licences of this place"
            )
        scope.used(place, "system", row.name if row else "")
    _ends(found, value.value(3), scope)
    return _of_type(found, "DL", scope)


def pln(value: Repetition, scope: Scope) -> Identifier | None:
    """PLN -> Identifier of a practitioner, its type of table 0338, its system one known for that type."""
    content = text(value, scope, "value")
    if not content:
        return None
    found: Identifier = {"value": content}
    _typed(found, value.value(2), "0338", scope)
    uri = configured(scope, value.said(2)) if value.said(2) else ""
    if uri:
        found["system"] = uri
    _ends(found, value.value(4), scope)
    return found


def _ends(found: Identifier, leaf: Value, scope: Scope) -> None:
    end = moment(leaf, scope)
    if end is not None:
        found["period"] = {"end": end.written}
        scope.used(leaf, "period.end")
