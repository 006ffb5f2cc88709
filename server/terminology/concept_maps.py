"""Concept maps as their definitions state them: what a code is in another system.

Source: hl7.org/fhir/R4/conceptmap.html, hl7.org/fhir/R4/conceptmap-operation-translate.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

# Equivalences that say that there is nothing.
NO_MATCH = frozenset({"unmatched", "disjoint"})
# What an equivalence is seen from the other side (hl7.org/fhir/R4/valueset-concept-map-equivalence.html).
_REVERSED: Mapping[str, str] = {
    "wider": "narrower",
    "narrower": "wider",
    "subsumes": "specializes",
    "specializes": "subsumes",
}


@dataclass(frozen=True, slots=True)
class Product:
    """Another element that a translation needs beside the code: what it maps to, or what it depends on."""

    property: str
    system: str
    value: str
    display: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """code: "" where the map says that there is none. depends_on: the target holds only with these."""

    code: str
    display: str = ""
    equivalence: str = "equivalent"
    depends_on: tuple[Product, ...] = ()
    products: tuple[Product, ...] = ()


@dataclass(frozen=True, slots=True)
class Unmapped:
    """What becomes of a code that a group does not mention. mode: provided, fixed or other-map."""

    mode: str
    code: str = ""
    display: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class MapGroup:
    """source, target: systems, "" where the map does not say. elements: code of the source -> targets."""

    source: str
    target: str
    elements: Mapping[str, tuple[Target, ...]]
    unmapped: Unmapped | None = None


@dataclass(frozen=True, slots=True)
class Translation:
    """One target of a code. map: the url of the concept map that says so."""

    system: str
    code: str
    equivalence: str
    display: str = ""
    map: str = ""
    products: tuple[Product, ...] = ()

    @property
    def is_match(self) -> bool:
        return bool(self.code) and self.equivalence not in NO_MATCH


class ConceptMap(Protocol):
    """A concept map, wherever it comes from. source, target: value sets, "" where the map does not say.

    target of the methods: only that system, "" for any. Targets that hold only with something else given are
    left out: what it is nobody can tell here.
    """

    @property
    def url(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...

    def translations(self, system: str, code: str, target: str = "") -> Iterable[Translation]:
        """What a code is."""
        ...

    def translations_back(self, system: str, code: str, target: str = "") -> Iterable[Translation]:
        """The codes that are this one, as far as single codes are stated."""
        ...

    def other(self, system: str, code: str, target: str = "") -> str:
        """The canonical of the map that is asked instead of this one, "" for none."""
        ...


@dataclass(frozen=True, slots=True)
class ListedConceptMap:
    """A concept map in memory, as its definition lists it."""

    url: str
    version: str
    source: str
    target: str
    groups: tuple[MapGroup, ...]

    def translations(self, system: str, code: str, target: str = "") -> Iterator[Translation]:
        for group in self._groups(system, target):
            stated = group.elements.get(code)
            for item in stated if stated is not None else _unmapped(group, code):
                if not item.depends_on:
                    yield Translation(
                        group.target, item.code, item.equivalence, item.display, self.url, item.products
                    )

    def translations_back(self, system: str, code: str, target: str = "") -> Iterator[Translation]:
        for group in self.groups:
            if group.target not in ("", system) or target not in ("", group.source):
                continue
            for source, targets in group.elements.items():
                for item in targets:
                    if item.code == code and not item.depends_on:
                        yield Translation(
                            group.source, source, reversed_equivalence(item.equivalence), map=self.url
                        )

    def other(self, system: str, code: str, target: str = "") -> str:
        for group in self._groups(system, target):
            if code not in group.elements and group.unmapped is not None and group.unmapped.mode == "other-map":
                return group.unmapped.url
        return ""

    def _groups(self, system: str, target: str) -> Iterator[MapGroup]:
        for group in self.groups:
            if group.source in ("", system) and target in ("", group.target):
                yield group


def reversed_equivalence(equivalence: str) -> str:
    """What an equivalence is seen from the other side."""
    return _REVERSED.get(equivalence, equivalence)


def read_concept_map(resource: Mapping[str, Any]) -> ListedConceptMap:
    """A validated ConceptMap resource as a value."""
    return ListedConceptMap(
        url=resource.get("url", ""),
        version=resource.get("version", ""),
        source=resource.get("sourceUri", "") or resource.get("sourceCanonical", ""),
        target=resource.get("targetUri", "") or resource.get("targetCanonical", ""),
        groups=tuple(map(_group, resource.get("group", ()))),
    )


def _unmapped(group: MapGroup, code: str) -> tuple[Target, ...]:
    if group.unmapped is None:
        return ()
    if group.unmapped.mode == "provided":
        return (Target(code, equivalence="equal"),)
    if group.unmapped.mode == "fixed":
        return (Target(group.unmapped.code, group.unmapped.display, "inexact"),)
    return ()


def _group(row: Mapping[str, Any]) -> MapGroup:
    elements: dict[str, tuple[Target, ...]] = {}
    for element in row.get("element", ()):
        if "code" in element:
            targets = tuple(map(_target, element.get("target", ())))
            elements[element["code"]] = (*elements.get(element["code"], ()), *targets)
    unmapped = row.get("unmapped")
    return MapGroup(
        source=row.get("source", ""),
        target=row.get("target", ""),
        elements=elements,
        unmapped=None
        if unmapped is None
        else Unmapped(
            unmapped.get("mode", ""),
            unmapped.get("code", ""),
            unmapped.get("display", ""),
            unmapped.get("url", ""),
        ),
    )


def _target(row: Mapping[str, Any]) -> Target:
    return Target(
        row.get("code", ""),
        row.get("display", ""),
        row.get("equivalence", "equivalent"),
        tuple(map(_product, row.get("dependsOn", ()))),
        tuple(map(_product, row.get("product", ()))),
    )


def _product(row: Mapping[str, Any]) -> Product:
    return Product(row.get("property", ""), row.get("system", ""), row.get("value", ""), row.get("display", ""))
