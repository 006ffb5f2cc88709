"""How a value of each FHIR datatype is indexed: one function a datatype, called by the generated extractors.

Each takes the collector, the value as decoded JSON, and the entries: one for every search parameter that
selects the value, so that a value under several parameters is hashed once. An entry is made by `entries` or
`links` from parameter numbers. Values are of validated resources.
Source: hl7.org/fhir/R4/search.html#ptypes
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any

from server.fhir.dates import EARLIEST, LATEST, date_range
from server.fhir.folding import fold
from server.fhir.hashing import hash64, parameter_mask, presence_hash, reference_hash, unit_hash
from server.fhir.index_collector import Collector

# (parameter number, mask, presence hash)
Entries = tuple[tuple[int, int, int], ...]
# ... and the only resource type that counts or "", whether it puts into a compartment, and into a chart
Links = tuple[tuple[int, int, int, str, bool, bool], ...]

_SPECIAL_VALUES = "http://hl7.org/fhir/special-values"  # the system of a boolean's token
_INFINITY = float("inf")
# The same few codes and displays come again and again and are remembered; longer texts never are, so that
# what is remembered stays small whatever is sent.
_USUAL_LENGTH = 200
_SAMPLE = re.compile(r"[+-]?[0-9]{1,64}(?:\.[0-9]{1,64})?")


def entries(*numbers: int) -> Entries:
    """Entries of parameters by number."""
    return tuple((number, parameter_mask(number), presence_hash(number)) for number in numbers)


def links(*parameters: tuple[int, str, bool, bool]) -> Links:
    """Entries of reference parameters: (number, only this type or "", in compartment, in chart)."""
    return tuple(
        (number, parameter_mask(number), presence_hash(number), only, compartment, chart)
        for number, only, compartment, chart in parameters
    )


# Tokens --------------------------------------------------------------------------------------------------


def _coding_hashes(system: str, code: str) -> tuple[int, ...]:
    remembered = len(system) + len(code) <= _USUAL_LENGTH
    return (_hash_coding_once if remembered else _hash_coding)(system, code)


def _hash_coding(system: str, code: str) -> tuple[int, ...]:
    hashes = (hash64("token", system, code), hash64("code", code))
    return (*hashes, hash64("system", system)) if system else hashes


_hash_coding_once = lru_cache(maxsize=16384)(_hash_coding)


def _tokens(o: Collector, hashes: tuple[int, ...], to: Entries) -> None:
    add = o.tokens.add
    for _, mask, present in to:
        add(present)
        for value in hashes:
            add(value ^ mask)


_fold_once = lru_cache(maxsize=4096)(fold)


def _texts(o: Collector, text: str, to: Entries) -> None:
    folded = _fold_once(text) if len(text) <= _USUAL_LENGTH else fold(text)
    for number, _, present in to:
        o.tokens.add(present)
        o.strings[number, folded, text] = None


def code(o: Collector, value: str, to: Entries) -> None:
    """code, id: no system of its own."""
    _tokens(o, _coding_hashes("", value), to)


def string_token(o: Collector, value: str, to: Entries) -> None:
    """A string under a token parameter matches in any case."""
    _tokens(o, (hash64("token", "", value.casefold()), hash64("code", value.casefold())), to)


def boolean(o: Collector, value: bool, to: Entries) -> None:
    """true and false, with the system of special values or none."""
    text = "true" if value else "false"
    _tokens(o, (*_coding_hashes("", text), *_coding_hashes(_SPECIAL_VALUES, text)), to)


def coding(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Coding; its display is kept for `:text`."""
    system, symbol = value.get("system") or "", value.get("code")
    if symbol is not None:
        _tokens(o, _coding_hashes(system, symbol), to)
    elif system:
        _tokens(o, (hash64("system", system),), to)
    display = value.get("display")
    if display:
        _texts(o, display, to)


