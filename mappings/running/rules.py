"""The rules of a map, as the compiler makes them. Each runs in a frame (where to read) on an element (where
to write).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mappings.hl7v2.message import Segment
from mappings.result import Finding, Merge
from mappings.running.conditions import Condition
from mappings.running.element import Element
from mappings.running.frame import Frame
from mappings.running.run import Refused
from mappings.running.source_path import FieldNames, SourcePath, union

if TYPE_CHECKING:
    from mappings.hl7v2.message import Value


class Rule(Protocol):
    """where: `file:line`, as traces name it. element: None where no resource is being built."""

    @property
    def where(self) -> str: ...

    def run(self, frame: Frame, element: Element | None) -> None: ...


Run = Callable[[Frame, "Element | None"], None]
FieldNumbers = frozenset[int]
_NO_NUMBERS: FieldNumbers = frozenset()


@runtime_checkable
class Fed(Protocol):
    """A rule that does nothing where none of these fields is filled; it may do something where it has none."""

    @property
    def fields(self) -> FieldNames: ...


def fields_of(rule: Rule) -> FieldNames:
    """The fields that a rule lives on, none where it may do something in any message."""
    return rule.fields if isinstance(rule, Fed) else frozenset()


@dataclass(frozen=True, slots=True)
class Block:
    """Rules that run once, together. plan: of rules in a row that live on fields of one segment its name, ""
    for the other rules; each rule with the field that it lives on, or with several.
    """

    where: str
    rules: tuple[Rule, ...]
    plan: tuple[tuple[str, tuple[tuple[Run, int, FieldNumbers], ...]], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        rows = [(rule, fields_of(rule)) for rule in self.rules]
        plan = groupby(rows, key=lambda row: _only_segment(row[1]))
        object.__setattr__(
            self, "plan", tuple((name, tuple(_planned(*row) for row in part)) for name, part in plan)
        )

    @property
    def fields(self) -> FieldNames:
        return union(fields_of(rule) for rule in self.rules)

    def run(self, frame: Frame, element: Element | None) -> None:
        known = frame.filled
        for segment, rules in self.plan:
            if not segment:
                for run, _, _ in rules:
                    run(frame, element)
                continue
            filled = known.get(segment)  # most fields that rules read are empty in most messages
            if filled is None:
                filled = frame.fields(segment)
            for run, number, numbers in rules:
                if number in filled or (numbers and not numbers.isdisjoint(filled)):
                    run(frame, element)


def _only_segment(fields: FieldNames) -> str:
    """The segment that all of some fields are of, "" for several or none."""
    names = {segment for segment, _ in fields}
    return names.pop() if len(names) == 1 else ""


def _planned(rule: Rule, fields: FieldNames) -> tuple[Run, int, FieldNumbers]:
    numbers = frozenset(number for _, number in fields)
    return (rule.run, min(numbers), _NO_NUMBERS) if len(numbers) == 1 else (rule.run, 0, numbers)


@dataclass(frozen=True, slots=True)
class Conditional:
    """A rule that runs where a condition holds."""

    where: str
    when: Condition
    rule: Rule

    @property
    def fields(self) -> FieldNames:
        return self.when.fields

    def run(self, frame: Frame, element: Element | None) -> None:
        seen: list[Value] = []
        if self.when.holds(frame, seen):
            frame.run.seen(seen, self.where)
            self.rule.run(frame, element)


@dataclass(frozen=True, slots=True)
class EachSegment:
    """A rule for every segment of a name that is seen from here. `together`: runs of segments that agree are
    one.

    together: paths whose texts are compared; alike: only segments for which this holds are put together.
    direct:
    only segments that stand in the group itself, an order's notes without those of its observations.
    """

    where: str
    segment: str
    rule: Rule
    direct: bool = False
    together: tuple[SourcePath, ...] = ()
    alike: Condition | None = None

    def run(self, frame: Frame, element: Element | None) -> None:
        for held in self._runs(frame):
            at = frame.of_run(self.segment, held)
            for path in self.together if len(held) > 1 else ():
                frame.run.seen(path.content(at), self.where)
            self.rule.run(at, element)

    def _runs(self, frame: Frame) -> list[list[tuple[Segment, Frame]]]:
        runs: list[list[tuple[Segment, Frame]]] = []
        last: Any = None
        for segment, own in frame.holding(self.segment):
            if self.direct and own is not frame:
                continue
            mark = self._mark(own, segment) if self.together else None
            if mark is not None and mark == last:
                runs[-1].append((segment, own))
            else:
                runs.append([(segment, own)])
            last = mark
        return runs

    def _mark(self, frame: Frame, segment: Segment) -> Any:
        at = frame.at_segments(self.segment, [segment])
        if self.alike is not None and not self.alike.holds(at, []):
            return None
        return [[(leaf.key[2:], leaf.text) for leaf in path.content(at)] for path in self.together]


@dataclass(frozen=True, slots=True)
class EachRepetition:
    """A rule for every repetition of a field; `.1`, `.` and the like are read in it."""

    where: str
    path: SourcePath
    rule: Rule

    @property
    def fields(self) -> FieldNames:
        return self.path.fields

    def run(self, frame: Frame, element: Element | None) -> None:
        for repetition in self.path.repetitions(frame):
            if repetition.is_null:
                frame.run.seen([repetition.value()], self.where)
            else:
                self.rule.run(frame.at_repetition(repetition), element)


@dataclass(frozen=True, slots=True)
class EachGroup:
    """A rule for every group of a name."""

    where: str
    group: str
    rule: Rule

    def run(self, frame: Frame, element: Element | None) -> None:
        for inner in frame.at_groups(self.group):
            self.rule.run(inner, element)


@dataclass(frozen=True, slots=True)
class Within:
    """Rules that write to a resource begun elsewhere, by its name; nothing where the name stands for none."""

    where: str
    name: str
    rule: Rule

    @property
    def fields(self) -> FieldNames:
        return fields_of(self.rule)

    def run(self, frame: Frame, element: Element | None) -> None:
        key = frame.names.get(self.name)
        draft = frame.run.drafts.get(key) if key is not None else None
        if draft is not None:
            self.rule.run(frame, draft.root)


@dataclass(frozen=True, slots=True)
class MergeRule:
    """Says that two resources are one."""

    where: str
    resource_type: str
    survivor: str
    victim: str

    def run(self, frame: Frame, element: Element | None) -> None:
        survivor, victim = frame.names.get(self.survivor), frame.names.get(self.victim)
        if survivor and victim and survivor != victim:
            frame.run.merges.append(Merge(self.resource_type, survivor, victim))


@dataclass(frozen=True, slots=True)
class FindingRule:
    """Says that something is not as one would wish; `refuses`: the whole message cannot be mapped then."""

    where: str
    code: str
    text: str
    path: SourcePath | None = None
    refuses: bool = False

    def run(self, frame: Frame, element: Element | None) -> None:
        leaves = self.path.values(frame)[:1] if self.path else []
        position = str(leaves[0].position) if leaves else ""
        finding = Finding(self.code, position, self.text)
        if self.refuses:
            raise Refused(finding)
        frame.run.seen(leaves, self.where)
        frame.run.scope.account.findings.append(finding)
