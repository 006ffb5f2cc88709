"""Value sets, code systems and concept maps as one caller may use them: those stored here that it may see, then
those of the terminology's file, then R4's own.

Several of one url: the asked version, or else the latest that is not retired. What was read is kept by its
content, so that a new version of a resource needs no invalidation and no caller gets what only another may see.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock
from typing import Any

import msgspec

from server.fhir.search_parameters import parameter
from server.fhir.search_query import (
    Clause,
    SearchParameter,
    SearchQuery,
    SortKey,
    TokenValue,
    UriValue,
)
from server.fhir.visibility import Visibility
from server.storage.database import Connection
from server.storage.resources import read
from server.storage.search import Search
from server.storage.versions import StoredVersion
from server.storage.vocabulary import Vocabulary
from server.terminology import shipped
from server.terminology.code_systems import read_code_system
from server.terminology.concept_maps import ConceptMap, read_concept_map
from server.terminology.concepts import CodeSystem
from server.terminology.ucum import UNITS
from server.terminology.value_sets import ValueSet, read_value_set

# Resources of one url that are looked at, the last changed first; bytes of resources that a process keeps read.
_VERSIONS_MAXIMUM = 20
_KEPT_BYTES = 8_000_000

_PART = re.compile(r"[0-9]+|[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Found:
    """A definition; identity: the same for the same content, wherever it was found."""

    identity: bytes
    definition: Any


class Kept:
    """What was worked out, by key, the most recently used up to a total weight. For many threads."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._items: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._weight = 0
        self._lock = Lock()

    def get(self, key: Any) -> Any:
        """What is kept under the key, None for nothing."""
        with self._lock:
            item = self._items.get(key)
            if item is None:
                return None
            self._items.move_to_end(key)
            return item[0]

    def put(self, key: Any, value: Any, weight: int) -> None:
        with self._lock:
            _, old = self._items.pop(key, (None, 0))
            self._weight += weight - old
            self._items[key] = (value, weight)
            while self._weight > self._maximum:
                _, (_, gone) = self._items.popitem(last=False)
                self._weight -= gone


_KEPT = Kept(_KEPT_BYTES)
_READ: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "ValueSet": read_value_set,
    "CodeSystem": read_code_system,
    "ConceptMap": read_concept_map,
}
_SHIPPED: Mapping[str, Callable[[str, str], Any]] = {
    "ValueSet": shipped.value_set,
    "CodeSystem": shipped.code_system,
    "ConceptMap": shipped.concept_map,
}


