"""What one token may see and write of a world: worked out resource by resource, from nothing but their content.

Sources: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html,
hl7.org/fhir/R4/compartmentdefinition-patient.html, docs/decisions/0005-access-in-sql.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from access_oracle.grants import Grant, Pair
from access_oracle.policy import Policy, Way, ways
from access_oracle.relationships import relationships
from access_oracle.world import PLACE, World
from search_oracle.evaluator import Held, Key

NOW = datetime.fromisoformat("2024-05-17T12:00:00+00:00")  # criteria here compare nothing with today


class Sight:
    """A token's eyes, until the world changes or time passes. fhir: requests with the token. document: the
    site's policy."""

    def __init__(self, world: World, grant: Grant, fhir: Any, document: Mapping[str, Any]) -> None:
        self.world, self.grant, self.fhir = world, grant, fhir
        self.policy = Policy(document, world)
        self._ways: dict[tuple[str, str], tuple[Way, ...]] = {}
        self._seen: dict[str, list[Held]] = {}
        self._referred: dict[str, frozenset[Key]] = {}

    def ways(self, kind: str, letters: str) -> tuple[Way, ...]:
        key = kind, letters
        if key not in self._ways:
            self._ways[key] = tuple(ways(self.grant, kind, letters, self.policy))
        return self._ways[key]

    def reaches(self, kind: str, letters: str = "s") -> bool:
        """Whether a request on the type is looked at; else it is 403."""
        return bool(self.ways(kind, letters))

    @cached_property
    def _held(self) -> dict[Key, Held]:
        return {held.key: held for held in self.world.oracle.everything()}

    def shown(self, key: Key, letters: str) -> list[int]:
        """The numbers of the versions that may be seen."""
        versions = self.world.versions.get(key, [])
        found: set[int] = set()
        for way in self.ways(key[0], letters) if versions else ():
            found.update(self._shown_by(way, key, letters))
        return sorted(found)

    def sees(self, key: Key, letters: str) -> bool:
        """Whether the current version may be seen."""
        return len(self.world.versions.get(key, [])) in self.shown(key, letters)

    def _shown_by(self, way: Way, key: Key, letters: str) -> Sequence[int]:
        versions = self.world.versions[key]
        last = len(versions)
        if way.charts is not None and way.charts.isdisjoint(versions[-1].charts):
            return ()
        if way.referred and key not in self.referred(letters):
            return ()
        if way.criteria:  # an old version is not searched by, so nobody knows whether it fulfilled them
            return (last,) if key in self._held and self._fulfils(self._held[key], way.criteria) else ()
        first = 1
        if way.charts is not None:  # since it came into these charts; before, it was another's
            first = last
            while first > 1 and versions[first - 2].charts == versions[-1].charts:
                first -= 1
        return range(first, last + 1)

    def _fulfils(self, held: Held, criteria: Sequence[Pair]) -> bool:
        return bool(self.world.oracle.matches(held.key[0], criteria, [held], NOW))

    def referred(self, letters: str) -> frozenset[Key]:
        """What is referred to by something in a chart that may be seen."""
        if letters not in self._referred:
            found: set[Key] = set()
            for key, held in self._held.items():
                charted = [way for way in self.ways(key[0], letters) if way.patients is not None]
                if any(self._shown_by(way, key, letters) for way in charted):
                    found |= held.all_references()
            self._referred[letters] = frozenset(found)
        return self._referred[letters]

    def seen(self, letters: str = "s") -> list[Held]:
        """The current resources that may be seen, by arrival."""
        if letters not in self._seen:
            self._seen[letters] = [held for key, held in self._held.items() if self.sees(key, letters)]
        return self._seen[letters]

    def every_version(self, letters: str) -> set[tuple[str, str, int]]:
        """(type, id, number) of all versions that may be seen."""
        return {(*key, number) for key in self.world.versions for number in self.shown(key, letters)}

    def may_hold(
        self, kind: str, letter: str, content: dict[str, Any], *, new: bool = False, gone: bool = False
    ) -> bool:
        """Whether content may be written, or be replaced or deleted (gone): it lies wholly within what the
        letter reaches.

        new: the first version of its id. A Patient that is new begins a chart in which nothing can be seen
        yet, so that a member of staff needs no relationship to it. What makes a relationship is not written by
        an emergency.
        """
        held = Held(content, 0, PLACE)
        charts = frozenset(held.patients())
        others = charts - {content["id"]} if new and self._begins(kind, content["id"]) else charts
        lasting = not gone and any(True for _ in relationships(content))
        return any(
            not way.referred
            and (way.patients is None or (bool(charts) and way.patients >= charts))
            and _related(way.lasting if lasting else way.related, charts, others)
            and self._fulfils(held, way.criteria)
            for way in self.ways(kind, letter)
        )

    def _begins(self, kind: str, id: str) -> bool:
        """Whether it is a Patient in whose chart nothing is yet."""
        versions = self.world.versions.values()
        return kind == "Patient" and not any(id in each[-1].charts for each in versions)


def _related(reached: frozenset[str] | None, charts: frozenset[str], others: frozenset[str]) -> bool:
    """Whether charts are reached, of which all but the others are begun by what is written."""
    return reached is None or (bool(charts) and reached >= others)
