"""NM, SI, SN, NR, CQ, MO -> numbers and quantities (v2-to-FHIR datatype maps). Digits stay as sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mappings.datatypes.codes import TRIPLETS, coding_system
from mappings.datatypes.reading import as_code, said, text
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition, Value

UCUM = "http://unitsofmeasure.org"
COMPARATORS = frozenset({"<", "<=", ">", ">="})
_NM = re.compile(r"[+-]?(?:[0-9]{1,60}(?:\.[0-9]{0,60})?|\.[0-9]{1,60})", re.ASCII)
Quantity = dict[str, Any]
# Where the units of a number belong -> unit, system, code; asked for only when there is a number.
Units = Callable[[str], Quantity]


def _no_units(path: str) -> Quantity:
    return {}


def number(sent: str) -> Decimal | None:
    """An NM with its digits: "1.50" is not "1.5". None for what is none."""
    return Decimal(sent.removesuffix(".") or "0") if _NM.fullmatch(sent) else None


def read_number(leaf: Value, scope: Scope, path: str = "") -> Decimal | None:
    """The number in a component, counted as used; None for an empty one and, with a finding, for no number."""
    sent = said(leaf)
    if not sent:
        return None
    found = number(sent)
    if found is None:
        scope.warn("number-invalid", leaf, "not a number of HL7 v2")
        return None
    scope.used(leaf, path)
    return found


def nm(value: Repetition, scope: Scope) -> Decimal | None:
    """NM, SI -> decimal."""
    return read_number(value.value(1), scope)


def nm_integer(value: Repetition, scope: Scope) -> int | None:
    """NM, SI -> integer."""
    return _whole(value, scope, -(2**31))


def nm_unsigned(value: Repetition, scope: Scope) -> int | None:
    """NM, SI -> unsignedInt."""
    return _whole(value, scope, 0)


def nm_positive(value: Repetition, scope: Scope) -> int | None:
    """NM, SI -> positiveInt."""
    return _whole(value, scope, 1)


def _whole(value: Repetition, scope: Scope, least: int) -> int | None:
    leaf = value.value(1)
    sent = said(leaf)
    if not sent:
        return None
    found = number(sent)
    if found is None or found != found.to_integral_value() or not least <= found < 2**31:
        scope.warn("number-invalid", leaf, "not a whole number of the size that is asked for")
        return None
    scope.used(leaf)
    return int(found)


def unit(value: Repetition, scope: Scope) -> Quantity | None:
    """CWE, CE, ST of units -> the unit, system and code of a Quantity.

    UCUM where it is named or where table `ucum` knows the spelling; else the words as sent, and with a coding
    system of its own its code. A system always comes with a code and a code with a system (FHIR's qty-3).
    """
    for triplet in TRIPLETS:
        leaf, words, system = value.value(triplet[0]), value.value(triplet[1]), value.value(triplet[2])
        code = as_code(said(leaf))
        is_ucum = _names_ucum(system, scope)
        row = scope.table("ucum", code, exact=True) if code else None
        if code and (is_ucum or row is not None):
            scope.used(leaf, "code", row.name if row else "")
            scope.used(words, "unit")
            if is_ucum:
                scope.used(system, "system")
            return {"unit": said(words) or code, "system": UCUM, "code": row.target if row else code}
    return _own_unit(value, scope)


def _names_ucum(system: Value, scope: Scope) -> bool:
    sent = said(system)
    row = scope.table("0396", sent) if sent else None
    return (scope.source.systems.get(sent) or (row.target if row else sent)) == UCUM


def _own_unit(value: Repetition, scope: Scope) -> Quantity | None:
    leaf = value.value(1)
    code, words = as_code(said(leaf)), text(value, scope, "unit", 2) or text(value, scope, "unit", 9)
    if code:
        scope.warn("unit-unknown", leaf, "neither UCUM nor a spelling that table ucum knows")
    if code and value.said(3):
        scope.used(leaf, "code")
        uri = coding_system(value.value(3), value.value(14), scope, "system")
        return {"unit": words or code, "system": uri, "code": code}
    if not words:
        scope.used(leaf, "unit")
    return {"unit": words or code} if words or code else None


def cq(value: Repetition, scope: Scope) -> Quantity | None:
    """CQ -> Quantity; None without a number."""
    amount = read_number(value.value(1), scope, "value")
    if amount is None:
        return None
    return {"value": amount, **(unit(value.part(2), scope) or {})}


def mo(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """MO -> Money."""
    amount = read_number(value.value(1), scope, "value")
    if amount is None:
        return None
    currency = value.value(2)
    row = scope.table("currencies", said(currency)) if said(currency) else None
    if row is None:
        if said(currency):
            scope.warn("code-unknown", currency, "not a currency of ISO 4217; left out")
        return {"value": amount}
    scope.used(currency, "currency", row.name)
    return {"value": amount, "currency": row.target}


def cp(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """CP -> Money of its price."""
    return mo(value.part(1), scope)


def nr(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """NR -> Range."""
    return bounds(value.value(1), value.value(2), _no_units, scope)


def bounds(low: Value, high: Value, units: Units, scope: Scope) -> dict[str, Any] | None:
    """Two components -> Range; a high end below the low one is left out, with a finding (rng-2)."""
    found: dict[str, Any] = {}
    first = read_number(low, scope, "low.value")
    shared: Quantity | None = None
    if first is not None:
        shared = units("low")
        found["low"] = {"value": first, **shared}
    last = number(said(high))
    if last is not None and first is not None and last < first:
        scope.warn("range-reversed", high, "a high end below the low one; it is left out")
    elif said(high):
        last = read_number(high, scope, "high.value")
        if last is not None:
            found["high"] = {"value": last, **(units("high") if shared is None else shared)}
    return found or None


def sn(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """SN -> value[x]: Quantity, Range or Ratio; a string for what is none of them (`1+`, `>1:128`)."""
    return structured(value, _no_units, scope)


def structured(value: Repetition, units: Units, scope: Scope) -> dict[str, Any] | None:
    """An SN with the units of its numbers."""
    leaves = tuple(value.value(component) for component in (1, 2, 3, 4))
    comparator, first, separator, second = (said(leaf) for leaf in leaves)
    if not first and not second:
        return None
    one, two = number(first), number(second)
    comparator = "" if comparator == "=" else comparator
    member: str
    content: Any
    if comparator in COMPARATORS | {""} and one is not None and not separator and not second:
        member, content = "valueQuantity", {"value": one, **units("valueQuantity")}
        if comparator:
            content["comparator"] = comparator
    elif not comparator and separator == "-" and one is not None and two is not None and one <= two:
        shared = units("valueRange.low")
        member, content = "valueRange", {"low": {"value": one, **shared}, "high": {"value": two, **shared}}
    elif not comparator and separator in (":", "/") and one is not None and two is not None:
        member, content = "valueRatio", {"numerator": {"value": one}, "denominator": {"value": two}}
    else:
        member, content = "valueString", f"{comparator}{first}{separator}{second}"
        if comparator not in COMPARATORS | {"", "<>"} or separator not in ("", "-", "+", "/", ":"):
            scope.warn("operator-unknown", value.value(3 if separator else 1), "not of HL7 v2; kept as text")
    for leaf in leaves:
        scope.used(leaf, member)
    return {member: content}
