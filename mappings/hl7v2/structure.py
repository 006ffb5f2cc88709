"""Which structure a message has, and its segments in the groups of that structure.

Senders leave out, repeat and swap segments: a group is begun by what can begin it, else a segment goes where an
open group has it, else where it could be further on, else it stays in the group that is open, with a warning
(`out-of-place`). Every segment is in exactly one group.
Source: HL7 v2.5.1, 2.12 and table 0354 (`data/events.tsv`)
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from mappings.hl7v2.abstract_syntax import Part, structures
from mappings.hl7v2.message import Message, Segment
from mappings.result import Finding

_PREVIOUS_RESULTS = "PR"
"""Order control (table 0119) of results that are sent with a new order."""


@dataclass(frozen=True, slots=True)
class Group:
    """segments: directly in it; groups: within it; both in the order of the message.

    name: of the group, of the outermost one the structure; "" where that is unknown, then all segments are
    directly in it. warnings: only of the outermost.
    """

    name: str
    segments: tuple[Segment, ...]
    groups: tuple[Group, ...]
    warnings: tuple[Finding, ...] = ()

    def groups_named(self, name: str) -> tuple[Group, ...]:
        """The groups of that name at any depth, in order."""
        return tuple(group for group in self._within() if group.name == name)

    def first(self, name: str) -> Segment | None:
        """The first segment of that name at any depth."""
        return next(iter(self.every(name)), None)

    def every(self, name: str) -> tuple[Segment, ...]:
        """The segments of that name at any depth, in order."""
        return tuple(segment for segment in self.all() if segment.name == name)

    def own(self, name: str) -> tuple[Segment, ...]:
        """The segments of that name directly in it: an order's notes without those of its observations."""
        return tuple(segment for segment in self.segments if segment.name == name)

    def all(self) -> tuple[Segment, ...]:
        """Its segments at any depth, in the order of the message."""
        found = [*self.segments, *(segment for group in self._within() for segment in group.segments)]
        return tuple(sorted(found, key=lambda segment: segment.ordinal))

    def _within(self) -> Iterator[Group]:
        for group in self.groups:
            yield group
            yield from group._within()


@cache
def _events() -> tuple[Mapping[tuple[str, str], str], Mapping[str, str]]:
    """(type, trigger) -> structure, and type -> structure where a type has only one."""
    lines = (files("mappings.hl7v2") / "data" / "events.tsv").read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t"))
    types = [row["type"] for row in rows]
    return (
        {(row["type"], trigger): row["structure"] for row in rows for trigger in row["triggers"].split()},
        {row["type"]: row["structure"] for row in rows if types.count(row["type"]) == 1},
    )


def structure_of(message: Message) -> str:
    """The structure of a message, as `ADT_A01`.

    Of its type and trigger where table 0354 has them, for what happened decides, and some senders write one
    structure into all their messages; else MSH-9.3; else type and trigger themselves. A trigger that MSH-9 does
    not have is EVN-1's.
    """
    kind, trigger, structure = (message.get(f"MSH-9.{number}").text.strip().upper() for number in (1, 2, 3))
    by_event, by_type = _events()
    trigger = trigger or message.get("EVN-1").text.strip().upper()
    known = by_event.get((kind, trigger)) or (by_type.get(kind) if kind == "ACK" or not trigger else None)
    return known or structure or "_".join(part for part in (kind, trigger) if part)


@dataclass(slots=True)
class _Open:
    """A group that is being filled. at: index of the part that was filled last, -1 for none."""

    part: Part
    at: int = -1
    segments: list[Segment] = field(default_factory=list)
    groups: list[_Open] = field(default_factory=list)

    def find(self, name: str, begun: bool) -> int:
        """Index of the next part for a segment, -1 for none. begun: also groups whose beginning is missing."""
        start = self.at if self.at >= 0 and self.part.parts[self.at].repeats else self.at + 1
        return self._find(name, start, begun)

    def find_again(self, name: str) -> int:
        """Index of any part for a segment, be it past or full."""
        return self._find(name, 0, False)

    def _find(self, name: str, start: int, begun: bool) -> int:
        parts = self.part.parts
        for index in range(start, len(parts)):
            if name in (parts[index].holds if begun else parts[index].begins):
                return index
        return -1

    def closed(self, warnings: tuple[Finding, ...] = ()) -> Group:
        return Group(
            self.part.name, tuple(self.segments), tuple(group.closed() for group in self.groups), warnings
        )


def group(message: Message) -> Group:
    """The segments of a message in the groups of its structure; in one group where that is unknown."""
    part = structures().get(structure_of(message))
    if not part:
        return Group("", message.segments, ())
    opened = [_Open(part)]
    warnings: dict[str, Finding] = {}
    for segment in message.segments:
        if segment.name == "ORC":
            _end_prior_results(opened, segment)
        if _place(opened, segment) or segment.name.startswith("Z"):
            continue
        where = f"{segment.name}[{segment.occurrence}]"
        text = f"{part.name} has no place for it here"
        warnings.setdefault(segment.name, Finding("out-of-place", where, text))
    return opened[0].closed(tuple(warnings.values()))


def _end_prior_results(opened: list[_Open], segment: Segment) -> None:
    """Leave the prior results of an order where the next ORC is an order: the places of both are alike."""
    if segment.value(1).text.strip().upper() in ("", _PREVIOUS_RESULTS):
        return
    for depth, one in enumerate(opened):
        if one.part.name == "PRIOR_RESULT":
            del opened[depth:]
            return


def _place(opened: list[_Open], segment: Segment) -> bool:
    """Put a segment where it belongs, and leave the groups open that it is in; whether it is in its place."""
    if segment.name not in opened[0].part.holds:
        opened[-1].segments.append(segment)
        return False
    for depth in range(len(opened) - 1, -1, -1):
        index = opened[depth].find(segment.name, begun=False)
        if index >= 0:
            _fill(opened, depth, index, segment, begun=False)
            return True
    for depth in range(len(opened) - 1, -1, -1):
        index = opened[depth].find_again(segment.name)
        if index >= 0:
            _fill(opened, depth, index, segment, begun=False)
            return False
    for depth in range(len(opened) - 1, -1, -1):
        index = opened[depth].find(segment.name, begun=True)
        if index >= 0:
            _fill(opened, depth, index, segment, begun=True)
            return True
    opened[-1].segments.append(segment)
    return False


def _fill(opened: list[_Open], depth: int, index: int, segment: Segment, begun: bool) -> None:
    """Put a segment into a part of an open group; groups on the way there are opened, deeper ones are left."""
    del opened[depth + 1 :]
    while True:
        here = opened[-1]
        here.at = index
        part = here.part.parts[index]
        if not part.parts:
            here.segments.append(segment)
            return
        here.groups.append(_Open(part))
        opened.append(here.groups[-1])
        index = opened[-1].find(segment.name, begun)
