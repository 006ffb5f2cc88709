"""Who is related to whose chart, read from the resources as the policy's file words it.

`server/policy/relationships.json` is data that both sides read; what it means is worked out here anew: every
resource of a world is asked, at the moment of the request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from math import inf
from typing import Any

from access_oracle.world import PLACE, World
from search_oracle.dates import Range, date_range
from search_oracle.definitions import DATA
from search_oracle.evaluator import Key
from search_oracle.values import local_key

Json = Mapping[str, Any]
_DAY = 86_400_000_000


@cache
def file() -> Json:
    """The policy's file."""
    return dict(json.loads((DATA / "policy" / "relationships.json").read_text("utf-8")))


@cache
def relating_types() -> frozenset[str]:
    """The types that say who is related to whom, or who acts as what."""
    return frozenset(row["type"] for name in ("relationships", "memberships") for row in file()[name])


class Relations:
    """All relationships and memberships of a world at its moment."""

    def __init__(self, world: World) -> None:
        self._at = (world.clock.now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        contents = [held.resource for held in world.oracle.everything()]
        self._charts = self._pairs(contents, "relationships", "actor", "patient")
        self._parties = self._pairs(contents, "memberships", "member", "party")

    def _pairs(self, contents: list[Json], table: str, left: str, right: str) -> set[tuple[Key, Key, str]]:
        """(left, right, kind) of everything in force."""
        return {
            (one, other, row.get("kind", ""))
            for row in file()[table]
            for content in contents
            if content["resourceType"] == row["type"]
            for one, other in self._of(row, content, row[left], row[right])
        }

    def _of(self, row: Json, content: Json, left: str, right: str) -> Iterator[tuple[Key, Key]]:
        state = content.get(row["state"])
        if not (row.get("absent", False) if state is None else state in row["states"]):
            return
        if row.get("without") and any(True for _ in values(content, row["without"])):
            return
        low, high = bounds(content, row)
        if row.get("needs_end") and high == inf:
            return
        part = row.get("part")
        for place in values(content, part["element"]) if part else [content]:
            first, last = (
                bounds(place, part | {"days_after": row.get("days_after", 0)}) if part else (low, high)
            )
            if max(low, first) <= self._at < min(high, last):
                for one in keys(place, left, content):
                    for other in keys(content, right, content):
                        yield one, other

    def organizations(self, user: Key) -> set[Key]:
        """Those that the user works for."""
        return {party for member, party, kind in self._parties if member == user and kind == "organization"}

    def charts(self, user: Key, *, organizations: bool) -> frozenset[str]:
        """The ids of the patients that a user is related to: itself, in a role or team, or (organizations) by
        an employer."""
        kinds = {"role", "organization"} if organizations else {"role"}
        acting = {user} | {party for member, party, kind in self._parties if member == user and kind in kinds}
        acting |= {party for member, party, kind in self._parties if member in acting and kind == "team"}
        actors = {*file()["actors"]}
        return frozenset(
            patient[1]
            for actor, patient, _ in self._charts
            if actor in acting and actor[0] in actors and patient[0] == "Patient"
        )


def values(element: Any, path: str) -> Iterator[Any]:
    """Everything at a dotted path, lists opened."""
    waiting = [element]
    for name in path.split("."):
        following: list[Any] = []
        for one in waiting:
            found = one.get(name) if isinstance(one, Mapping) else None
            following += found if isinstance(found, list) else [] if found is None else [found]
        waiting = following
    yield from waiting


def bounds(element: Any, row: Json) -> Range:
    """From when until when, the days after it included."""

    def ranges(name: str) -> list[Range]:
        return [date_range(text, PLACE.zone) for text in values(element, row[name])] if row.get(name) else []

    low = max((one[0] for one in ranges("start")), default=-inf)
    high = min((one[1] for one in ranges("end")), default=inf)
    return low, high + row.get("days_after", 0) * _DAY


def keys(element: Any, path: str, content: Json) -> list[Key]:
    """What the references at a path name; for "" the resource itself."""
    if not path:
        return [(content["resourceType"], content["id"])]
    named = (one.get("reference", "") for one in values(element, path) if isinstance(one, Mapping))
    return [key for text in named if (key := local_key(text, PLACE.base)) is not None]
