"""References: their forms, where they are in a resource, and replacing them.

    parse_reference("Patient/1")                       Local("Patient", "1", None)
    parse_reference("Patient?identifier=s|1")          Query("Patient", "identifier=s|1")
    iter_references(resource)                          (FHIRPath, Reference) of every Reference element
    rewrite_references(resource, mapping)              the resource with links replaced

Both walks follow the tables of elements, so they see Reference elements and nothing that merely looks so.
Sources: hl7.org/fhir/R4/references.html, hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from html import escape, unescape
from typing import Any

from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.validation_tables import Element, Table, table

Json = dict[str, Any]
Mapping = Callable[[str], str | None]

_ID = r"[A-Za-z0-9\-.]{1,64}"
LOCAL = re.compile(rf"([A-Z][A-Za-z]*)/({_ID})(?:/_history/({_ID}))?")
_QUERY = re.compile(r"([A-Z][A-Za-z]*)\?(\S+)")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
# Only a well-formed tag is looked into; what is between two "<" is read once.
_TAG = re.compile(r"<(?:a|img)\s[^<>]*>")
_LINK = re.compile(r"(\s(?:href|src)\s*=\s*)(?:\"([^\"]*)\"|'([^']*)')")

# Elements of these types are replaced when they equal the fullUrl of an entry; canonical is not.
_LINK_TYPES = frozenset({"uri", "url", "oid", "uuid"})


class MalformedReference(ValueError):
    """The text is none of the forms a reference may have. The text itself is not quoted."""


@dataclass(frozen=True, slots=True)
class Local:
    """A resource of this server: Type/id or Type/id/_history/version."""

    type: str
    id: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.type}/{self.id}" + (f"/_history/{self.version}" if self.version else "")


@dataclass(frozen=True, slots=True)
class Absolute:
    """A resource elsewhere. type: the resource type if the URL ends in Type/id, else ""."""

    url: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A contained resource; id is "" for the container itself."""

    id: str


@dataclass(frozen=True, slots=True)
class Urn:
    """urn:uuid:... or urn:oid:..., usually the fullUrl of an entry in the same Bundle."""

    urn: str


@dataclass(frozen=True, slots=True)
class Query:
    """A conditional reference: the one resource of the type that the search finds."""

    type: str
    query: str


ParsedReference = Local | Absolute | Fragment | Urn | Query


def parse_reference(text: str, base_url: str = "") -> ParsedReference:
    """The meaning of Reference.reference.

    base_url: absolute references below it are local. Raises: MalformedReference for anything that is not
    Type/id[/_history/version], Type?query, #id, a urn: or another absolute URI, or names a type R4 has not.
    """
    if base_url:
        text = text.removeprefix(base_url.rstrip("/") + "/")
    local = LOCAL.fullmatch(text)
    if local is not None and local[1] in RESOURCE_TYPES:
        return Local(local[1], local[2], local[3])
    query = _QUERY.fullmatch(text)
    if query is not None and query[1] in RESOURCE_TYPES:
        return Query(query[1], query[2])
    if text.startswith("#"):
        return Fragment(text[1:])
    if _ABSOLUTE.fullmatch(text) is None:
        raise MalformedReference("not a reference")
    if text.lower().startswith("urn:"):
        return Urn(text)
    return Absolute(text, _evident_type(text))


def _evident_type(url: str) -> str:
    parts = url.rsplit("/", 4)
    for size in (4, 2):  # Type/id/_history/version, then Type/id
        match = LOCAL.fullmatch("/".join(parts[-size:])) if len(parts) > size else None
        if match is not None and match[1] in RESOURCE_TYPES and (match[3] is not None) == (size == 4):
            return match[1]
    return ""


def iter_references(resource: Json) -> Iterator[tuple[str, Json]]:
    """Every Reference element with its FHIRPath, also in extensions, contained resources and entries.

    A resource of unknown shape yields only what its tables describe; values of the wrong shape are skipped.
    """
    described = _table_of(resource)
    if described is not None:
        yield from _references_in(described, resource, described.name)


def _references_in(described: Table, value: Json, path: str) -> Iterator[tuple[str, Json]]:
    for name, item in value.items():
        element = described.elements.get(name.removeprefix("_"))
        if element is None or (element.is_primitive and name[0] != "_"):
            continue
        place = f"{path}.{element.fhirpath}"
        for index, one in enumerate(item if isinstance(item, list) else [item]):
            inner = _table_of_item(element, one)
            if inner is None:
                continue
            where = f"{place}[{index}]" if element.is_list else place
            if element.type == "Reference":
                yield where, one
            yield from _references_in(inner, one, where)


def rewrite_references(resource: Json, mapping: Mapping) -> Json:
    """The resource with its links replaced as a transaction does: the given one if nothing changes.

    mapping: a link -> its replacement, or None to leave it. Asked for Reference.reference, for every uri,
    url, oid and uuid element, and for href and src in narratives. Parts that do not change are shared.
    """
    return _rewrite_resource(resource, mapping)


# A value and the mapping -> the value with its links replaced, the same object where none was.
_Replace = Callable[[Any, Mapping], Any]


def _rewrite(places: dict[str, _Replace], value: Json, mapping: Mapping) -> Json:
    changed: Json = {}
    for name, item in value.items():
        replace = places.get(name)
        if replace is None:
            continue
        if type(item) is list:
            replaced: Any = [replace(one, mapping) for one in item]
            differs = any(map(operator.is_not, replaced, item))
        else:
            replaced = replace(item, mapping)
            differs = replaced is not item
        if differs:
            changed[name] = replaced
    return {**value, **changed} if changed else value


@cache
def _places(name: str) -> dict[str, _Replace]:
    """What to do with each property of a type that may hold a link itself or further down."""
    found: dict[str, _Replace] = {}
    for element in table(name).elements.values():
        if element.type in _LINK_TYPES or (element.name == "reference" and name == "Reference"):
            found[element.name] = _rewrite_link
        elif element.type == "xhtml":
            found[element.name] = _rewrite_narrative
        elif element.type == "Resource":
            found[element.name] = _rewrite_resource
        elif not element.is_primitive:
            found[element.name] = _below(element.type)
        if element.is_primitive:
            found["_" + element.name] = _below("Element")
    return found


def _below(name: str) -> _Replace:
    return lambda item, mapping: _rewrite(_places(name), item, mapping) if type(item) is dict else item


def _rewrite_resource(item: Any, mapping: Mapping) -> Any:
    described = _table_of(item)
    return item if described is None else _rewrite(_places(described.name), item, mapping)


def _rewrite_link(item: Any, mapping: Mapping) -> Any:
    replacement = mapping(item) if type(item) is str else None
    return item if replacement is None else replacement


def _rewrite_narrative(xhtml: Any, mapping: Mapping) -> Any:
    if type(xhtml) is not str:
        return xhtml

    def link(match: re.Match[str]) -> str:
        replacement = mapping(unescape(match[2] if match[2] is not None else match[3]))
        return match[0] if replacement is None else f'{match[1]}"{escape(replacement)}"'

    rewritten = _TAG.sub(lambda tag: _LINK.sub(link, tag[0]), xhtml)
    return xhtml if rewritten == xhtml else rewritten


def _table_of(resource: Any) -> Table | None:
    name = resource.get("resourceType") if isinstance(resource, dict) else None
    return table(name) if isinstance(name, str) and name in RESOURCE_TYPES else None


def _table_of_item(element: Element, item: Any) -> Table | None:
    if not isinstance(item, dict):
        return None
    if element.type == "Resource":
        return _table_of(item)
    return table("Element" if element.is_primitive else element.type)
