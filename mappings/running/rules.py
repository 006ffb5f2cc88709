"""The rules of a map, as the compiler makes them. Each runs in a frame (where to read) on an element (where
to write).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from mappings.hl7v2.message import Segment
from mappings.result import Finding, Merge, Step
from mappings.running.alternatives import (
    Alternative,
    Constant,
    FromClock,
    FromFunction,
    FromText,
    Made,
    ToAllResources,
)
from mappings.running.conditions import Condition
from mappings.running.element import Element
from mappings.running.frame import Frame
from mappings.running.run import Refused
from mappings.running.source_path import FieldNames, SourcePath, union
from mappings.running.target import Target

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
# Ways to a value that say nothing of the message.
_APART_FROM_MESSAGE = (Constant, FromClock, ToAllResources)


@runtime_checkable
class Fed(Protocol):
    """A rule that does nothing where none of these fields is filled; it may do something where it has none."""

    @property
    def fields(self) -> FieldNames: ...


def fields_of(rule: Rule) -> FieldNames:
    """The fields that a rule lives on, none where it may do something in any message."""
    return rule.fields if isinstance(rule, Fed) else frozenset()


def _is_naming(rule: Rule) -> bool:
    """Whether a rule may give a name to a resource in the frame that it runs in."""
    if isinstance(rule, Block):
        return any(map(_is_naming, rule.rules))
    if isinstance(rule, (Conditional, Within)):
        return _is_naming(rule.rule)
    return not isinstance(rule, (ValueRule, ObjectRule, EachSegment, EachRepetition, EachGroup))


@dataclass(frozen=True, slots=True)
class ValueRule:
    """Writes what the first alternative gives that has something; `default` where none does and nothing is
    stored.

    The first rule that has something for an element which is no list keeps it.
    """

    where: str
    target: Target
    alternatives: tuple[Alternative, ...]
    default: Alternative | None = None
    when: Condition | None = None

    @property
    def fields(self) -> FieldNames:
        if self.when is not None and self.when.fields:
            return self.when.fields
        if self.default is not None:
            return frozenset()
        return union(
            way.path.fields if isinstance(way, (FromFunction, FromText)) else frozenset()
            for way in self.alternatives
        )

    def run(self, frame: Frame, element: Element | None) -> None:
        assert element is not None
        if self.target.is_taken(element):
            return
        seen: list[Value] = []
        if self.when is not None and not self.when.holds(frame, seen):
            return
        many = self.target.is_list
        for alternative in self.alternatives:
            looked, when = seen, alternative.when
            if when is not None:
                looked = list(seen)
                if not when.holds(frame, looked):
                    continue
            made = alternative.made(frame, many)
            if made:
                for one in made:
                    self._write(frame, element, one, looked)
                return
        if self.default is not None and not self.target.is_filled(element):
            for one in self.default.made(frame, many):
                self._write(frame, element, one, seen)
                if element.is_root:
                    element.draft.defaulted.append(self.target.kept)

    @property
    def is_constant(self) -> bool:
        """Whether it never says anything of the message."""
        ways = (*self.alternatives, *((self.default,) if self.default else ()))
        return self.when is None and all(
            way.when is None and isinstance(way, _APART_FROM_MESSAGE) for way in ways
        )

    def _write(self, frame: Frame, element: Element, made: Made, seen: list[Value]) -> None:
        run, draft = frame.run, element.draft
        if made.is_null:
            positions = run.positions(made.leaves)
            if element.is_root and not self.target.whole and not self.target.url:
                draft.cleared.append(self.target.spelled)
            path = f"{element.path}.{self.target.spelled}"
            run.steps.append(Step(draft.key, path, positions, self.where, raw=made.raw))
            return
        path = self.target.put(element, made.value)
        if made.is_substance or (made.is_link and not element.is_root):
            element.is_substance = True
        leaves = made.leaves
        if seen:
            leaves = (*leaves, *seen)
        positions = run.positions(leaves) if leaves else ()
        run.steps.append(
            Step(draft.key, path, positions, self.where, made.using, made.table, made.raw, made.value)
        )
        if made.uses:
            run.account(made.uses, draft, self.target.inside(path), made.value, self.where, made.using)


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
class ObjectRule:
    """Builds an object; it is written if something of the message is in it. One that is there already is
    filled.

    always: it is written even if nothing of the message is in it. default: only where nothing came before and
    nothing is stored. needs: it is written only with one of each of these (names of properties, or of choices
    without `[x]`). is_naming: whether its rules may give names, which are forgotten with it.
    """

    where: str
    target: Target
    rules: tuple[Rule, ...]
    always: bool = False
    default: bool = False
    needs: tuple[tuple[str, ...], ...] = ()
    is_naming: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_naming", any(map(_is_naming, self.rules)))

    @property
    def fields(self) -> FieldNames:
        # What has nothing of the message in it is taken back, whatever its constants have written.
        rules = [one for rule in self.rules for one in (rule.rules if isinstance(rule, Block) else (rule,))]
        telling = [rule for rule in rules if not (isinstance(rule, ValueRule) and rule.is_constant)]
        return frozenset() if self.always or not telling else union(map(fields_of, telling))

    def run(self, frame: Frame, element: Element | None) -> None:
        assert element is not None
        if self.default and self.target.is_filled(element):
            return
        run, mark = frame.run, len(frame.run.steps)
        expected = self.target.place(element)
        inner = Element(self.target.standing(element), expected, element.draft)
        at = frame.inner() if self.is_naming else frame
        for rule in self.rules:
            rule.run(at, inner)
        if not (inner.is_substance or self.always) or not inner.content or self._lacks(inner.content):
            run.steps[mark:] = [step for step in run.steps[mark:] if not self._is_inside(step, inner)]
            return
        element.is_substance = element.is_substance or inner.is_substance
        path = self.target.put(element, inner.content)
        if self.default and element.is_root:
            element.draft.defaulted.append(self.target.kept)
        if path != expected:  # the list had it already
            for index in range(mark, len(run.steps)):
                if self._is_inside(run.steps[index], inner):
                    placed = path + run.steps[index].path.removeprefix(expected)
                    run.steps[index] = msgspec.structs.replace(run.steps[index], path=placed)

    def _lacks(self, content: Mapping[str, Any]) -> bool:
        """Whether a member is missing that the object cannot be without."""
        return not all(
            any(
                name == need or (name.startswith(need) and name[len(need)].isupper())
                for name in content
                for need in needs
            )
            for needs in self.needs
        )

    @staticmethod
    def _is_inside(step: Step, inner: Element) -> bool:
        return step.intent == inner.draft.key and step.path.startswith(inner.path)


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
