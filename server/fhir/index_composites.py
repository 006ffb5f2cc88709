"""How composites are indexed: what stands beside a token in one element, under the token's entry.

The functions that begin with `beside_` make the entries under which the other component is then indexed, by
the functions of `index_ranges` and `index_texts` or, if it is a token or a reference itself, by those here. Of
a token, `code` and `system|code` are kept, not `system|` alone.
Source: hl7.org/fhir/R4/search.html#combining
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from server.errors import FhirError
from server.fhir.hashing import parameter_mask, presence_hash, reference_hash
from server.fhir.index_collector import Collector
from server.fhir.index_entries import USUAL_LENGTH, Entries
from server.fhir.index_tokens import SPECIAL_VALUES, coding_hashes

# Pairs of tokens of a resource: each coding of the one with each of the other.
PAIRS_MAXIMUM = 10_000
_EXACT = 2  # of a coding's hashes, those of `system|code` and `code` come first


class Composites:
    """Composite parameters of which the same elements are the components."""

    __slots__ = ("_parameters", "_usual")

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self._parameters = tuple((parameter_mask(number), presence_hash(number)) for number in numbers)
        self._usual = lru_cache(maxsize=1024)(self._beside)

    def beside(self, system: str, code: str) -> Entries:
        """The entries of what stands beside a code; their masks are made where they are needed."""
        remembered = len(system) + len(code) <= USUAL_LENGTH
        return (self._usual if remembered else self._beside)(system, code)

    def _beside(self, system: str, code: str) -> Entries:
        hashes = coding_hashes(system, code)[:_EXACT]
        return tuple((hash ^ mask, 0, present) for mask, present in self._parameters for hash in hashes)


def composites(*numbers: int) -> Composites:
    """Composite parameters by number."""
    return Composites(numbers)


def beside_code(value: str, to: Composites) -> Entries:
    """Beside a code."""
    return to.beside("", value)


def beside_coding(value: Mapping[str, Any], to: Composites) -> Entries:
    """Beside a Coding."""
    symbol = value.get("code")
    return () if symbol is None else to.beside(value.get("system") or "", symbol)


def beside_concept(value: Mapping[str, Any], to: Composites) -> Entries:
    """Beside each coding of a CodeableConcept."""
    codings = value.get("coding", ())
    if len(codings) == 1:
        return beside_coding(codings[0], to)
    return tuple([entry for item in codings for entry in beside_coding(item, to)])


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


def _coding(value: Mapping[str, Any]) -> Sequence[int]:
    symbol = value.get("code")
    return () if symbol is None else coding_hashes(value.get("system") or "", symbol)[:_EXACT]


def _concept(value: Mapping[str, Any]) -> Sequence[int]:
    codings = value.get("coding", ())
    if len(codings) == 1:
        return _coding(codings[0])
    return [hash for item in codings for hash in _coding(item)]


def _pairs(o: Collector, hashes: Sequence[int], to: Entries) -> None:
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
