"""What a value set contains, as a test and as a list: R4's rules of composition.

Nothing is left out in silence: what depends on a definition that is not known here is refused by name. A code
system whose codes cannot be listed may still be included as a whole. Members are found one by one, so that
asking whether a code is one, or for the first twenty, costs nothing of the rest.
Source: hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from server.terminology.components import Member, Part
from server.terminology.concepts import CodeSystem
from server.terminology.definitions import (
    DEPTH_MAXIMUM,
    IMPORTS_MAXIMUM,
    Budget,
    Definitions,
    NotExpandable,
    TooCostly,
    split_canonical,
)
from server.terminology.filters import UnsupportedFilter, test_of
from server.terminology.value_sets import Component, ListedConcept, ValueSet
from server.terminology.words import Words

# Contents of a code system's definition that are some of its codes.
_SOME = frozenset({"fragment", "example"})


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
        try:
            return Composition(
                tuple(self._part(row, value_set.inactive) for row in value_set.includes),
                tuple(self._part(row) for row in value_set.excludes),
            )
        finally:
            self._open.pop()

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

    def _part(self, component: Component, inactive: bool = True) -> Part:
        """One include or exclude. What it takes and is not known here is said when it is asked for."""
        try:
            return self._known_part(component, inactive)
        except NotExpandable as error:
            return Part(self, component, (), unknown=str(error))

    def _known_part(self, component: Component, inactive: bool) -> Part:
        if not component.system and not component.value_sets:
            raise NotExpandable("a part of the value set names neither a code system nor a value set")
        if component.concepts is not None and component.filters:
            raise NotExpandable("a part of the value set both lists and filters codes")
        imports = tuple(map(self.imported, component.value_sets))
        if not component.system or component.concepts is not None:
            return Part(self, component, imports, inactive=inactive)
        source = self.system(component.system, component.version)
        if source is None or not (source.is_complete or (self._fragments and source.content in _SOME)):
            if component.filters:
                raise NotExpandable(
                    f"the code system {component.system}, whose codes are filtered, is not known"
                )
            return Part(self, component, imports, whole=True, inactive=inactive)
        try:
            tests = tuple(test_of(source, asked, self.spend) for asked in component.filters)
        except UnsupportedFilter as error:
            raise NotExpandable(f"a filter on the code system {component.system}: {error}") from error
        whole = not source.is_listed
        return Part(self, component, imports, source, tests, whole=whole, inactive=inactive)


class Composition:
    """A value set with its definitions; made by a `Composer`.

    A code that one include has is a member whatever is not known of another; that a code is none, and a list,
    needs all of them.
    """

    def __init__(self, includes: tuple[Part, ...], excludes: tuple[Part, ...]) -> None:
        self._includes, self._excludes = includes, excludes

    def has(self, system: str, code: str) -> bool:
        """Whether a code is a member. Raises: NotExpandable, TooCostly."""
        return _any_has(self._includes, system, code) and not _any_has(self._excludes, system, code)

    @cached_property
    def whole(self) -> frozenset[str]:
        """Systems of which every code is a member though their codes cannot be listed.

        Raises: NotExpandable (also where it is every code but some), TooCostly.
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

        Raises: NotExpandable, TooCostly.
        """
        seen: set[tuple[str, str]] = set()
        for part in self._includes:
            for member in part.members(words):
                key = (member.system, member.code)
                if key not in seen and member.system not in self.whole and not _any_has(self._excludes, *key):
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


def _any_has(parts: tuple[Part, ...], system: str, code: str) -> bool:
    unknown: NotExpandable | None = None
    for part in parts:
        try:
            if part.has(system, code):
                return True
        except NotExpandable as error:
            unknown = unknown or error
    if unknown is not None:
        raise unknown
    return False
