"""How dates, numbers and quantities are indexed: each as a range from low to high.

Called by the generated extractors with the collector, the value as decoded JSON of a validated resource, and
the entries of all parameters that select it.
Source: hl7.org/fhir/R4/search.html#date, #number, #quantity
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, partial
from math import inf, isfinite, nextafter
from typing import Any

from server.fhir.dates import EARLIEST, LATEST, date_range
from server.fhir.hashing import CANONICAL, dimension_hash, unit_hash
from server.fhir.index_collector import Collector
from server.fhir.index_entries import USUAL_LENGTH, Entries
from server.fhir.units import UCUM, Unit, unit

Number = int | float | Decimal
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


@dataclass(frozen=True, slots=True)
class _Units:
    """The unit of a quantity. written: hashes of its code and its text, (0,) for none.

    canonical: hash of what its amounts are compared in, 0 for a unit of no system. measure: how they get there.
    """

    written: tuple[int, ...]
    canonical: int
    measure: Unit | None


def _read_units(system: str, symbol: str, text: str) -> _Units:
    written = tuple(unit_hash(None, name) for name in dict.fromkeys((symbol, text)) if name)
    if not (system and symbol):
        return _Units(written or (0,), 0, None)
    measure = unit(symbol) if system == UCUM else None
    if measure is None:
        return _Units(written, unit_hash(system, symbol), None)
    return _Units(written, dimension_hash(measure.dimension), measure)


_units_once = lru_cache(maxsize=4096)(_read_units)


def _units(value: Mapping[str, Any]) -> _Units:
    system, code, text = value.get("system") or "", value.get("code") or "", value.get("unit") or ""
    remembered = len(system) + len(code) + len(text) <= USUAL_LENGTH
    return (_units_once if remembered else _read_units)(system, code, text)


def _canonical(amount: Number, units: _Units) -> float:
    """A finite amount in the unit that such amounts are compared in."""
    return float(amount) if units.measure is None else units.measure.canonical(amount)


def _quantities(o: Collector, low: float, high: float, units: tuple[int, ...], to: Entries) -> None:
    for number, _, present in to:
        o.tokens.add(present)
        for written in units:
            o.quantities[number, low, high, written] = None


def _canonical_quantities(o: Collector, low: float, high: float, unit: int, to: Entries) -> None:
    for number, _, _ in to:
        o.quantities[number ^ CANONICAL, low, high, unit] = None


def number(o: Collector, value: Number, to: Entries) -> None:
    """decimal, integer: a point; the precision of what is stored does not count."""
    _quantities(o, float(value), float(value), (0,), to)


def numbers(o: Collector, first: Number, second: Number, to: Entries) -> None:
    """Two numbers of a composite, one in place of either end."""
    _quantities(o, float(first), float(second), (0,), to)


def _compared(value: float, comparator: str | None) -> tuple[float, float]:
    """A comparator opens the side it points to: "< 5" is all numbers below 5, without 5 itself."""
    if comparator == "<":
        return -inf, nextafter(value, -inf)
    if comparator == "<=":
        return -inf, value
    if comparator == ">":
        return nextafter(value, inf), inf
    return value, (inf if comparator == ">=" else value)


def quantity(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Quantity, Age, Duration ...: by its code and its unit as written; of a system, once more in the unit that
    all of its kind are compared in."""
    known, written, units, canonical = o.amount
    if known is not value:  # the same one comes again, under its parameters and beside its code
        amount = value.get("value")
        if amount is None:
            return
        comparator, units = value.get("comparator"), _units(value)
        written = _compared(float(amount), comparator)
        canonical = _compared(_canonical(amount, units), comparator) if units.canonical else written
        o.amount = value, written, units, canonical
    _quantities(o, written[0], written[1], units.written, to)
    if units.canonical:
        _canonical_quantities(o, canonical[0], canonical[1], units.canonical, to)


def money(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Money: the currency is its code, of ISO 4217."""
    currency = value.get("currency") or ""
    quantity(o, {"value": value.get("value"), "system": "urn:iso:std:iso:4217", "code": currency}, to)


def quantity_range(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Range: from low to high, open where one is missing.

    Ends of different units have no canonical form unless these measure the same.
    """
    low, high = value.get("low") or {}, value.get("high") or {}
    if "value" not in low and "value" not in high:
        return
    units = [_units(end) for end in (low, high) if "code" in end or "unit" in end] or [_units({})]
    written = dict.fromkeys(hash for found in units for hash in found.written)
    _quantities(o, *_ends(low, high, float, float), tuple(written), to)
    if units[0].canonical and units[0].canonical == units[-1].canonical:
        ends = _ends(low, high, partial(_canonical, units=units[0]), partial(_canonical, units=units[-1]))
        _canonical_quantities(o, *ends, units[0].canonical, to)


def _ends(
    low: Mapping[str, Any],
    high: Mapping[str, Any],
    of_low: Callable[[Number], float],
    of_high: Callable[[Number], float],
) -> tuple[float, float]:
    start = of_low(low["value"]) if "value" in low else -inf
    return start, of_high(high["value"]) if "value" in high else inf


def number_range(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Range under a number parameter: its unit does not count."""
    low, high = value.get("low") or {}, value.get("high") or {}
    if "value" in low or "value" in high:
        _quantities(o, *_ends(low, high, float, float), (0,), to)


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
        units, low, high = _units(origin), min(samples), max(samples)
        _quantities(o, low, high, units.written, to)
        if units.canonical:
            ends = _canonical(low, units), _canonical(high, units)
            _canonical_quantities(o, *ends, units.canonical, to)
