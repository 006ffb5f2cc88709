"""A value set as its definition composes it.

Source: hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Filter:
    """`property op value`: which concepts of a code system."""

    property: str
    op: str
    value: str


@dataclass(frozen=True, slots=True)
class Component:
    """One include or exclude: what all its parts have in common.

    concepts: (code, display) where codes are listed, None where they are not. value_sets: canonicals.
    """

    system: str = ""
    version: str = ""
    concepts: tuple[tuple[str, str], ...] | None = None
    filters: tuple[Filter, ...] = ()
    value_sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ValueSet:
    """One version of a value set: what any include selects and no exclude does."""

    url: str
    version: str
    includes: tuple[Component, ...]
    excludes: tuple[Component, ...] = ()


def read_value_set(resource: Mapping[str, Any]) -> ValueSet:
    """A validated ValueSet resource as a value; one without `compose` includes nothing and defines nothing."""
    compose = resource.get("compose", {})
    return ValueSet(
        url=resource.get("url", ""),
        version=resource.get("version", ""),
        includes=tuple(_component(row) for row in compose.get("include", ())),
        excludes=tuple(_component(row) for row in compose.get("exclude", ())),
    )


def whole_system(url: str, version: str, canonical: str) -> ValueSet:
    """The value set of all codes of a code system (CodeSystem.valueSet)."""
    return ValueSet(canonical, version, (Component(system=url, version=version),))


def _component(row: Mapping[str, Any]) -> Component:
    listed = row.get("concept")
    return Component(
        system=row.get("system", ""),
        version=row.get("version", ""),
        concepts=None
        if listed is None
        else tuple((c["code"], c.get("display", "")) for c in listed if "code" in c),
        filters=tuple(
            Filter(f.get("property", ""), f.get("op", ""), f.get("value", "")) for f in row.get("filter", ())
        ),
        value_sets=tuple(url for url in row.get("valueSet", ()) if url),
    )
