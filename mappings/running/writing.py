"""Rules that write to the element at hand: a value, or an object with rules of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from mappings.result import Step
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
from mappings.running.rules import (
    Block,
    Conditional,
    EachGroup,
    EachRepetition,
    EachSegment,
    Rule,
    Within,
    fields_of,
)
from mappings.running.source_path import FieldNames, union
from mappings.running.target import Target

if TYPE_CHECKING:
    from mappings.hl7v2.message import Value

# Ways to a value that say nothing of the message.
_APART_FROM_MESSAGE = (Constant, FromClock, ToAllResources)


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
        many = self.target.is_list
        if not many and self.target.is_taken(element):
            return
        seen: list[Value] = []
        if self.when is not None and not self.when.holds(frame, seen):
            return
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
            run.read.update(made.places)
            if element.is_root and not self.target.whole and not self.target.url:
                draft.cleared.append(self.target.spelled)
            path = f"{element.path}.{self.target.spelled}"
            run.steps.append(Step(draft.key, path, made.places, self.where, raw=made.raw))
            return
        path = self.target.put(element, made.value)
        if made.is_substance or (made.is_link and not element.is_root):
            element.is_substance = True
        positions = (*made.places, *run.positions(seen)) if seen else made.places
        run.read.update(made.places)
        run.steps.append(
            Step(draft.key, path, positions, self.where, made.using, made.table, made.raw, made.value)
        )
        if made.answer is not None and made.answer.uses:
            run.account(made.answer, draft, self.target.inside(path), made.value, self.where, made.using)


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


def _is_naming(rule: Rule) -> bool:
    """Whether a rule may give a name to a resource in the frame that it runs in."""
    if isinstance(rule, Block):
        return any(map(_is_naming, rule.rules))
    if isinstance(rule, (Conditional, Within)):
        return _is_naming(rule.rule)
    return not isinstance(rule, (ValueRule, ObjectRule, EachSegment, EachRepetition, EachGroup))
