"""How dates, numbers and quantities are indexed: each as a range from low to high.

Called by the generated extractors with the collector, the value as decoded JSON of a validated resource, and
the entries of all parameters that select it.
Source: hl7.org/fhir/R4/search.html#date, #number, #quantity
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any

from server.fhir.dates import EARLIEST, LATEST, date_range
from server.fhir.hashing import unit_hash
from server.fhir.index_collector import Collector
from server.fhir.index_entries import USUAL_LENGTH, Entries

_INFINITY = float("inf")
_SAMPLE = re.compile(r"[+-]?[0-9]{1,64}(?:\.[0-9]{1,64})?")


def _dates(o: Collector, low: int, high: int, to: Entries) -> None:
    for number, _, present in to:
        o.tokens.add(present)
        o.dates[number, low, high] = None


def date(o: Collector, value: str, to: Entries) -> None:
    """date, dateTime, instant."""
    low, high = date_range(value, o.local)
    _dates(o, low, high, to)


def period(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Period: from the start of its start to the end of its end; a missing end is open."""
    start, end = value.get("start"), value.get("end")
    if start or end:
        low = date_range(start, o.local)[0] if start else EARLIEST
        high = date_range(end, o.local)[1] if end else LATEST
        _dates(o, low, high, to)


def timing(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Timing: only its outer limits count, the earliest and latest of its events and bounds."""
    ranges = [date_range(event, o.local) for event in value.get("event", ()) if event]
    bounds = (value.get("repeat") or {}).get("boundsPeriod")
    if bounds:
        start, end = bounds.get("start"), bounds.get("end")
        low = date_range(start, o.local)[0] if start else EARLIEST
        ranges.append((low, date_range(end, o.local)[1] if end else LATEST))
    if ranges:
        _dates(o, min(low for low, _ in ranges), max(high for _, high in ranges), to)


# Numbers and quantities ----------------------------------------------------------------------------------


def _quantities(o: Collector, low: float, high: float, units: tuple[int, ...], to: Entries) -> None:
    for number, _, present in to:
        o.tokens.add(present)
        for unit in units:
            o.quantities[number, low, high, unit] = None


def number(o: Collector, value: int | Decimal, to: Entries) -> None:
    """decimal, integer: a point; the precision of what is stored does not count."""
    _quantities(o, float(value), float(value), (0,), to)


def _units(system: str, symbol: str, unit: str) -> tuple[int, ...]:
    found = [unit_hash(system, symbol)] if system and symbol else []
    found += [unit_hash(None, text) for text in dict.fromkeys((symbol, unit)) if text]
    return tuple(found) or (0,)


def quantity(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Quantity, Age, Duration ...: under its system and code, its code, and its unit as written.

    A comparator opens the side it points to: "< 5" is all numbers below 5.
    """
    amount = value.get("value")
    if amount is None:
        return
    low = high = float(amount)
    comparator = value.get("comparator")
    if comparator in ("<", "<="):
        low = -_INFINITY
    elif comparator in (">", ">="):
        high = _INFINITY
    _quantities(o, low, high, _unit_hashes(value), to)


_units_once = lru_cache(maxsize=4096)(_units)


def _unit_hashes(value: Mapping[str, Any]) -> tuple[int, ...]:
    texts = value.get("system") or "", value.get("code") or "", value.get("unit") or ""
    remembered = sum(map(len, texts)) <= USUAL_LENGTH
    return (_units_once if remembered else _units)(*texts)


def money(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Money: the currency is its code, of ISO 4217."""
    amount = value.get("value")
    if amount is not None:
        units = _units("urn:iso:std:iso:4217", value.get("currency") or "", "")
        _quantities(o, float(amount), float(amount), units, to)


def quantity_range(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Range: from low to high, open where one is missing."""
    low, high = value.get("low") or {}, value.get("high") or {}
    if "value" in low or "value" in high:
        units = dict.fromkeys((*_unit_hashes(low), *_unit_hashes(high))) if low and high else None
        _quantities(
            o,
            float(low["value"]) if "value" in low else -_INFINITY,
            float(high["value"]) if "value" in high else _INFINITY,
            tuple(units) if units else _unit_hashes(low or high),
            to,
        )


def number_range(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Range under a number parameter: its unit does not count."""
    low, high = value.get("low") or {}, value.get("high") or {}
    if "value" in low or "value" in high:
        start = float(low["value"]) if "value" in low else -_INFINITY
        end = float(high["value"]) if "value" in high else _INFINITY
        _quantities(o, start, end, (0,), to)


def sampled_data(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """SampledData: from its lowest to its highest sample, in the unit of its origin."""
    origin = value.get("origin") or {}
    zero, factor = float(origin.get("value", 0)), float(value.get("factor", 1))
    samples = []
    for text in (value.get("data") or "").split():
        if _SAMPLE.fullmatch(text):  # others: E, U and L, for error and beyond the limits
            sample = float(text) * factor + zero
            if isfinite(sample):
                samples.append(sample)
    if samples:
        _quantities(o, min(samples), max(samples), _unit_hashes(origin), to)
