"""How references and canonicals are indexed, and whose chart and compartment they name.

Called by the generated extractors with the collector, the value as decoded JSON of a validated resource, and
the entries of all parameters that select it.
Source: hl7.org/fhir/R4/search.html#reference
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.fhir.hashing import hash64, reference_hash, version_entry
from server.fhir.index_collector import Collector
from server.fhir.index_entries import Links

_VERSION_PARTS = 8


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
    """canonical or uri under a reference parameter: with its version, each version above it, and without."""
    url, _, version = value.partition("|")
    target = o.target(url)
    parts = version.split(".")[:_VERSION_PARTS] if version else []
    versions = [version_entry(url, ".".join(parts[: end + 1])) for end in range(len(parts))]
    for number, mask, present, _, _, _ in to:
        o.tokens.add(present)
        o.tokens.add(target.hash ^ mask)
        if target.id:
            o.references[number, target.hash] = None
        if url != value:
            o.tokens.add(reference_hash(value) ^ mask)
        for entry in versions:
            o.tokens.add(entry ^ mask)


def resource(o: Collector, value: Mapping[str, Any], to: Links) -> None:
    """A resource inside a Bundle, as if referred to by its type and id."""
    if "id" in value:
        reference(o, {"reference": f"{value['resourceType']}/{value['id']}"}, to)
