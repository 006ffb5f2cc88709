"""How strings, names, addresses and uris are indexed.

Called by the generated extractors with the collector, the value as decoded JSON of a validated resource, and
the entries of all parameters that select it.
Source: hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.errors import FhirError
from server.fhir.folding import fold
from server.fhir.hashing import reference_hash
from server.fhir.index_collector import Collector
from server.fhir.index_entries import Entries

# Characters of all indexed strings of a resource. Folding can make 18 of one, and each costs.
TEXT_MAXIMUM = 100_000

_NAME_PARTS = ("given", "prefix", "suffix")
_ADDRESS_PARTS = ("city", "district", "state", "postalCode", "country", "text")


def string(o: Collector, value: str, to: Entries) -> None:
    """string, markdown. Raises: FhirError too-costly beyond TEXT_MAXIMUM."""
    o.characters += len(value)
    if o.characters > TEXT_MAXIMUM:
        raise FhirError("too-costly", f"more than {TEXT_MAXIMUM} characters of searchable text")
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
