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


Sides = tuple[Key, Key, str, Range]  # left, right, kind, from when until when


def made(content: Json, table: str, left: str, right: str) -> Iterator[Sides]:
    """Everything that a resource says of who belongs to whom, at whatever time."""
    for row in file()[table]:
        if row["type"] == content["resourceType"]:
            for one, other, low, high in _sides(row, content, row[left], row[right]):
                if low < high:
                    yield one, other, row.get("kind", ""), (low, high)


def relationships(content: Json) -> Iterator[Sides]:
    """(actor, patient, "", range) of what a resource makes."""
    for sides in made(content, "relationships", "actor", "patient"):
        if sides[0][0] in file()["actors"] and sides[1][0] == "Patient":
            yield sides


def _sides(row: Json, content: Json, left: str, right: str) -> Iterator[tuple[Key, Key, float, float]]:
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
        first, last = bounds(place, part | {"days_after": row.get("days_after", 0)}) if part else (low, high)
        for one in keys(place, left, content):
            for other in keys(content, right, content):
                yield one, other, max(low, first), min(high, last)


class Relations:
    """All relationships and memberships of a world at its moment."""

    def __init__(self, world: World) -> None:
        at = (world.clock.now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        contents = [held.resource for held in world.oracle.everything()]

        def in_force(found: Iterator[Sides]) -> Iterator[tuple[Key, Key, str]]:
            return ((one, other, kind) for one, other, kind, (low, high) in found if low <= at < high)

        self._charts = {one for content in contents for one in in_force(relationships(content))}
        self._parties = {
            one for content in contents for one in in_force(made(content, "memberships", "member", "party"))
        }
        self._opened = [one for one in world.opened if one.since <= world.clock.now < one.until]

    def organizations(self, user: Key) -> set[Key]:
        """Those that the user works for."""
        return {party for member, party, kind in self._parties if member == user and kind == "organization"}

    def charts(self, user: Key, *, organizations: bool, lasting: bool = False) -> frozenset[str]:
        """The ids of the patients that a user is related to: itself, in a role or team, or (organizations) by
        an employer; or whose charts it opened in an emergency, unless that is not to count (lasting)."""
        kinds = {"role", "organization"} if organizations else {"role"}
        acting = {user} | {party for member, party, kind in self._parties if member == user and kind in kinds}
        acting |= {party for member, party, kind in self._parties if member in acting and kind == "team"}
        names = {"/".join(key) for key in acting}
        opened = frozenset(one.patient for one in self._opened if one.user in names and not lasting)
        return opened | {patient[1] for actor, patient, _ in self._charts if actor in acting}


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
