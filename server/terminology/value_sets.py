"""A value set as its definition composes it, or, where it says no more, as it was expanded.

Source: hl7.org/fhir/R4/valueset.html#compositions, #expansion
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.terminology.code_systems import read_designations
from server.terminology.concepts import Designation

_UNCLOSED = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"


@dataclass(frozen=True, slots=True)
class Filter:
    """`property op value`: which concepts of a code system."""

    property: str
    op: str
    value: str


@dataclass(frozen=True, slots=True)
class ListedConcept:
    """A code that a value set lists. display: the value set's own, "" where it has none."""

    code: str
    display: str = ""
    designations: tuple[Designation, ...] = ()


@dataclass(frozen=True, slots=True)
class Component:
    """One include or exclude: what all its parts have in common.

    concepts: where codes are listed, None where they are not. value_sets: canonicals.
    """

    system: str = ""
    version: str = ""
    concepts: tuple[ListedConcept, ...] | None = None
    filters: tuple[Filter, ...] = ()
    value_sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ValueSet:
    """One version of a value set: what any include selects and no exclude does.

    inactive: whether concepts that are out of use count. resource: the definition, {} for one that exists by
    its url alone.
    """

    url: str
    version: str
    includes: tuple[Component, ...]
    excludes: tuple[Component, ...] = ()
    inactive: bool = True
    resource: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


def read_value_set(resource: Mapping[str, Any]) -> ValueSet:
    """A validated ValueSet resource as a value; one that neither composes nor fully lists its codes includes
    nothing and defines nothing."""
    compose = resource.get("compose", {})
    includes = tuple(_component(row) for row in compose.get("include", ()))
    return ValueSet(
        url=resource.get("url", ""),
        version=resource.get("version", ""),
        includes=includes or tuple(_expanded(resource.get("expansion", {}))),
        excludes=tuple(_component(row) for row in compose.get("exclude", ())),
        inactive=compose.get("inactive", True),
        resource=resource,
    )


def whole_system(url: str, version: str, canonical: str) -> ValueSet:
    """The value set of all codes of a code system (CodeSystem.valueSet)."""
    return ValueSet(canonical, version, (Component(system=url, version=version),))


def _component(row: Mapping[str, Any]) -> Component:
    listed = row.get("concept")
    return Component(
        system=row.get("system", ""),
        version=row.get("version", ""),
        concepts=None if listed is None else tuple(_listed(c) for c in listed if "code" in c),
        filters=tuple(
            Filter(f.get("property", ""), f.get("op", ""), f.get("value", "")) for f in row.get("filter", ())
        ),
        value_sets=tuple(url for url in row.get("valueSet", ()) if url),
    )


def _listed(row: Mapping[str, Any]) -> ListedConcept:
    return ListedConcept(row["code"], row.get("display", ""), read_designations(row))


def _expanded(expansion: Mapping[str, Any]) -> Iterator[Component]:
    """The codes of an expansion as includes; none of a page of one, or of one that says that there are more."""
    rows = list(_flat(expansion.get("contains", ())))
    unclosed = any(row.get("url") == _UNCLOSED for row in expansion.get("extension", ()))
    if unclosed or expansion.get("offset") or expansion.get("total", 0) > len(rows):
        return
    by_system: dict[tuple[str, str], list[ListedConcept]] = {}
    for row in rows:
        if "system" in row and not row.get("abstract"):
            by_system.setdefault((row["system"], row.get("version", "")), []).append(_listed(row))
    for (system, version), concepts in by_system.items():
        yield Component(system, version, tuple(concepts))


def _flat(rows: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The codes that an expansion contains, without the rows that only group others."""
    waiting = list(reversed(rows))
    while waiting:
        row = waiting.pop()
        if "code" in row:
            yield row
        waiting.extend(reversed(row.get("contains", ())))
