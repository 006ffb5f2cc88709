"""The invariants of R4's data types: name -> function of the element, true when the rule holds.

Source: hl7.org/fhir/R4/datatypes.html, metadatatypes.html, elementdefinition.html (constraints)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from server.fhir.dates import date_range
from server.fhir.validation_presence import UCUM, Json, chosen, count, distinct, has

Invariant = Callable[[Any], bool]

# Values without a time zone may be of any place on earth: two dates contradict each other only when no
# choice of zones could put them in order.
_WIDEST_OFFSET = 14 * 3600 * 1_000_000
_UTC = ZoneInfo(str(UTC))
_SLICE_NAME = re.compile(r"[a-zA-Z0-9/\-_\[\]@]+")
_NAME_PART = r"[^\s.,:;'\"/|?!@#$%&*()\[\]{}]{1,64}"
_PATH = re.compile(rf"{_NAME_PART}(?:\.{_NAME_PART}(?:\[x\])?(?::[^\s.]+)?)*")


def certainly_after(first: Any, second: Any) -> bool:
    """Whether a date, dateTime or instant lies after another, whatever zone a zoneless one is in."""
    if first is None or second is None:
        return False
    low = date_range(first, _UTC)[0] - (_WIDEST_OFFSET if len(first) <= 10 < len(second) else 0)
    high = date_range(second, _UTC)[1] + (_WIDEST_OFFSET if len(second) <= 10 < len(first) else 0)
    return low >= high


def _period_in_order(period: Json) -> bool:
    return not certainly_after(period.get("start"), period.get("end"))


def _range_in_order(element: Json) -> bool:
    low, high = element.get("low", {}), element.get("high", {})
    if (
        any(low.get(unit) != high.get(unit) for unit in ("system", "code"))
        or "value" not in low
        or "value" not in high
    ):
        return True
    if "code" not in low and low.get("unit") != high.get("unit"):
        return True
    return bool(low["value"] <= high["value"])


def _coded_value(element: Json, systems: str) -> bool:
    return (has(element, "code") or not has(element, "value")) and element.get("system", systems) == systems


def _count(element: Json) -> bool:
    value = element.get("value", 0)
    whole = not isinstance(value, Decimal) or "." not in str(value)
    return _coded_value(element, UCUM) and element.get("code", "1") == "1" and whole


def _offset_of_an_event(repeat: Json) -> bool:
    return "offset" not in repeat or (
        has(repeat, "when") and not {"C", "CM", "CD", "CV"} & set(repeat.get("when", ()))
    )


def _trigger(trigger: Json) -> bool:
    kind = trigger.get("type", "")
    return (
        (kind != "named-event" or has(trigger, "name"))
        and (kind != "periodic" or chosen(trigger, "timing"))
        and (not kind.startswith("data-") or has(trigger, "data"))
    )


def _min_at_most_max(definition: Json) -> bool:
    highest = definition.get("max", "*")
    return "min" not in definition or not highest.isdecimal() or definition["min"] <= int(highest)


def _only_a_content_reference(definition: Json) -> bool:
    return "contentReference" not in definition or not (
        has(definition, "type", "example", "maxLength", "binding")
        or any(
            chosen(definition, name) for name in ("defaultValue", "fixed", "pattern", "minValue", "maxValue")
        )
    )


def _one_type(definition: Json, choice: str) -> bool:
    return not chosen(definition, choice) or len(definition.get("type", ())) <= 1


DATATYPE_INVARIANTS: dict[str, Invariant] = {
    "age-1": lambda e: _coded_value(e, UCUM) and e.get("value", 1) > 0,
    "att-1": lambda e: not has(e, "data") or has(e, "contentType"),
    "cnt-3": _count,
    "cpt-2": lambda e: "value" not in e or has(e, "system"),
    "dis-1": lambda e: _coded_value(e, UCUM),
    "drq-1": lambda e: count(e, "path", "searchParam") == 1,
    "drq-2": lambda e: count(e, "path", "searchParam") == 1,
    "drt-1": lambda e: "code" not in e or (e.get("system") == UCUM and has(e, "value")),
    "eld-1": lambda e: has(e, "discriminator", "description"),
    "eld-2": _min_at_most_max,
    "eld-3": lambda highest: highest == "*" or highest.isdecimal(),
    "eld-4": lambda e: "aggregation" not in e or e.get("code") in ("Reference", "canonical"),
    "eld-5": _only_a_content_reference,
    "eld-6": lambda e: _one_type(e, "fixed"),
    "eld-7": lambda e: _one_type(e, "pattern"),
    "eld-8": lambda e: not (chosen(e, "pattern") and chosen(e, "fixed")),
    "eld-12": lambda e: e.get("valueSet", "urn:").startswith(("http:", "https", "urn:")),
    "eld-13": lambda e: distinct(row.get("code") for row in e.get("type", ())),
    "eld-14": lambda e: distinct(row.get("key") for row in e.get("constraint", ())),
    "eld-15": lambda e: not (chosen(e, "defaultValue") and has(e, "meaningWhenMissing")),
    "eld-16": lambda e: "sliceName" not in e or _SLICE_NAME.fullmatch(e["sliceName"]) is not None,
    "eld-17": lambda e: "targetProfile" not in e or e.get("code") in ("Reference", "canonical"),
    "eld-18": lambda e: e.get("isModifier") is not True or has(e, "isModifierReason"),
    "eld-19": lambda e: "path" not in e or _PATH.fullmatch(e["path"]) is not None,
    "eld-22": lambda e: not has(e, "sliceIsConstraining") or has(e, "sliceName"),
    "ext-1": lambda e: has(e, "extension") != chosen(e, "value"),
    "exp-1": lambda e: has(e, "expression", "reference"),
    "mqty-1": lambda e: _coded_value(e, "urn:iso:std:iso:4217"),
    "per-1": _period_in_order,
    "qty-3": lambda e: "code" not in e or "system" in e or "_system" in e,
    "rat-1": lambda e: (
        count(e, "numerator", "denominator") == 2
        or (count(e, "numerator", "denominator") == 0 and has(e, "extension"))
    ),
    "rng-2": _range_in_order,
    "sqty-1": lambda e: not has(e, "comparator"),
    "tim-1": lambda e: "duration" not in e or has(e, "durationUnit"),
    "tim-2": lambda e: "period" not in e or has(e, "periodUnit"),
    "tim-4": lambda e: e.get("duration", 0) >= 0,
    "tim-5": lambda e: e.get("period", 0) >= 0,
    "tim-6": lambda e: "periodMax" not in e or has(e, "period"),
    "tim-7": lambda e: "durationMax" not in e or has(e, "duration"),
    "tim-8": lambda e: "countMax" not in e or has(e, "count"),
    "tim-9": _offset_of_an_event,
    "tim-10": lambda e: not (has(e, "timeOfDay") and has(e, "when")),
    "trd-1": lambda e: not (has(e, "data") and chosen(e, "timing")),
    "trd-2": lambda e: "condition" not in e or has(e, "data"),
    "trd-3": _trigger,
}
