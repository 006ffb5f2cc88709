"""A code system as its definition lists it, with subsumption within it.

Sources: hl7.org/fhir/R4/codesystem.html#hierarchy, #subsumption, #status-proposal,
hl7.org/fhir/R4/codesystem-concept-properties.html
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from server.terminology.concepts import Concept, Designation, Property
from server.terminology.words import Words

# Properties that make a concept the child or the parent of another, beside the nesting of concepts.
_TO_PARENT = frozenset({"parent", "subsumedBy"})
_TO_CHILD = frozenset({"child"})
_PROPERTIES = "http://hl7.org/fhir/concept-properties#"
# Values of the property `status` of concepts that are no longer to be used; one that is deprecated still is.
_OUT_OF_USE = frozenset({"inactive", "retired"})
_TYPES = frozenset({"code", "Coding", "string", "integer", "boolean", "dateTime", "decimal"})


@dataclass(frozen=True)
class ListedCodeSystem:
    """A code system in memory, as its definition lists it."""

    url: str
    version: str
    name: str
    content: str
    meaning: str
    case_sensitive: bool | None
    value_set: str
    concepts: Mapping[str, Concept]
    properties: Mapping[str, str] = field(default_factory=dict)
    below_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        return self.content == "complete"

    @property
    def is_listed(self) -> bool:
        return True

    @property
    def cost(self) -> int:
        return 1

    def concept(self, code: str) -> Concept | None:
        return self.concepts.get(code)

    def in_other_case(self, code: str) -> str:
        return self._folded.get(code.casefold(), "")

    @cached_property
    def _folded(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for code in self.concepts:
            folded = code.casefold()
            found[folded] = "" if folded in found else code
        return found

    def codes(self) -> Iterable[str]:
        return self.concepts

    def matching(self, words: Words) -> Iterable[str]:
        return (
            code
            for code, concept in self.concepts.items()
            if code == words.text or words.are_in(concept.terms())
        )

    def having(self, name: str, values: Collection[str]) -> None:
        return None

    def children(self, code: str) -> tuple[str, ...]:
        return self.below_of.get(code, ())

    def below(self, code: str) -> dict[str, None]:
        return self._closure(code, self.children)

    def above(self, code: str) -> dict[str, None]:
        return self._closure(code, lambda at: self.concepts[at].parents)

    def subsumes(self, above: str, below: str) -> bool:
        return above in self.above(below)

    def _closure(self, code: str, step: Callable[[str], tuple[str, ...]]) -> dict[str, None]:
        found = {code: None} if code in self.concepts else {}
        queue = list(found)
        for reached in queue:  # grows while it is walked
            for following in step(reached):
                if following not in found and following in self.concepts:
                    found[following] = None
                    queue.append(following)
        return found


def read_code_system(resource: Mapping[str, Any]) -> ListedCodeSystem:
    """A validated CodeSystem resource as a value."""
    rows = [row for row in resource.get("property", ()) if "code" in row]
    declared = {row["code"]: row.get("uri", "") for row in rows}
    to_parent = _TO_PARENT | {code for code, uri in declared.items() if uri == f"{_PROPERTIES}parent"}
    to_child = _TO_CHILD | {code for code, uri in declared.items() if uri == f"{_PROPERTIES}child"}
    first: dict[str, Mapping[str, Any]] = {}
    properties: dict[str, tuple[Property, ...]] = {}
    parents: dict[str, dict[str, None]] = {}
    for parent, row in _walk(resource.get("concept", ())):
        code = row["code"]
        first.setdefault(code, row)
        stated = tuple(_properties(row))
        properties[code] = (*properties.get(code, ()), *stated)
        above = parents.setdefault(code, {})
        if parent is not None:
            above[parent] = None
        for item in stated:
            if item.code in to_parent:
                above[item.text] = None
            elif item.code in to_child:
                parents.setdefault(item.text, {})[code] = None
    children: dict[str, list[str]] = {}
    for code in first:
        for parent in parents[code]:
            children.setdefault(parent, []).append(code)
    return ListedCodeSystem(
        url=resource.get("url", ""),
        version=resource.get("version", ""),
        name=resource.get("title", "") or resource.get("name", ""),
        content=resource.get("content", ""),
        meaning=resource.get("hierarchyMeaning", "is-a"),
        case_sensitive=resource.get("caseSensitive"),
        value_set=resource.get("valueSet", ""),
        concepts={
            code: Concept(
                code,
                row.get("display", ""),
                tuple(parents[code]),
                properties[code],
                read_designations(row),
                inactive=any(map(_is_out_of_use, properties[code])),
                abstract=any(
                    p.code in ("notSelectable", "abstract") and p.value is True for p in properties[code]
                ),
            )
            for code, row in first.items()
        },
        properties={row["code"]: row.get("type", "string") for row in rows},
        below_of={parent: tuple(codes) for parent, codes in children.items()},
    )


def read_designations(row: Mapping[str, Any]) -> tuple[Designation, ...]:
    """The designations of a concept, of a code system's or a value set's."""
    return tuple(
        Designation(item["value"], item.get("language", ""), item.get("use"))
        for item in row.get("designation", ())
        if "value" in item
    )


def _is_out_of_use(item: Property) -> bool:
    return (item.code == "inactive" and item.value is True) or (
        item.code == "status" and item.value in _OUT_OF_USE
    )


def _walk(concepts: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """Every concept after the one it is nested in, in the order of the definition, with that one's code."""
    waiting: list[tuple[str | None, Mapping[str, Any]]] = [(None, row) for row in reversed(list(concepts))]
    while waiting:
        parent, row = waiting.pop()
        if "code" not in row:
            continue
        yield parent, row
        waiting.extend((row["code"], child) for child in reversed(row.get("concept", ())))


def _properties(row: Mapping[str, Any]) -> Iterator[Property]:
    for item in row.get("property", ()):
        for key, value in item.items():
            if key.startswith("value") and "code" in item:
                name = key.removeprefix("value")
                kind = name if name in _TYPES else name[:1].lower() + name[1:]
                yield Property(item["code"], kind, value)
                break
