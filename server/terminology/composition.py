"""What a value set contains, as a test and as a list: R4's rules of composition.

Nothing is left out in silence: what depends on a definition that is not known here is refused by name. A code
system whose codes cannot be listed may still be included as a whole. Members are found one by one, so that
asking whether a code is one, or for the first twenty, costs nothing of the rest.
Source: hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from server.terminology.code_systems import CodeSystem, Concept, Designation
from server.terminology.definitions import (
    DEPTH_MAXIMUM,
    IMPORTS_MAXIMUM,
    Budget,
    Definitions,
    NotExpandable,
    TooCostly,
    split_canonical,
)
from server.terminology.filters import Test, UnsupportedFilter, codes_of, test_of
from server.terminology.value_sets import Component, ListedConcept, ValueSet
from server.terminology.words import Words

# Contents of a code system's definition that are some of its codes.
_SOME = frozenset({"fragment", "example"})


@dataclass(frozen=True, slots=True)
class Member:
    """A code of a value set. version: of its system, where the value set names one. listed: what the value set
    itself says of it, None where it was found in its code system."""

    system: str
    code: str
    version: str = ""
    listed: ListedConcept | None = None

    @property
    def designations(self) -> tuple[Designation, ...]:
        return self.listed.designations if self.listed else ()


class Composer:
    """Composes the value sets of one request.

    fragments: whether of a code system of which not all is known here the codes that are known are listed; else
    it counts as one whose codes cannot be listed. used: code systems and value sets that were looked at, in
    that order.
    """

    def __init__(
        self, definitions: Definitions, budget: Budget | None = None, *, fragments: bool = False
    ) -> None:
        self._definitions = definitions
        self._fragments = fragments
        self._done: dict[str, Composition] = {}
        self._open: list[tuple[str, str]] = []
        self.spend: Callable[[int], None] = (budget or Budget()).spend
        self.systems: dict[tuple[str, str], CodeSystem | None] = {}
        self.value_sets: list[ValueSet] = []

    def compose(self, value_set: ValueSet) -> Composition:
        """Raises: NotExpandable, TooCostly."""
        if not value_set.includes:
            raise NotExpandable(f"the value set {value_set.url} does not say what it is composed of")
        identity = (value_set.url, value_set.version)
        if identity in self._open:
            raise NotExpandable(f"the value set {value_set.url} includes itself")
        if len(self.value_sets) >= IMPORTS_MAXIMUM or len(self._open) >= DEPTH_MAXIMUM:
            raise TooCostly(
                f"more than {IMPORTS_MAXIMUM} value sets that include each other, or {DEPTH_MAXIMUM} in a row"
            )
        self._open.append(identity)
        self.value_sets.append(value_set)
        found = Composition(
            tuple(self._part(row, value_set.inactive) for row in value_set.includes),
            tuple(self._part(row) for row in value_set.excludes),
        )
        self._open.pop()
        return found

    def system(self, url: str, version: str = "") -> CodeSystem | None:
        """The code system, None where it is not known."""
        if (url, version) not in self.systems:
            self.systems[url, version] = self._definitions.code_system(url, version)
        return self.systems[url, version]

    def know(self, source: CodeSystem) -> None:
        """Take a code system as it is given, whatever the definitions say of it."""
        self.systems[source.url, ""] = self.systems[source.url, source.version] = source

    def imported(self, canonical: str) -> Composition:
        """The value set of a canonical url. Raises: NotExpandable, TooCostly."""
        if canonical not in self._done:
            value_set = self._definitions.value_set(*split_canonical(canonical))
            if value_set is None:
                raise NotExpandable(f"the value set {canonical} is not known")
            self._done[canonical] = self.compose(value_set)
        return self._done[canonical]

    def _part(self, component: Component, inactive: bool = True) -> _Part:
        if not component.system and not component.value_sets:
            raise NotExpandable("a part of the value set names neither a code system nor a value set")
        if component.concepts is not None and component.filters:
            raise NotExpandable("a part of the value set both lists and filters codes")
        imports = tuple(map(self.imported, component.value_sets))
        if not component.system or component.concepts is not None:
            return _Part(self, component, imports, inactive=inactive)
        source = self.system(component.system, component.version)
        if source is None or not (source.is_complete or (self._fragments and source.content in _SOME)):
            if component.filters:
                raise NotExpandable(
                    f"the code system {component.system}, whose codes are filtered, is not known"
                )
            return _Part(self, component, imports, whole=True, inactive=inactive)
        try:
            tests = tuple(test_of(source, asked, self.spend) for asked in component.filters)
        except UnsupportedFilter as error:
            raise NotExpandable(f"a filter on the code system {component.system}: {error}") from error
        whole = not source.is_listed
        return _Part(self, component, imports, source, tests, whole=whole, inactive=inactive)


class Composition:
    """A value set whose definitions are all at hand; made by a `Composer`."""

    def __init__(self, includes: tuple[_Part, ...], excludes: tuple[_Part, ...]) -> None:
        self._includes, self._excludes = includes, excludes

    def has(self, system: str, code: str) -> bool:
        """Whether a code is a member. Raises: TooCostly."""
        return any(part.has(system, code) for part in self._includes) and not self._excluded(system, code)

    @cached_property
    def whole(self) -> frozenset[str]:
        """Systems of which every code is a member though their codes cannot be listed.

        Raises: NotExpandable where it is every code but some, TooCostly.
        """
        included = frozenset[str]().union(*(part.whole for part in self._includes))
        included -= frozenset[str]().union(*(part.whole for part in self._excludes))
        for part in self._excludes if included else ():
            for member in part.members(None):
                if member.system in included:
                    raise NotExpandable(
                        f"the code system {member.system}, of which codes are excluded, is not known"
                    )
        return included

    def members(self, words: Words | None = None) -> Iterator[Member]:
        """Every member that can be listed, once, in the order of the definition. words: only those called so.

        Raises: TooCostly.
        """
        seen: set[tuple[str, str]] = set()
        for part in self._includes:
            for member in part.members(words):
                key = (member.system, member.code)
                if key not in seen and member.system not in self.whole and not self._excluded(*key):
                    seen.add(key)
                    yield member

    def listed(self, system: str, code: str) -> ListedConcept | None:
        """What the value set, or one that it includes, itself says of a code."""
        for part in self._includes:
            found = part.listed(system, code)
            if found is not None:
                return found
        return None

    def systems(self) -> frozenset[str]:
        """The systems that members may be of."""
        return frozenset[str]().union(*(part.systems() for part in self._includes))

    def _excluded(self, system: str, code: str) -> bool:
        return any(part.has(system, code) for part in self._excludes)


class _Part:
    """One include or exclude. source, tests: of a system whose codes are known. whole: the codes of the system
    can only be had together."""

    def __init__(
        self,
        composer: Composer,
        component: Component,
        imports: tuple[Composition, ...],
        source: CodeSystem | None = None,
        tests: tuple[Test, ...] = (),
        *,
        whole: bool = False,
        inactive: bool = True,
    ) -> None:
        self._composer, self._component, self._imports = composer, component, imports
        self._source, self._tests, self._whole, self._inactive = source, tests, whole, inactive
        self._listed = {row.code: row for row in component.concepts or ()}

    def has(self, system: str, code: str) -> bool:
        self._composer.spend(1)
        if self._component.system and not self._of_system(system, code):
            return False
        if not self._inactive and self._is_inactive(system, code):
            return False
        return all(part.has(system, code) for part in self._imports)

    def _of_system(self, system: str, code: str) -> bool:
        if system != self._component.system:
            return False
        if self._component.concepts is not None:
            return code in self._listed
        if self._source is None or not (self._source.is_complete or self._tests):
            return True  # nothing is known that speaks against it
        concept = self._source.concept(code)
        return concept is not None and all(test(concept) for test in self._tests)

    def listed(self, system: str, code: str) -> ListedConcept | None:
        self._composer.spend(1)
        if self._component.system not in ("", system):
            return None
        of_imports = (part.listed(system, code) for part in self._imports)
        return self._listed.get(code) or next((found for found in of_imports if found is not None), None)

    @cached_property
    def whole(self) -> frozenset[str]:
        if not self._component.system:
            found = self._imports[0].whole
        else:
            found = frozenset({self._component.system} if self._whole and not self._tests else ())
        return found.intersection(*(part.whole for part in self._imports)) if found else found

    def systems(self) -> frozenset[str]:
        if self._component.system:
            return frozenset({self._component.system})
        return frozenset[str].intersection(*(part.systems() for part in self._imports))

    def members(self, words: Words | None) -> Iterator[Member]:
        for member in self._candidates(words):
            self._composer.spend(1)
            if self._inactive or not self._is_inactive(member.system, member.code):
                yield member

    def _candidates(self, words: Words | None) -> Iterator[Member]:
        system, version = self._component.system, self._component.version
        if self._component.concepts is not None:
            for row in self._listed.values():
                if (words is None or self._is_called(row, words)) and self._in_all(system, row.code):
                    yield Member(system, row.code, version, row)
        elif self._source is not None and self._source.is_listed:
            for code in self._selected(self._source, words):
                if self._in_all(system, code):
                    yield Member(system, code, version)
        else:
            yield from self._imported(words)

    def _selected(self, source: CodeSystem, words: Words | None) -> Iterator[str]:
        """The codes of the system that all filters select, beginning with the filter that is quickest."""
        tests, found = self._tests, None
        if words is None:
            for number, asked in enumerate(self._component.filters):
                found = codes_of(source, asked)
                if found is not None:
                    tests = (*tests[:number], *tests[number + 1 :])
                    break
        if found is None:
            found = source.codes() if words is None else source.matching(words)
        for code in found:
            self._composer.spend(1 + len(tests))
            if not tests or self._passes(source.concept(code), tests):
                yield code

    def _imported(self, words: Words | None) -> Iterator[Member]:
        """What all value sets have in common, and the system that stands beside them."""
        of_one = next((number for number, part in enumerate(self._imports) if not part.whole), None)
        chosen = self._imports if of_one is None else (self._imports[of_one],)
        others = tuple(part for part in self._imports if of_one is None or part is not chosen[0])
        system = self._component.system
        for member in chain.from_iterable(part.members(words) for part in chosen):
            if system and not self._of_system(member.system, member.code):
                continue
            if all(part.has(member.system, member.code) for part in others):
                yield replace(member, version=member.version or self._component.version)

    def _in_all(self, system: str, code: str) -> bool:
        return all(part.has(system, code) for part in self._imports)

    def _is_called(self, row: ListedConcept, words: Words) -> bool:
        if row.code == words.text or words.are_in((row.display, *(d.value for d in row.designations))):
            return True
        concept = self._concept(self._component.system, row.code)
        return concept is not None and words.are_in(concept.terms())

    def _is_inactive(self, system: str, code: str) -> bool:
        concept = self._concept(system, code)
        return concept is not None and concept.inactive

    def _concept(self, system: str, code: str) -> Concept | None:
        source = self._composer.system(system, self._component.version)
        return None if source is None else source.concept(code)

    @staticmethod
    def _passes(concept: Concept | None, tests: tuple[Test, ...]) -> bool:
        return concept is not None and all(test(concept) for test in tests)
