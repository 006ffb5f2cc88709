"""The terminology's file (package `terminology`) as code systems, value sets and concept maps of FHIR.

The file never changes; a new edition is another file, which is taken up here as soon as it is in place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from server.terminology.concept_maps import Translation, reversed_equivalence
from server.terminology.concepts import Concept, Designation, Property
from server.terminology.value_sets import Component, ListedConcept, ValueSet, read_value_set
from server.terminology.words import Words
from terminology.coded import Coded, CodeSystemInfo
from terminology.concepts import Concepts
from terminology.editions import current
from terminology.writing import IS_A

# Concepts of a list that are read at once: the first page of a long one is often all that is wanted.
_FIRST, _MOST = 200, 20_000


class FileCodeSystem:
    """A version of a code system in the file."""

    case_sensitive = True
    value_set = ""
    is_listed = True
    cost = 10  # a concept is some 50 microseconds away

    def __init__(self, concepts: Concepts, info: CodeSystemInfo) -> None:
        self._concepts = concepts
        self.info = info
        self.url, self.version, self.name, self.content = info.url, info.version, info.name, info.content

    @property
    def is_complete(self) -> bool:
        return self.content == "complete"

    @cached_property
    def _relations(self) -> frozenset[str]:
        return frozenset(self._concepts.relation_names(self.url, self.version))

    @cached_property
    def meaning(self) -> str:
        return IS_A if IS_A in self._relations or self.is_complete else ""

    @cached_property
    def properties(self) -> Mapping[str, str]:
        names = self._concepts.property_names(self.url, self.version)
        return {**dict.fromkeys(self._relations - {IS_A}, "code"), **dict.fromkeys(names, "string")}

    def concept(self, code: str) -> Concept | None:
        found = self._concepts.lookup(self.url, code, self.version)
        if found is None:
            return None
        return Concept(
            found.code,
            found.display,
            tuple(parent.code for parent in found.parents),
            (
                *(Property(row.name, row.type, _typed(row.type, row.value)) for row in found.properties),
                *(Property(row.name, "code", row.code) for row in found.relations),
            ),
            tuple(
                Designation(row.value, row.language, {"code": row.use} if row.use else None)
                for row in found.designations
            ),
            inactive=not found.active,
        )

    def in_other_case(self, code: str) -> str:
        return ""

    def codes(self) -> Iterator[str]:
        return _paged(lambda count, offset: self._concepts.every(self.url, self.version, (), count, offset))

    def matching(self, words: Words) -> Iterator[str]:
        if self._concepts.find(self.url, words.text, self.version) is not None:
            yield words.text
        yield from _paged(
            lambda count, offset: (
                self._concepts.search(self.url, words.text, count, offset, self.version).concepts
            )
        )

    def having(self, name: str, values: Collection[str]) -> Iterable[str]:
        found = self._concepts.with_property(self.url, name, list(values), self.version)
        related = self._concepts.with_relation(self.url, name, list(values), self.version)
        return dict.fromkeys(row.code for row in (*found, *related))

    def children(self, code: str) -> tuple[str, ...]:
        found = self._concepts.lookup(self.url, code, self.version)
        return tuple(child.code for child in found.children) if found else ()

    def below(self, code: str) -> Iterator[str]:
        if self._concepts.find(self.url, code, self.version) is not None:
            yield code
            yield from _paged(
                lambda count, offset: self._concepts.descendants(self.url, code, self.version, count, offset)
            )

    def above(self, code: str) -> Iterator[str]:
        if self._concepts.find(self.url, code, self.version) is not None:
            yield code
            yield from (row.code for row in self._concepts.ancestors(self.url, code, self.version))

    def subsumes(self, above: str, below: str) -> bool:
        return self._concepts.is_a(self.url, above, below, self.version)


class FileConceptMap:
    """A concept map in the file, or, where none is named, all of them."""

    def __init__(self, concepts: Concepts, url: str = "", body: Mapping[str, Any] | None = None) -> None:
        self._concepts = concepts
        body = body or {}
        self.url, self.version = url, body.get("version", "")
        self.source = body.get("sourceUri", "") or body.get("sourceCanonical", "")
        self.target = body.get("targetUri", "") or body.get("targetCanonical", "")

    def translations(self, system: str, code: str, target: str = "") -> Iterator[Translation]:
        for row in self._concepts.translate(system, code, target or None):
            if self.url in ("", row.map):
                yield Translation(row.system, row.code, row.equivalence, map=row.map)

    def translations_back(self, system: str, code: str, target: str = "") -> Iterator[Translation]:
        for row in self._concepts.translate_back(system, code, target or None):
            if self.url in ("", row.map):
                yield Translation(row.system, row.code, reversed_equivalence(row.equivalence), map=row.map)

    def other(self, system: str, code: str, target: str = "") -> str:
        return ""


class Vocabulary:
    """What one edition of the file defines. Safe to share between threads."""

    def __init__(self, concepts: Concepts) -> None:
        self._concepts = concepts
        self.edition = concepts.edition
        self.code_system = lru_cache(maxsize=256)(self._code_system)
        self.value_set = lru_cache(maxsize=64)(self._value_set)

    def systems(self) -> tuple[FileCodeSystem, ...]:
        """Every version of every code system, the default version of each first."""
        found = (self.code_system(info.url, info.version) for info in self._concepts.systems())
        return tuple(system for system in found if system is not None)

    def concept_map(self, url: str, version: str) -> FileConceptMap | None:
        body = self._concepts.concept_map(url)
        if body is None or version not in ("", body.get("version", "")):
            return None
        return FileConceptMap(self._concepts, url, body)

    def every_map(self) -> FileConceptMap:
        """All concept maps as one."""
        return FileConceptMap(self._concepts)

    def _code_system(self, url: str, version: str) -> FileCodeSystem | None:
        info = self._concepts.system(url, version or None)
        if info is None and version:  # an edition of SNOMED CT, which means the latest version of it
            editions = [i for i in self._concepts.systems() if i.url == url]
            latest = [i for i in editions if i.version.startswith(f"{version}/version/")]
            info = max(latest, key=lambda i: i.version, default=None)
        return None if info is None else FileCodeSystem(self._concepts, info)

    def _value_set(self, url: str, version: str) -> ValueSet | None:
        resource = self._concepts.value_set(url, version or None)
        if resource is None:
            return None
        found = read_value_set(resource)
        if found.includes:
            return found
        listed: dict[tuple[str, str], list[ListedConcept]] = {}  # an answer list of LOINC
        for row in self._concepts.members(url, version or None) or ():
            listed.setdefault((row.system, row.version), []).append(ListedConcept(row.code, row.display))
        return replace(found, includes=tuple(Component(*key, tuple(rows)) for key, rows in listed.items()))


def current_vocabulary(folder: Path | None) -> Vocabulary | None:
    """The current edition of the file in a folder, None where there is none."""
    path = None if folder is None else current(folder)
    return None if path is None else _opened(path)


@lru_cache(maxsize=2)
def _opened(path: Path) -> Vocabulary:
    return Vocabulary(Concepts(path))


def _paged(read: Callable[[int, int], tuple[Coded, ...]]) -> Iterator[str]:
    """The codes of a list that is read in pages, each larger than the one before."""
    count, offset = _FIRST, 0
    while True:
        found = read(count, offset)
        yield from (row.code for row in found)
        if len(found) < count:
            return
        count, offset = min(count * 5, _MOST), offset + count


def _typed(kind: str, value: str) -> Any:
    """The value of a property as JSON has it."""
    if kind == "boolean":
        return value == "true"
    if kind == "integer" and value.lstrip("-").isdigit():
        return int(value)
    return value