class StoredDefinitions:
    """`server.terminology.definitions.Definitions` of one caller on one connection; a url is looked up once.

    vocabulary: the terminology's file, None without one. asked: everything that was looked up, with what was
    found.
    """

    def __init__(self, connection: Connection, visible: Visibility, vocabulary: Vocabulary | None) -> None:
        self._connection = connection
        self._visible = visible
        self.vocabulary = vocabulary
        self.asked: dict[tuple[str, str, str], Found | None] = {}

    def value_set(self, url: str, version: str) -> ValueSet | None:
        found = self.find("ValueSet", url, version)
        return None if found is None else found.definition

    def code_system(self, url: str, version: str) -> CodeSystem | None:
        found = self.find("CodeSystem", url, version)
        return None if found is None else found.definition

    def concept_map(self, url: str, version: str) -> ConceptMap | None:
        found = self.find("ConceptMap", url, version)
        return None if found is None else found.definition

    def concept_maps_from(self, system: str) -> tuple[ConceptMap, ...]:
        """Those stored here first; of several of one url the one in use."""
        return self._maps("source-system", system, shipped.concept_maps_from(system))

    def concept_maps_to(self, system: str) -> tuple[ConceptMap, ...]:
        """Likewise."""
        return self._maps("target-system", system, shipped.concept_maps_to(system))

    def _maps(self, code: str, system: str, of_r4: tuple[ConceptMap, ...]) -> tuple[ConceptMap, ...]:
        stored = self._matches("ConceptMap", Clause(_known("ConceptMap", code), "", (UriValue(system),)))
        urls = dict.fromkeys(_read(match)[0].definition.url for match in stored)
        own = [found for url in urls if (found := self.concept_map(url, "")) is not None]
        of_file = () if self.vocabulary is None else (self.vocabulary.every_map(),)
        return (*own, *of_file, *(found for found in of_r4 if found.url not in urls))

    def find(self, resource_type: str, url: str, version: str) -> Found | None:
        """The definition by its canonical url; version "": the one in use."""
        key = (resource_type, url, version)
        if key not in self.asked:
            self.asked[key] = self._stored(*key) or self._published(*key)
        return self.asked[key]

    def of_id(self, resource_type: str, id: str) -> Found | None:
        """The definition stored here under an id."""
        stored = read(self._connection, resource_type, id, self._visible)
        return None if stored is None or stored.deleted else _read(stored)[0]

    def _published(self, resource_type: str, url: str, version: str) -> Found | None:
        """What is the same for everyone. Of a code system the complete one is taken before a part of it."""
        of_file = _of_file(self.vocabulary, resource_type, url, version)
        if of_file is not None and (resource_type != "CodeSystem" or of_file.definition.is_complete):
            return of_file
        if (resource_type, url) == ("CodeSystem", UNITS.url) and version in ("", UNITS.version):
            return Found(b"ucum", UNITS)
        return _of_r4(resource_type, url, version) or of_file

    def _stored(self, resource_type: str, url: str, version: str) -> Found | None:
        conditions = [Clause(_known(resource_type, "url"), "", (UriValue(url),))]
        if version:
            conditions.append(Clause(_known(resource_type, "version"), "", (TokenValue(None, version),)))
        matches = self._matches(resource_type, *conditions)
        candidates = [
            (rank, match.last_updated, found)
            for match in matches
            for found, rank in [_read(match)]
            if version in ("", found.definition.version)
        ]
        if not candidates:
            return None
        return max(candidates, key=lambda candidate: candidate[:2])[2]

    def _matches(self, resource_type: str, *conditions: Clause) -> tuple[StoredVersion, ...]:
        latest = SortKey(_known(resource_type, "_lastUpdated"), descending=True)
        query = SearchQuery(resource_type, conditions, (latest,), count=_VERSIONS_MAXIMUM)
        return tuple(Search(self._connection, query, self._visible).page(0).matches)


def _known(resource_type: str, code: str) -> SearchParameter:
    found = parameter(resource_type, code)
    assert found is not None  # R4 has it
    return found


def _read(stored: StoredVersion) -> tuple[Found, tuple[Any, ...]]:
    """A stored resource as a definition, and what orders it among others of the same url."""
    identity = blake2b(stored.body, digest_size=16, key=stored.resource_type.encode()).digest()
    kept: tuple[Found, tuple[Any, ...]] | None = _KEPT.get(identity)
    if kept is None:
        resource = msgspec.json.decode(stored.body)
        definition = _READ[stored.resource_type](resource)
        rank = (resource.get("status") != "retired", _natural(definition.version))
        kept = Found(identity, definition), rank
        _KEPT.put(identity, kept, len(stored.body))
    return kept


def _of_file(vocabulary: Vocabulary | None, resource_type: str, url: str, version: str) -> Found | None:
    if vocabulary is None:
        return None
    lookup: Mapping[str, Callable[[str, str], Any]] = {
        "ValueSet": vocabulary.value_set,
        "CodeSystem": vocabulary.code_system,
        "ConceptMap": vocabulary.concept_map,
    }
    definition = lookup[resource_type](url, version)
    return None if definition is None else Found(f"file {vocabulary.edition} {url}".encode(), definition)


def _of_r4(resource_type: str, url: str, version: str) -> Found | None:
    definition = _SHIPPED[resource_type](url, version)
    return None if definition is None else Found(b"r4 " + url.encode(), definition)


def _natural(version: str) -> tuple[tuple[int, str], ...]:
    """Orders versions as people do: 1.10 after 1.9."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in _PART.findall(version[:100]))
