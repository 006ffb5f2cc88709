"""A code system as its definition lists it, and subsumption within it.

Sources: hl7.org/fhir/R4/codesystem.html#hierarchy, #subsumption, #status-proposal
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# Properties that make a concept the child or the parent of another, beside the nesting of concepts.
_TO_PARENT = frozenset({"parent", "subsumedBy"})
_TO_CHILD = frozenset({"child"})
_PROPERTIES = "http://hl7.org/fhir/concept-properties#"


@dataclass(frozen=True, slots=True)
class Concept:
    """parents: codes of the concepts directly above it. properties: (code, value as text), as defined."""

    code: str
    display: str
    parents: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CodeSystem:
    """One version of a code system.

    content: "complete" where `concepts` are all there are; otherwise nothing follows from what is missing.
    meaning: of the hierarchy, "is-a" where none is stated. value_set: canonical of the value set of all codes.
    properties: codes of the properties that concepts may have, with those every concept has.
    """

    url: str
    version: str
    content: str
    meaning: str
    value_set: str
    concepts: Mapping[str, Concept]
    properties: frozenset[str] = frozenset()
    children: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        return self.content == "complete"

    def below(self, code: str) -> dict[str, None]:
        """The code and all that it subsumes, in a fixed order; empty for one that the system lacks."""
        return self._closure(code, lambda at: self.children.get(at, ()))

    def above(self, code: str) -> dict[str, None]:
        """The code and all that subsume it, in a fixed order; empty for one that the system lacks."""
        return self._closure(code, lambda at: self.concepts[at].parents)

    def subsumes(self, above: str, below: str) -> bool:
        """Whether one code is the other or an ancestor of it."""
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


def read_code_system(resource: Mapping[str, Any]) -> CodeSystem:
    """A validated CodeSystem resource as a value."""
    declared = {row["code"]: row.get("uri", "") for row in resource.get("property", ()) if "code" in row}
    to_parent = _TO_PARENT | {code for code, uri in declared.items() if uri == f"{_PROPERTIES}parent"}
    to_child = _TO_CHILD | {code for code, uri in declared.items() if uri == f"{_PROPERTIES}child"}
    displays: dict[str, str] = {}
    properties: dict[str, tuple[tuple[str, str], ...]] = {}
    parents: dict[str, dict[str, None]] = {}
    for parent, row in _walk(resource.get("concept", ())):
        code = row["code"]
        displays.setdefault(code, row.get("display", ""))
        stated = tuple(_properties(row))
        properties[code] = (*properties.get(code, ()), *stated)
        above = parents.setdefault(code, {})
        if parent is not None:
            above[parent] = None
        for name, value in stated:
            if name in to_parent:
                above[value] = None
            elif name in to_child:
                parents.setdefault(value, {})[code] = None
    children: dict[str, list[str]] = {}
    for code in displays:
        for parent in parents[code]:
            children.setdefault(parent, []).append(code)
    return CodeSystem(
        url=resource.get("url", ""),
        version=resource.get("version", ""),
        content=resource.get("content", ""),
        meaning=resource.get("hierarchyMeaning", "is-a"),
        value_set=resource.get("valueSet", ""),
        concepts={
            code: Concept(code, display, tuple(parents[code]), properties[code])
            for code, display in displays.items()
        },
        properties=frozenset(declared),
        children={parent: tuple(codes) for parent, codes in children.items()},
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


def _properties(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for item in row.get("property", ()):
        value = next((value for key, value in item.items() if key.startswith("value")), None)
        if isinstance(value, Mapping):  # a Coding
            value = value.get("code")
        if isinstance(value, bool):
            value = "true" if value else "false"
        if value is not None and "code" in item:
            yield item["code"], str(value)
