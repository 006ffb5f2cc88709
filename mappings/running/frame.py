"""Where in the message a rule stands: group, segments and repetition that loops have chosen, names that are
known.

A path means a segment of the group of the frame, else of the groups within, else further out: the route of an
encoded order is the one after its RXE, not that of the RXO before it. On the way out the groups that are like
the one we came from are left alone: an order never sees the specimen of the order before it.
A loop over segments looks inside only, and each round stands in the group of its segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mappings.hl7v2.structure import Group

if TYPE_CHECKING:
    from mappings.hl7v2.message import Segment
    from mappings.running.run import Fields, Run


# Groups that tell of something else than what they stand in: an order's results of before have a patient and
# orders of their own. Only a loop over such a group looks into it.
APART = frozenset({"PRIOR_RESULT"})


def nearest(group: Group, name: str, left_out: str = "") -> Segment | None:
    """The first segment of a name in a group itself, else in its inner groups but those called `left_out`."""
    for segment in group.segments:
        if segment.name == name:
            return segment
    for inner in group.groups:
        if inner.name == left_out or inner.name in APART:
            continue
        if (found := nearest(inner, name)) is not None:
            return found
    return None


class Frame:
    """chosen: segment name -> the segments that a loop is at (several where it takes them together).

    filled: segment name -> what `fields` answered for it.
    """

    __slots__ = ("_known", "chosen", "filled", "group", "names", "outer", "repetition", "run")

    def __init__(
        self,
        run: Run,
        group: Group,
        outer: Frame | None = None,
        chosen: dict[str, list[Segment]] | None = None,
        known: dict[str, list[Segment]] | None = None,
        filled: dict[str, Fields] | None = None,
    ) -> None:
        self.run = run
        self.group = group
        self.outer = outer
        self.chosen = {} if chosen is None else chosen
        self.repetition: Any = outer.repetition if outer else None
        self.names: dict[str, str] = outer.names.copy() if outer else {}
        self._known = {} if known is None else known
        self.filled = {} if filled is None else filled

    def inner(self) -> Frame:
        """A frame inside this one, at the same place; names given in it are forgotten with it."""
        return Frame(self.run, self.group, self, self.chosen, self._known, self.filled)

    def at_segments(self, name: str, segments: list[Segment]) -> Frame:
        """A frame whose segments of a name are these."""
        chosen, known = {**self.chosen, name: segments}, {**self._known, name: segments}
        filled = {other: found for other, found in self.filled.items() if other != name}
        return Frame(self.run, self.group, self, chosen, known, filled)

    def at_group(self, group: Group) -> Frame:
        """A frame in an inner group."""
        return Frame(self.run, group, self)

    def at_repetition(self, repetition: Any) -> Frame:
        """A frame at one repetition of a field."""
        frame = self.inner()
        frame.repetition = repetition
        return frame

    def together(self, name: str) -> list[Segment]:
        """The segment that a path means: the chosen one (or ones, taken together), else the first that is
        seen.
        """
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self.chosen.get(name) or self._seen(name)
        return found

    def fields(self, name: str) -> Fields:
        """The filled fields of the segments that a path means, not to be changed; none where there is none."""
        found = self.filled.get(name)
        if found is None:
            segments = self.together(name)
            if len(segments) == 1:
                found = self.run.fields(segments[0])
            else:
                found = {}
                for segment in segments:
                    for number, repetitions in self.run.fields(segment).items():
                        found[number] = [*found.get(number, ()), *repetitions]
            self.filled[name] = found
        return found

    def _seen(self, name: str) -> list[Segment]:
        """The first segment of a name that is seen from here: inside, else further out."""
        if name not in self.run.present:
            return []
        first = nearest(self.group, name)
        if first is not None:
            return [first]
        frame: Frame | None = self
        while frame is not None:
            outer, came_from = frame.outer, frame.group
            if outer is not None and outer.group is not came_from:
                if chosen := outer.chosen.get(name):
                    return chosen
                first = nearest(outer.group, name, came_from.name)
                if first is not None:
                    return [first]
            frame = outer
        return []

    def holding(self, name: str) -> list[tuple[Segment, Frame]]:
        """The segments of a name in this frame's group and the groups in it, each with a frame in its own
        group.
        """
        if name not in self.run.present:
            return []
        found = [(segment, self) for segment in self.group.segments if segment.name == name]
        for inner in self.group.groups:
            if inner.name not in APART and nearest(inner, name) is not None:
                found += self.at_group(inner).holding(name)
        if len(found) > 1:
            found.sort(key=lambda held: held[0].ordinal)
        return found

    @staticmethod
    def of_run(name: str, held: list[tuple[Segment, Frame]]) -> Frame:
        """A frame for segments that are taken together, in their group; those of several groups, in all of
        these.
        """
        first = held[0][1]
        groups = list(dict.fromkeys(id(frame.group) for _, frame in held))
        if len(groups) > 1:
            whole = [frame.group for _, frame in held]
            group = Group(
                first.group.name,
                tuple(segment for one in whole for segment in one.segments),
                tuple(inner for one in whole for inner in one.groups),
            )
            first = Frame(first.run, group, first.outer)
        return first.at_segments(name, [segment for segment, _ in held])

    def has_group(self, name: str) -> bool:
        """Whether there is a group of a name inside this one's."""
        return bool(self.group.groups_named(name))

    def at_groups(self, name: str) -> Iterator[Frame]:
        """A frame for each group of a name inside this one's, in frames for the groups between: the second
        patient's
        orders never see the first patient."""
        for inner in self.group.groups:
            frame = self.at_group(inner)
            if inner.name == name:
                yield frame
            else:
                yield from frame.at_groups(name)
