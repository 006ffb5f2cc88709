"""The codes that a value set contains, worked out from definitions.

Nothing is left out in silence: what depends on a definition that is not known here is refused by name. A
code system whose codes cannot be listed may still be included as a whole.
Source: hl7.org/fhir/R4/valueset.html#expansion, #compositions
"""

from __future__ import annotations

from functools import reduce
from typing import Protocol

from server.terminology.code_sets import CodeSet, NotListable, listed, union
from server.terminology.code_systems import CodeSystem
from server.terminology.filters import UnsupportedFilter, selected
from server.terminology.value_sets import Component, ValueSet

# Published (docs/reference/limits.md): codes of an expansion.
CODES_MAXIMUM = 10_000
# Concepts looked at on the way, and value sets that import each other.
WORK_MAXIMUM, IMPORTS_MAXIMUM = 1_000_000, 200


class Definitions(Protocol):
    """Where definitions come from. version "": the one in use."""

    def value_set(self, url: str, version: str) -> ValueSet | None:
        """The value set by its canonical url, None where it is not known."""

    def code_system(self, url: str, version: str) -> CodeSystem | None:
        """The code system by its url, None where it is not known."""


class NotExpandable(ValueError):
    """A value set whose codes cannot be told here; the text says why and names what is missing."""


class TooCostly(ValueError):
    """A value set of more codes, or of more work, than is allowed; the text says how many."""


class Budget:
    """Work that is left, in concepts to look at; shared by all expansions of one request."""

    def __init__(self, concepts: int = WORK_MAXIMUM) -> None:
        self._all = self._left = concepts

    def spend(self, concepts: int) -> None:
        """Raises: TooCostly when it is used up."""
        self._left -= concepts
        if self._left < 0:
            raise TooCostly(f"more than {self._all} concepts to look at")


def expand(value_set: ValueSet, definitions: Definitions, budget: Budget | None = None) -> CodeSet:
    """The codes of a value set. Raises: NotExpandable, TooCostly."""
    return _Expander(definitions, budget or Budget()).expand(value_set)


def split_canonical(canonical: str) -> tuple[str, str]:
    """`url|version` -> url and version, "" for none."""
    url, _, version = canonical.partition("|")
    return url, version


class _Expander:
    """One expansion: what was imported already, and what is being imported."""

    def __init__(self, definitions: Definitions, budget: Budget) -> None:
        self._definitions = definitions
        self._spend = budget.spend
        self._done: dict[str, CodeSet] = {}
        self._open: list[tuple[str, str]] = []

    def expand(self, value_set: ValueSet) -> CodeSet:
        if not value_set.includes:
            raise NotExpandable(f"the value set {value_set.url} does not say what it is composed of")
        identity = (value_set.url, value_set.version)
        if identity in self._open:
            raise NotExpandable(f"the value set {value_set.url} includes itself")
        if len(self._open) + len(self._done) >= IMPORTS_MAXIMUM:
            raise TooCostly(f"more than {IMPORTS_MAXIMUM} value sets that include each other")
        self._open.append(identity)
        found = union(map(self._selected, value_set.includes))
        try:
            found = found.difference(union(map(self._selected, value_set.excludes)))
        except NotListable as error:
            raise NotExpandable(
                f"the code system {error.system}, of which codes are excluded, is not known"
            ) from error
        self._open.pop()
        if len(found) > CODES_MAXIMUM:
            raise TooCostly(f"more than {CODES_MAXIMUM} codes")
        return found

    def _selected(self, component: Component) -> CodeSet:
        parts = [self._imported(canonical) for canonical in component.value_sets]
        if component.system:
            parts.append(self._of_system(component))
        if not parts:
            raise NotExpandable("a part of the value set names neither a code system nor a value set")
        self._spend(sum(map(len, parts)))
        return reduce(CodeSet.intersection, parts)

    def _imported(self, canonical: str) -> CodeSet:
        if canonical not in self._done:
            value_set = self._definitions.value_set(*split_canonical(canonical))
            if value_set is None:
                raise NotExpandable(f"the value set {canonical} is not known")
            self._done[canonical] = self.expand(value_set)
        return self._done[canonical]

    def _of_system(self, component: Component) -> CodeSet:
        if component.concepts is not None:
            if component.filters:
                raise NotExpandable("a part of the value set both lists and filters codes")
            return listed(component.system, component.concepts)
        system = self._definitions.code_system(component.system, component.version)
        if system is None or not system.is_complete:
            if component.filters:
                raise NotExpandable(
                    f"the code system {component.system}, whose codes are filtered, is not known"
                )
            return CodeSet(whole=frozenset({component.system}))
        codes = dict.fromkeys(system.concepts)
        for asked in component.filters:
            self._spend(len(system.concepts))
            try:
                chosen = selected(system, asked, self._spend)
            except UnsupportedFilter as error:
                raise NotExpandable(f"a filter on the code system {component.system}: {error}") from error
            codes = {code: None for code in codes if code in chosen}
        return listed(component.system, ((code, system.concepts[code].display) for code in codes))
