"""Which resources relate staff to charts, and staff to roles, organizations and teams (`relationships.json`).

A relationship is a row: an actor, a patient, from when until when. It is made of one resource alone, so it is
written with that resource and stays right without being looked at again; only the clock ends it.

Actors are people, roles, organizations and teams as the resources name them. Whom a person acts as is the other
kind of row, a membership: of a role, an organization, a standing team (a CareTeam without a subject). A team of
one patient relates its members themselves, so that nobody is a member of as many teams as they have patients:
the rows of a person stay as few as their jobs, and a probe of a chart costs as many look-ups.
Sources: hl7.org/fhir/R4/careteam.html, episodeofcare.html, encounter.html, task.html, practitionerrole.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from server.errors import FhirError
from server.fhir.dates import EARLIEST, LATEST, MICROSECOND, date_range
from server.fhir.index_collector import Target
from server.fhir.index_rows import ORGANIZATION, ROLE, TEAM, MembershipRow, Relations, RelationshipRow

Resource = Mapping[str, Any]

KINDS = {"role": ROLE, "organization": ORGANIZATION, "team": TEAM}
_ROWS_MAXIMUM = 20_000  # of one resource: every actor is related to every patient
_DAY = 86_400 * MICROSECOND


@dataclass(frozen=True, slots=True)
class Part:
    """A repeating element in which actors stand. start, end: paths within it, "" for no bound."""

    element: str
    start: str = ""
    end: str = ""


@dataclass(frozen=True, slots=True)
class Making:
    """One way in which resources of a type relate two sides.

    left: the path of actors or members. right: the path of patients or parties. "" is the resource itself.
    A path within `part` where there is one; the right one never is. kind: of a membership, 0 for a
    relationship. The others: as the file says.
    """

    resource_type: str
    why: str
    left: str
    right: str
    kind: int
    part: Part | None
    state: str
    states: tuple[Any, ...]
    absent: bool
    start: str
    end: str
    days_after: int
    needs_end: bool
    without: str


@dataclass(frozen=True, slots=True)
class RelationshipPolicy:
    """actors: types that can be related to a patient. relationships, memberships: by the type that makes them.
    types: all types that make either."""

    version: str
    effective: str
    source: str
    actors: frozenset[str]
    relationships: Mapping[str, tuple[Making, ...]]
    memberships: Mapping[str, tuple[Making, ...]]
    types: frozenset[str]


def relations(resource: Resource, target: Callable[[str], Target], local: ZoneInfo) -> Relations | None:
    """The rows that a valid resource with an id makes; None for a type that never makes any.

    target: what a literal reference points at. local: the zone of dates without one. Only references to
    resources of this server count. Raises: FhirError too-costly (more than 20,000 rows).
    """
    policy = relationship_policy()
    resource_type = resource["resourceType"]
    if resource_type not in policy.types:
        return None
    made: dict[RelationshipRow, None] = {}
    joined: dict[MembershipRow, None] = {}
    for making in policy.relationships.get(resource_type, ()):
        for left, right, starts, until in _sides(making, resource, target, local):
            if left.resource_type in policy.actors and right.resource_type == "Patient":
                made[RelationshipRow(left.hash, right.hash, starts, until)] = None
                _check(len(made))
    for making in policy.memberships.get(resource_type, ()):
        for left, right, starts, until in _sides(making, resource, target, local):
            if {left.resource_type, right.resource_type} <= policy.actors:
                joined[MembershipRow(left.hash, right.hash, making.kind, starts, until)] = None
                _check(len(joined))
    return Relations(tuple(made), tuple(joined))


def _check(count: int) -> None:
    if count > _ROWS_MAXIMUM:
        raise FhirError("too-costly", f"the resource relates more than {_ROWS_MAXIMUM} pairs to each other")


def why(resource: Resource, left: int, right: int, target: Callable[[str], Target], local: ZoneInfo) -> str:
    """In words, how a resource relates the two sides; "" where it does not."""
    policy = relationship_policy()
    resource_type = resource["resourceType"]
    makings = (*policy.relationships.get(resource_type, ()), *policy.memberships.get(resource_type, ()))
    for making in makings:
        for one, other, _, _ in _sides(making, resource, target, local):
            if (one.hash, other.hash) == (left, right):
                return making.why
    return ""


_Side = tuple[Target, Target, int, int]


def _sides(
    making: Making, resource: Resource, target: Callable[[str], Target], local: ZoneInfo
) -> Iterator[_Side]:
    """(left, right, starts, until) of every pair that a resource relates this way, at whatever time."""
    if not _is_in_state(making, resource) or (making.without and any(_values(resource, making.without))):
        return
    rights = _targets(resource, making.right, resource, target)
    starts, until = _bounds(resource, making.start, making.end, making.days_after, local)
    if making.needs_end and until == LATEST:
        return
    parts: Iterator[tuple[Any, str, str]]
    if making.part is None:
        parts = iter([(resource, "", "")])
    else:
        found = making.part
        parts = ((each, found.start, found.end) for each in _values(resource, found.element))
    for part, start, end in parts:
        low, high = _bounds(part, start, end, making.days_after, local)
        low, high = max(low, starts), min(high, until)
        if low < high:
            for left, right in product(_targets(part, making.left, resource, target), rights):
                yield left, right, low, high


def _is_in_state(making: Making, resource: Resource) -> bool:
    state = resource.get(making.state)
    return making.absent if state is None else state in making.states


def _bounds(element: Any, start: str, end: str, days_after: int, local: ZoneInfo) -> tuple[int, int]:
    """[low, high) of the element's own bounds; open ones reach to the ends of time."""
    low = max((date_range(text, local)[0] for text in _texts(element, start)), default=EARLIEST)
    high = min((date_range(text, local)[1] for text in _texts(element, end)), default=LATEST)
    return low, high if high == LATEST else high + days_after * _DAY


