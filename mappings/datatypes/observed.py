"""OBX-5 by the datatype that OBX-2 names, with the units of OBX-6; OBX-7 (v2-to-FHIR OBX map, value[x])."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from mappings.datatypes.codes import cwe
from mappings.datatypes.names import displayed, xcn_name, xpn
from mappings.datatypes.numbers import Quantity, bounds, cq, number, structured, unit
from mappings.datatypes.reading import LONGEST, said, words
from mappings.datatypes.times import dr, dtm, tm
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition, Value

_UNKNOWN = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_DECIMAL = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_COMPARED = re.compile(rf"(<=|>=|<|>)\s*({_DECIMAL})", re.ASCII)
_BETWEEN = re.compile(rf"({_DECIMAL})\s*(?:-|–|to)\s*({_DECIMAL})", re.ASCII)
Valued = dict[str, Any]


def obx_value(value: Repetition, scope: Scope) -> Valued | None:
    """OBX-5 -> value[x]. None for an empty one, and for ED and RP, which are documents of their own."""
    kind = scope.sibling(value, 2)
    name = kind.said(1).upper() if kind is not None else ""
    rule = _KINDS.get(name, _words)
    found = rule(value, scope)
    if found and kind is not None and name in _KINDS:
        scope.used(kind.value(1), next(iter(found)))
    return found


def _single(
    member: str, function: Callable[[Repetition, Scope], Any]
) -> Callable[[Repetition, Scope], Valued | None]:
    def rule(value: Repetition, scope: Scope) -> Valued | None:
        apart = scope.apart()
        found = function(value, apart)
        if found is None:
            scope.account.findings.extend(apart.account.findings)
            return _words(value, scope)
        scope.take(apart, member)
        return {member: found}

    return rule


def _units(value: Repetition, scope: Scope, path: str) -> Quantity:
    units = scope.sibling(value, 6)
    return (unit(units, scope.at(path)) or {}) if units is not None else {}


def _quantity(value: Repetition, scope: Scope) -> Valued | None:
    """NM; a comparator before the number, which many senders write, is read too."""
    leaf = value.value(1)
    sent = said(leaf)
    compared = _COMPARED.fullmatch(sent)
    amount = number(compared[2] if compared else sent)
    if amount is None:
        if sent:
            scope.warn("number-invalid", leaf, "not a number of HL7 v2; kept as text")
        return _words(value, scope)
    if compared:
        scope.warn("number-invalid", leaf, "a comparator in a number; read as in a structured number (SN)")
    scope.used(leaf, "valueQuantity.value")
    comparator = {"comparator": compared[1]} if compared else {}
    return {"valueQuantity": {"value": amount, **comparator, **_units(value, scope, "valueQuantity")}}


def _structured(value: Repetition, scope: Scope) -> Valued | None:
    return structured(value, partial(_units, value, scope), scope) or _words(value, scope)


def _range(value: Repetition, scope: Scope) -> Valued | None:
    inner = scope.at("valueRange")
    found = bounds(value.value(1), value.value(2), partial(_units, value, inner), inner)
    return {"valueRange": found} if found else _words(value, scope)


def _samples(value: Repetition, scope: Scope) -> Valued | None:
    return _SAMPLES(value, scope) if value.value().position.repetition == 1 else None


def _words(value: Repetition, scope: Scope) -> Valued | None:
    """The whole of it as text."""
    filled = [leaf for leaf in value.filled() if said(leaf)]
    if not filled:
        return None
    content = words(value)
    if len(content) > LONGEST:
        scope.warn(
            "text-too-long", filled[0], "longer than a string of FHIR may be (1 MiB); the rest is left out"
        )
    for leaf in filled:
        scope.used(leaf, "valueString")
    return {"valueString": content[:LONGEST].strip()}


def _person(value: Repetition, scope: Scope) -> str | None:
    return _named(value, scope, xpn(value, scope.apart()), range(1, 7))


def _numbered_person(value: Repetition, scope: Scope) -> str | None:
    return _named(value, scope, xcn_name(value, scope.apart()), range(2, 8))


def _named(value: Repetition, scope: Scope, name: dict[str, Any] | None, components: range) -> str | None:
    words = displayed(name)
    if not words:
        return None
    for component in components:
        if value.said(component) and value.said(component) in words:
            scope.used(value.value(component))
    return words


def sampled(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """NA, MA: all repetitions of the field -> one SampledData, for the first of them; None for the others.

    A repetition is one point in time, its components are the dimensions; an empty one is "E". HL7 v2 does not
    say how far the points are apart: the period is marked unknown.
    """
    position = value.value().position
    if position.repetition != 1:
        return None
    rows = [
        [leaves[0] for leaves in repetition.components]
        for repetition in scope.siblings(value, position.field)
        if not repetition.is_empty
    ]
    width = max((len(row) for row in rows), default=0)
    points: list[str] = []
    odd: Value | None = None
    for row in rows:
        for leaf in row:
            sent = said(leaf)
            amount = number(sent)
            if sent and amount is None:
                odd = odd or leaf
            elif amount is not None:
                scope.used(leaf, "data")
            points.append("E" if amount is None else format(amount, "f"))
        points += ["E"] * (width - len(row))
    if odd is not None:  # one finding, however many points
        scope.warn("number-invalid", odd, "points that are no number of HL7 v2 have no value")
    if set(points) <= {"E"}:
        return None
    return {
        "origin": {"value": Decimal(0), **_units(value, scope, "origin")},
        "_period": {"extension": [{"url": _UNKNOWN, "valueCode": "unknown"}]},
        "dimensions": width,
        "data": " ".join(points),
    }


def _document(value: Repetition, scope: Scope) -> Valued | None:
    return None


_codeable = _single("valueCodeableConcept", cwe)
_moment = _single("valueDateTime", dtm)
_SAMPLES = _single("valueSampledData", sampled)
_KINDS: dict[str, Callable[[Repetition, Scope], Valued | None]] = {
    "NM": _quantity,
    "SI": _quantity,
    "SN": _structured,
    "NR": _range,
    "NA": _samples,
    "MA": _samples,
    "CQ": _single("valueQuantity", cq),
    "DR": _single("valuePeriod", dr),
    "TM": _single("valueTime", tm),
    "PN": _single("valueString", _person),
    "XPN": _single("valueString", _person),
    "XCN": _single("valueString", _numbered_person),
    **dict.fromkeys(("DT", "TS", "DTM"), _moment),
    **dict.fromkeys(("CE", "CWE", "CNE", "CF", "IS", "ID"), _codeable),
    **dict.fromkeys(("ED", "RP"), _document),
    **dict.fromkeys(("ST", "TX", "FT"), _words),
}


def obx_range(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """OBX-7 -> Observation.referenceRange: its text; low and high where it can be read, in units of OBX-6."""
    leaf = value.value(1)
    sent = said(leaf)
    if not sent:
        return None
    scope.used(leaf, "text")
    found: dict[str, Any] = {"text": sent}
    between, compared = _BETWEEN.fullmatch(sent), _COMPARED.fullmatch(sent)
    low = high = None
    if between:
        low, high = number(between[1]), number(between[2])
        if low is None or high is None or low > high:
            return found
    elif compared:
        end = number(compared[2])
        low, high = (end, None) if compared[1].startswith(">") else (None, end)
    for member, content in (("low", low), ("high", high)):
        if content is not None:
            found[member] = {"value": content, **_units(value, scope, member)}
            scope.used(leaf, f"{member}.value")
    return found
