"""How codes, concepts, identifiers and other tokens are indexed; their displays are kept for `:text`.

Called by the generated extractors with the collector, the value as decoded JSON of a validated resource, and
the entries of all parameters that select it.
Source: hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from server.fhir.folding import fold
from server.fhir.hashing import hash64, mime_type_entry
from server.fhir.index_collector import Collector
from server.fhir.index_entries import USUAL_LENGTH, Entries

SPECIAL_VALUES = "http://hl7.org/fhir/special-values"  # the system of a boolean's token


def coding_hashes(system: str, code: str) -> tuple[int, ...]:
    """Of `system|code` and of `code`; if there is a system, of `system|`."""
    remembered = len(system) + len(code) <= USUAL_LENGTH
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
    folded = _fold_once(text) if len(text) <= USUAL_LENGTH else fold(text)
    for number, _, present in to:
        o.tokens.add(present)
        o.strings[number, folded, text] = None


def code(o: Collector, value: str, to: Entries) -> None:
    """code, id: no system of its own; a MIME type also without its parameters."""
    hashes = coding_hashes("", value)
    _tokens(o, (*hashes, mime_type_entry(value)) if "/" in value else hashes, to)


def string_token(o: Collector, value: str, to: Entries) -> None:
    """A string under a token parameter matches in any case."""
    _tokens(o, (hash64("token", "", value.casefold()), hash64("code", value.casefold())), to)


def boolean(o: Collector, value: bool, to: Entries) -> None:
    """true and false, with the system of special values or none."""
    text = "true" if value else "false"
    _tokens(o, (*coding_hashes("", text), *coding_hashes(SPECIAL_VALUES, text)), to)


def coding(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """Coding; its display is kept for `:text`."""
    system, symbol = value.get("system") or "", value.get("code")
    if symbol is not None:
        _tokens(o, coding_hashes(system, symbol), to)
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
        _tokens(o, (*coding_hashes(value.get("system") or "", text), hash64("token", "", text)), to)
