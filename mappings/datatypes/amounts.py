"""Numbers whose unit stands in another field: doses, rates, strengths, durations (HL7 v2.9 ch. 4A, 10).

Which field that is stands in amounts.csv: the maximum of a range, the unit, the time that a rate is per, and
the number that says "not known".
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mappings.datatypes.numbers import UCUM, Quantity, cq, number, read_number, unit
from mappings.datatypes.reading import said
from mappings.datatypes.repeat_pattern import LETTERS
from mappings.scope import Scope

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition

# A length of time in the letters of table 0335 and TQ.3: D5 is five days, L a (lunar) month.
_SPAN = re.compile(r"([SMHDWL])([0-9]{1,9})", re.ASCII | re.IGNORECASE)
# Units of time that FHIR knows (units-of-time).
TIMES = frozenset({"s", "min", "h", "d", "wk", "mo", "a"})


@dataclass(frozen=True, slots=True)
class Amount:
    """The fields that belong to a number; 0 for none. unknown: the number that says that it is not known."""

    maximum: int
    units: int
    per: int
    unknown: str


@cache
def amounts() -> dict[tuple[str, int], Amount]:
    """What belongs to which number, by segment and field."""
    with (Path(__file__).parent / "amounts.csv").open(encoding="utf-8", newline="") as file:
        return {
            (row["segment"], int(row["field"])): Amount(
                int(row["maximum"] or 0), int(row["units"]), int(row["per"] or 0), row["unknown"]
            )
            for row in csv.DictReader(file)
        }


def _belongings(value: Repetition) -> Amount:
    position = value.value().position
    return amounts().get((position.segment, position.field), Amount(0, 0, 0, ""))


def _units(value: Repetition, field: int, scope: Scope) -> Quantity:
    units = scope.sibling(value, field) if field else None
    return (unit(units, scope) or {}) if units is not None else {}


def amount(value: Repetition, scope: Scope) -> Quantity | None:
    """NM -> Quantity with the unit of the field that belongs to it; None for what says "not known"."""
    belongings = _belongings(value)
    if belongings.unknown and value.said(1) == belongings.unknown:
        return None
    found = read_number(value.value(1), scope, "value")
    return None if found is None else {"value": found, **_units(value, belongings.units, scope)}


def dose(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """NM -> dose[x]: a doseQuantity; a doseRange where a maximum is sent that is higher."""
    belongings = _belongings(value)
    highest = scope.sibling(value, belongings.maximum) if belongings.maximum else None
    least = number(value.said(1))
    most = number(highest.said(1)) if highest is not None else None
    if highest is None or most is None or least is None or most <= least:
        found = amount(value, scope.at("doseQuantity"))
        if found is None:
            return None
        if highest is not None and most is not None and most == least:
            scope.used(highest.value(1), "doseQuantity.value")
        elif most is not None and highest is not None:
            scope.warn("range-reversed", highest.value(1), "a maximum below the minimum; it is left out")
        return {"doseQuantity": found}
    low = amount(value, scope.at("doseRange.low"))
    if low is None:
        return None
    scope.used(highest.value(1), "doseRange.high.value")
    return {"doseRange": {"low": low, "high": {**low, "value": most}}}


def rate(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """NM -> rate[x]: a rateRatio where the time that it is per is sent (`H1`: an hour), else a rateQuantity."""
    belongings = _belongings(value)
    per = scope.sibling(value, belongings.per) if belongings.per else None
    time = span(per.said(1)) if per is not None else None
    if per is None or time is None:
        found = amount(value, scope.at("rateQuantity"))
        return {"rateQuantity": found} if found else None
    numerator = amount(value, scope.at("rateRatio.numerator"))
    if numerator is None:
        return None
    scope.used(per.value(1), "rateRatio.denominator.value")
    return {"rateRatio": {"numerator": numerator, "denominator": time}}


def span(sent: str) -> dict[str, Any] | None:
    """A length of time as a Duration, None for what is none."""
    found = _SPAN.fullmatch(sent)
    if found is None:
        return None
    code = LETTERS[found[1].upper()]
    return {"value": Decimal(found[2]), "unit": code, "system": UCUM, "code": code}


def duration(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """NM with its unit, or CQ -> Duration; None, with a finding, where the unit is no time of UCUM (drt-1)."""
    apart = scope.apart()
    found = cq(value, apart) if value.said(2) else amount(value, apart)
    if found is None or found.get("code") not in TIMES:
        leaf = value.value(1)
        if said(leaf):
            scope.warn("unit-unknown", leaf, "a length of time needs a unit of time; left out")
        return None
    scope.take(apart)
    return found


def cq_duration(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """CQ -> Duration; None, with a finding, without a unit of time."""
    found = cq(value, scope)
    if found is not None and found.get("code") not in TIMES:
        scope.warn("unit-unknown", value.value(1), "a length of time needs a unit of time; left out")
        return None
    return found


def time_span(value: Repetition, scope: Scope) -> Quantity | None:
    """ST (`H1`: an hour) -> Quantity of time; None, with a finding, for what is none."""
    leaf = value.value(1)
    found = span(said(leaf))
    if found is None:
        scope.warn("unit-unknown", leaf, "not a length of time as H1 or M30; left out")
        return None
    scope.used(leaf, "value")
    return found


def minutes(value: Repetition, scope: Scope) -> int | None:
    """NM with its unit, or CQ -> positiveInt of minutes, rounded up; a number without a unit counts minutes."""
    apart = scope.apart()
    found = cq(value, apart) if value.said(2) else amount(value, apart)
    seconds = _SECONDS.get(str((found or {}).get("code", (found or {}).get("unit", "min"))))
    if found is None or seconds is None:
        if value.said(1):
            scope.warn("unit-unknown", value.value(1), "minutes need a number and a unit of time; left out")
        return None
    whole = ceil(found["value"] * seconds / 60)
    if not 0 < whole < 2**31:
        scope.warn("number-invalid", value.value(1), "not a length of time; left out")
        return None
    for use in apart.account.uses:
        scope.used(use.value)
    scope.account.findings.extend(apart.account.findings)
    return whole


_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "wk": 604_800}


def cq_per_day(value: Repetition, scope: Scope) -> dict[str, Any] | None:
    """CQ -> Ratio per day (a total daily dose)."""
    numerator = cq(value, scope.at("numerator"))
    if numerator is None:
        return None
    return {
        "numerator": numerator,
        "denominator": {"value": Decimal(1), "unit": "d", "system": UCUM, "code": "d"},
    }
