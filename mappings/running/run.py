"""One message on its way through a map: the drafts of intents, and the account of what was read and what it
became.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mappings.result import Finding, Identity, Merge, Step
from mappings.running import memory
from mappings.running.element import Draft
from mappings.running.memory import Answer, Known, Told
from mappings.scope import Scope, joined, value_at

if TYPE_CHECKING:
    from mappings.datatypes.function import Function
    from mappings.hl7v2.message import Repetition, Segment, Value


Fields = dict[int, "list[Repetition]"]

_MOST_TOLD = 16  # ways to tell of one value that are remembered


class Refused(Exception):
    """The message as a whole cannot be mapped; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code)
        self.finding = finding


@dataclass(slots=True)
class Run:
    """trigger: MSH-9.2. clock: what rules call `received` and `moment`, as instants. settings: of the source.

    drafts: by key, in the order in which they were begun. read: places of leaves that something was made of.
    manner: of the message. present: the names of its segments. known: what values of the source became before.
    """

    scope: Scope
    trigger: str
    clock: Mapping[str, str]
    settings: Mapping[str, str]
    manner: bytes
    present: Collection[str]
    known: Known = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    _fields: dict[int, Fields] = field(default_factory=dict)
    _answers: dict[tuple[int, str, str], tuple[Answer, Repetition]] = field(default_factory=dict)
    _by_identity: dict[tuple[str, Identity], Draft] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _spoken_of: set[str] = field(default_factory=set)

    def setting(self, name: str, default: str) -> str:
        return self.settings.get(name, default)

    def fields(self, segment: Segment) -> Fields:
        """The filled fields of a segment: the same repetitions each time."""
        found = self._fields.get(segment.ordinal)
        if found is None:
            found = self._fields[segment.ordinal] = segment.filled_repetitions()
        return found

    def answer(self, function: Function, reading: Repetition, table: str = "") -> Answer:
        """What a function makes of a value, and what it says of its components; it says it once."""
        key = (id(reading), function.name, table)
        known = self._answers.get(key)
        if known is not None:
            return known[0]
        found = memory.answer(self.known, self.manner, function, reading, self.scope, table)
        # The reading is kept with what was made of it: an id is another's once the object is gone.
        self._answers[key] = found, reading
        return found

    def count(self, what: str) -> int:
        """How often this was counted in the message, this time included."""
        self._counts[what] = number = self._counts.get(what, 0) + 1
        return number

    def draft(
        self, name: str, resource_type: str, identities: tuple[Identity, ...], *, by_best: bool = False
    ) -> tuple[Draft, bool]:
        """The draft for a resource, and whether it is new: what has an identity of one that is there is
        that one. by_best: what has the best identity of one; further ones that another has stay with that.
        """
        deciding = identities
        if by_best:
            deciding, further = identities[:1], identities[1:]
            free = (one for one in further if (resource_type, one) not in self._by_identity)
            identities = (*deciding, *free)
        for identity in deciding:
            known = self._by_identity.get((resource_type, identity))
            if known is not None:
                known.identities = tuple(dict.fromkeys((*known.identities, *identities)))
                return known, False
        number = self.count(f"draft {name}")
        draft = Draft(name if number == 1 else f"{name}-{number}", name, resource_type, identities)
        self.drafts[draft.key] = draft
        for identity in identities:
            self._by_identity[resource_type, identity] = draft
        return draft, True

    def forget(self, draft: Draft, steps: int) -> None:
        """Take back a draft that nothing of the message is in, and what was written about it since `steps`."""
        del self.drafts[draft.key]
        draft.let_go()
        for identity in draft.identities:
            self._by_identity.pop((draft.resource_type, identity), None)
        self.steps[steps:] = [step for step in self.steps[steps:] if step.intent != draft.key]

    def seen(self, leaves: Iterable[Value], rule: str) -> None:
        """Say that leaves decided something, as tests of a condition do: a step without an element."""
        for leaf in leaves:
            if not leaf.is_empty:
                self.read.add(leaf.place)
                self.steps.append(Step("", "", (leaf.place,), rule, raw=leaf.text))

    def positions(self, leaves: Sequence[Value]) -> tuple[str, ...]:
        """Where leaves stand, which counts them as read."""
        if len(leaves) == 1:
            place = leaves[0].place
            self.read.add(place)
            return (place,)
        places = tuple([leaf.place for leaf in leaves])
        self.read.update(places)
        return places

    def account(self, answer: Answer, draft: Draft, path: str, value: Any, rule: str, using: str) -> None:
        """One step for each component that a datatype function used, also of the resources that it spoke of."""
        for intent in answer.spoken:
            if intent not in self._spoken_of:
                self._spoken_of.add(intent)
                whole = self.scope.account.intents[intent].resource
                self.steps.append(Step(intent, whole["resourceType"], (), rule, using))
        key, known = (draft.key, path, rule), answer.steps
        told = known.get(key) if known is not None else None
        if told is None:
            told = tuple([self._step(use, draft, path, value, rule, using) for use in answer.uses])
            if known is not None:
                if len(known) >= _MOST_TOLD:
                    known.clear()
                known[key] = told
        self.steps += told
        self.read.update(answer.read)

    def _step(self, use: Told, draft: Draft, path: str, value: Any, rule: str, using: str) -> Step:
        if use.intent:
            whole: Any = self.scope.account.intents[use.intent].resource
            intent, at = use.intent, whole["resourceType"]
        else:
            intent, at, whole = draft.key, path, value
        became = value_at(whole, use.path) if use.became is None else use.became
        return Step(intent, joined(at, use.path), (use.place,), rule, using, use.table, use.text, became)
