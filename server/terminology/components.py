"""One include or exclude of a value set: what its system, its filters and its value sets have in common.

Source: hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from server.terminology.concepts import CodeSystem, Concept, Designation
from server.terminology.definitions import NotExpandable
from server.terminology.filters import Test, codes_of
from server.terminology.value_sets import Component, ListedConcept
from server.terminology.words import Words

if TYPE_CHECKING:
    from server.terminology.composition import Composer, Composition


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


class Part:
    """One include or exclude of a value set.

    source, tests: of a system whose codes are known. whole: the codes of the system can only be had together.
    inactive: whether concepts that are out of use count. unknown: why it cannot be told what it selects, ""
    where it can.
    """

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
        unknown: str = "",
    ) -> None:
        self._composer, self._component, self._imports = composer, component, imports
        self._source, self._tests, self._whole, self._inactive = source, tests, whole, inactive
        self._unknown = unknown
        self._listed = {row.code: row for row in component.concepts or ()}

    def has(self, system: str, code: str) -> bool:
        """Whether it selects a code. Raises: NotExpandable, TooCostly."""
        self._composer.spend(1)
        if self._component.system not in ("", system):
            return False
        self._require_known()
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
        self._composer.spend(self._source.cost)
        concept = self._source.concept(code)
        return concept is not None and all(test(concept) for test in self._tests)

    def listed(self, system: str, code: str) -> ListedConcept | None:
        """What the value set, or one that it includes, itself says of a code."""
        self._composer.spend(1)
        if self._component.system not in ("", system):
            return None
        of_imports = (part.listed(system, code) for part in self._imports)
        return self._listed.get(code) or next((found for found in of_imports if found is not None), None)

    @cached_property
    def whole(self) -> frozenset[str]:
        """Systems that it selects as a whole, their codes not being listed. Raises: NotExpandable."""
        self._require_known()
        if not self._component.system:
            found = self._imports[0].whole
        else:
            found = frozenset({self._component.system} if self._whole and not self._tests else ())
        return found.intersection(*(part.whole for part in self._imports)) if found else found

    def systems(self) -> frozenset[str]:
        """The systems that what it selects may be of. Raises: NotExpandable."""
        if self._component.system:
            return frozenset({self._component.system})
        self._require_known()
        return frozenset[str].intersection(*(part.systems() for part in self._imports))

    def members(self, words: Words | None) -> Iterator[Member]:
        """What it selects and can be listed. Raises: NotExpandable, TooCostly."""
        self._require_known()
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
            self._composer.spend(source.cost + len(tests) if tests else 1)
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
        if source is None:
            return None
        self._composer.spend(source.cost)
        return source.concept(code)

    def _require_known(self) -> None:
        if self._unknown:
            raise NotExpandable(self._unknown)

    @staticmethod
    def _passes(concept: Concept | None, tests: tuple[Test, ...]) -> bool:
        return concept is not None and all(test(concept) for test in tests)