def codeable_concept(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """CodeableConcept: each coding; text is kept for `:text`."""
    for item in value.get("coding", ()):
        coding(o, item, to)
    text = value.get("text")
    if text:
        _texts(o, text, to)


def identifier(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Identifier: system and value; also by each coding of its type, whose text is kept for `:text`."""
    system, number = value.get("system") or "", value.get("value")
    kind = value.get("type") or {}
    hashes = [hash64("system", system)] if system else []
    if number is not None:
        hashes += (hash64("token", system, number), hash64("code", number))
        for item in kind.get("coding", ()):
            if "code" in item:
                hashes.append(hash64("of-type", item.get("system") or "", item["code"], number))
    if hashes:
        _tokens(o, tuple(hashes), to)
    text = kind.get("text")
    if text:
        _texts(o, text, to)


def contact_point(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """ContactPoint: its value; its system (phone, email, ...) may be given as the token's."""
    text = value.get("value")
    if text is not None:
        _tokens(o, (*_coding_hashes(value.get("system") or "", text), hash64("token", "", text)), to)


# Strings and uris ----------------------------------------------------------------------------------------

_NAME_PARTS = ("given", "prefix", "suffix")
_ADDRESS_PARTS = ("city", "district", "state", "postalCode", "country", "text")


def string(o: Collector, value: str, to: Entries) -> None:
    """string, markdown."""
    folded = fold(value)
    for number, _, present in to:
        o.tokens.add(present)
        o.strings[number, folded, value] = None


def human_name(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """HumanName: family, each given, prefix and suffix, and the text."""
    for part in ("family", "text"):
        text = value.get(part)
        if text:
            string(o, text, to)
    for part in _NAME_PARTS:
        for text in value.get(part, ()):
            if text:
                string(o, text, to)


def address(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Address: each line, city, district, state, postal code, country, and the text."""
    for text in value.get("line", ()):
        if text:
            string(o, text, to)
    for part in _ADDRESS_PARTS:
        text = value.get(part)
        if text:
            string(o, text, to)


def uri(o: Collector, value: str, to: Entries) -> None:
    """uri, url, canonical under a uri parameter: the hash to find it, the text for :above and :below."""
    target = reference_hash(value)
    for number, mask, present in to:
        o.tokens.add(present)
        o.tokens.add(target ^ mask)
        o.uris[number, value] = None


# References ----------------------------------------------------------------------------------------------


def reference(o: Collector, value: Mapping[str, Any], to: Links) -> None:
    """Reference: by its target, and by its identifier for `:identifier`."""
    literal = value.get("reference")
    if literal and literal[0] != "#":
        target = o.target(literal)
        kind = target.resource_type or value.get("type", "")
        for number, mask, present, only, compartment, chart in to:
            if only and kind != only:
                continue
            o.tokens.add(present)
            o.tokens.add(target.hash ^ mask)
            if target.id:
                o.references[number, target.hash] = None
                if compartment and kind == "Patient":
                    o.compartments[target.id] = None
                if chart and kind == "Patient":
                    o.charts[target.id] = None
    elif literal or value.get("display"):
        for _, _, present, only, _, _ in to:
            if not only or value.get("type", "") == only:
                o.tokens.add(present)
    logical = value.get("identifier")
    if logical:
        _logical_reference(o, logical, value.get("type", ""), literal or "", to)


def _logical_reference(o: Collector, logical: Mapping[str, Any], kind: str, literal: str, to: Links) -> None:
    system, number = logical.get("system") or "", logical.get("value")
    hashes = [hash64("identifier-system", system)] if system else []
    if number is not None:
        hashes += (hash64("identifier", system, number), hash64("identifier-value", number))
    kind = kind or (o.target(literal).resource_type if literal else "")
    for _, mask, present, only, _, _ in to:
        # A logical reference that names no type may be one of the wanted type: it is found, not hidden.
        if not only or kind in ("", only):
            o.tokens.add(present)
            for value in hashes:
                o.tokens.add(value ^ mask)


def canonical(o: Collector, value: str, to: Links) -> None:
    """canonical or uri under a reference parameter: with its version and without."""
    url = value.partition("|")[0]
    target = o.target(url)
    for number, mask, present, _, _, _ in to:
        o.tokens.add(present)
        o.tokens.add(target.hash ^ mask)
        if target.id:
            o.references[number, target.hash] = None
        if url != value:
            o.tokens.add(reference_hash(value) ^ mask)


def resource(o: Collector, value: Mapping[str, Any], to: Links) -> None:
    """A resource inside a Bundle, as if referred to by its type and id."""
    if "id" in value:
        reference(o, {"reference": f"{value['resourceType']}/{value['id']}"}, to)


# Dates ---------------------------------------------------------------------------------------------------


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
    remembered = sum(map(len, texts)) <= _USUAL_LENGTH
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