def _texts(element: Any, path: str) -> Iterator[str]:
    return (value for value in _values(element, path) if isinstance(value, str)) if path else iter(())


def _targets(element: Any, path: str, resource: Resource, target: Callable[[str], Target]) -> list[Target]:
    """What the references at a path point at on this server; for "" the resource itself."""
    if not path:
        return [target(f"{resource['resourceType']}/{resource['id']}")] if "id" in resource else []
    references = (value.get("reference") for value in _values(element, path) if isinstance(value, dict))
    found = (target(reference) for reference in references if isinstance(reference, str))
    return [each for each in found if each.id]


def _values(element: Any, path: str) -> Iterator[Any]:
    """Everything at a dotted path, lists opened."""
    name, _, rest = path.partition(".")
    value = element.get(name) if isinstance(element, dict) else None
    for each in value if isinstance(value, list) else [value]:
        if each is not None:
            if rest:
                yield from _values(each, rest)
            else:
                yield each


@cache
def relationship_policy() -> RelationshipPolicy:
    """What the shipped file says."""
    document = json.loads(files(__package__).joinpath("relationships.json").read_text("utf-8"))
    relationships = _by_type(_making(row, row["actor"], row["patient"]) for row in document["relationships"])
    memberships = _by_type(_making(row, row["member"], row["party"]) for row in document["memberships"])
    return RelationshipPolicy(
        version=document["version"],
        effective=document["effective"],
        source=document["source"],
        actors=frozenset(document["actors"]),
        relationships=relationships,
        memberships=memberships,
        types=frozenset(relationships) | frozenset(memberships),
    )


def _by_type(makings: Iterator[Making]) -> Mapping[str, tuple[Making, ...]]:
    found: dict[str, tuple[Making, ...]] = {}
    for making in makings:
        found[making.resource_type] = (*found.get(making.resource_type, ()), making)
    return found


def _making(row: Mapping[str, Any], left: str, right: str) -> Making:
    part = row.get("part")
    return Making(
        resource_type=row["type"],
        why=row["why"],
        left=left,
        right=right,
        kind=KINDS[row["kind"]] if "kind" in row else 0,
        part=Part(**part) if part else None,
        state=row["state"],
        states=tuple(row["states"]),
        absent=row.get("absent", False),
        start=row.get("start", ""),
        end=row.get("end", ""),
        days_after=row.get("days_after", 0),
        needs_end=row.get("needs_end", False),
        without=row.get("without", ""),
    )
