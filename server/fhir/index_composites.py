"""How composites are indexed: what stands beside a token in one element, under the token's entry.

The functions that begin with `beside_` make the entries under which the other component is then indexed, by
the functions of `index_ranges` and `index_texts` or, if it is a token or a reference itself, by those here. Of
a token, `code` and `system|code` are kept, not `system|` alone.
Source: hl7.org/fhir/R4/search.html#combining
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.errors import FhirError
from server.fhir.hashing import parameter_mask, presence_hash, reference_hash
from server.fhir.index_collector import Collector
from server.fhir.index_entries import Entries
from server.fhir.index_tokens import SPECIAL_VALUES, coding_hashes

# (parameter number, its mask, presence hash)
Composites = tuple[tuple[int, int, int], ...]

# Pairs of tokens of a resource: each coding of the one with each of the other.
PAIRS_MAXIMUM = 10_000
_EXACT = 2  # of a coding's hashes, those of `system|code` and `code` come first


def composites(*numbers: int) -> Composites:
    """Composite parameters by number."""
    return tuple((number, parameter_mask(number), presence_hash(number)) for number in numbers)


def beside_code(value: str, to: Composites) -> Entries:
    """Beside a code."""
    return _beside(coding_hashes("", value)[:_EXACT], to)


def beside_coding(value: Mapping[str, Any], to: Composites) -> Entries:
    """Beside a Coding."""
    return _beside(_coding(value), to)


def beside_concept(value: Mapping[str, Any], to: Composites) -> Entries:
    """Beside each coding of a CodeableConcept."""
    return _beside(_concept(value), to)


def paired_boolean(o: Collector, value: bool, to: Entries) -> None:
    """A boolean beside a token, with the system of special values or none."""
    text = "true" if value else "false"
    _pairs(o, (*coding_hashes("", text)[:_EXACT], *coding_hashes(SPECIAL_VALUES, text)[:_EXACT]), to)


def paired_code(o: Collector, value: str, to: Entries) -> None:
    """A code beside a token."""
    _pairs(o, coding_hashes("", value)[:_EXACT], to)


def paired_concept(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """A CodeableConcept beside a token."""
    _pairs(o, _concept(value), to)


def paired_reference(o: Collector, value: Mapping[str, Any], to: Entries) -> None:
    """A Reference beside a token, by its target."""
    literal = value.get("reference")
    if literal and literal[0] != "#":
        _pairs(o, (o.target(literal).hash,), to)


def paired_canonical(o: Collector, value: str, to: Entries) -> None:
    """A canonical or uri beside a token: with its version and without."""
    url = value.partition("|")[0]
    _pairs(o, tuple(dict.fromkeys((o.target(url).hash, reference_hash(value)))), to)


def _coding(value: Mapping[str, Any]) -> tuple[int, ...]:
    symbol = value.get("code")
    return () if symbol is None else coding_hashes(value.get("system") or "", symbol)[:_EXACT]


def _concept(value: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(hash for item in value.get("coding", ()) for hash in _coding(item)))


def _beside(hashes: tuple[int, ...], to: Composites) -> Entries:
    """The mask is that of the entry, and made where it is needed."""
    return tuple((hash ^ mask, 0, present) for _, mask, present in to for hash in hashes)


def _pairs(o: Collector, hashes: tuple[int, ...], to: Entries) -> None:
    """Raises: FhirError too-costly beyond PAIRS_MAXIMUM."""
    o.pairs += len(hashes) * len(to)
    if o.pairs > PAIRS_MAXIMUM:
        raise FhirError("too-costly", f"more than {PAIRS_MAXIMUM} pairs of codes of one element")
    if hashes:
        for entry, _, present in to:
            o.tokens.add(present)
            mask = parameter_mask(entry)
            for value in hashes:
                o.tokens.add(value ^ mask)
