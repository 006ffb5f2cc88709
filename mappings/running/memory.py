"""What datatype functions made of values that came before, so that the codes, people and places of a feed are
read once and not in each message.

A function answers the same for the same bytes at the same place of a segment, as long as it looks at nothing
but the value, the settings of the source and the code tables. What looked further (`Looks`), complained of
something elsewhere or is long is made anew each time. Places are kept from the start of the value on, because
the next message may have it in another segment of the name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mappings.result import Finding, Step
from mappings.scope import Scope, Spoken, Use, value_at

if TYPE_CHECKING:
    from mappings.datatypes.function import Function
    from mappings.hl7v2.message import Repetition, Value
    from mappings.result import Source

_MOST = 4096  # values of one source; when there are more, all are forgotten
_MOST_SOURCES = 256
_MOST_PLACES = 8  # of one value
_CHANGING = (dict, list)
_LONGEST = 250  # bytes of a value: longer ones hardly come again


class Told(msgspec.Struct, frozen=True, gc=False):
    """One use of a component, as `Use`, with where it stands and what it says. became: None where that is for
    the whole message to say."""

    intent: str
    path: str
    place: str
    table: str
    text: str
    became: Any


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a function made of a value of this message. value: not to be changed, but to be `copied`.

    raw: the text of the value. places: of the components that became the value as a whole. uses: the others,
    with what each became. table: the row of a code table that said what the whole is, as `name:code`, "" for
    none. read: the places of the uses. spoken: keys of the further resources that uses are of. steps: what was
    told of the uses before, by intent, path and rule; None where it is not the same each time.
    """

    value: Any
    raw: str
    places: tuple[str, ...]
    uses: tuple[Told, ...]
    table: str
    read: tuple[str, ...]
    spoken: tuple[str, ...]
    steps: dict[tuple[str, str, str], tuple[Step, ...]] | None


class _Remembered(msgspec.Struct, frozen=True, gc=False):
    """An answer without places: those of `answer` are below that of the value. findings: codes, positions,
    texts. spoken: the mentions of further resources; wholes: what they say of each. answers: by the occurrence
    of the segment that the value is in."""

    answer: Answer
    spoken: tuple[Spoken, ...]
    wholes: dict[str, dict[str, Any]]
    findings: tuple[tuple[str, str, str], ...]
    answers: dict[int, Answer]


Known = dict[tuple[Any, ...], _Remembered]


class Memory:
    """Of one set of maps; may be shared between threads, which at worst make something twice."""

    def __init__(self) -> None:
        self._sources: dict[int, tuple[Source, Known]] = {}

    def of(self, source: Source) -> Known:
        """What is known of values of a source: of this very object, as settings cannot be compared quickly."""
        found = self._sources.get(id(source))
        if found is not None and found[0] is source:
            return found[1]
        if len(self._sources) >= _MOST_SOURCES:
            self._sources = {}
        known: Known = {}
        self._sources[id(source)] = (source, known)
        return known


def answer(
    known: Known, manner: bytes, function: Function, reading: Repetition, scope: Scope, table: str
) -> Answer:
    """What the function makes of the value; findings and further resources are told as if it had run."""
    key = manner, function.name, table, reading.likeness
    before = known.get(key)
    if before is not None:
        if not before.spoken and not before.findings:  # most
            found = before.answers.get(reading.occurrence)
            if found is not None:
                return found
        return _again(before, reading, scope)
    account, looks = scope.account, scope.looks
    mark, findings, spoken = len(account.uses), len(account.findings), len(account.spoken)
    looks.further = False
    value = function(reading, scope, table)
    uses = account.uses[mark:]
    del account.uses[mark:]
    wholes: dict[str, dict[str, Any]] = {}
    for mention in account.spoken[spoken:]:
        wholes[mention.key] = {**mention.resource, **wholes.get(mention.key, {})}
    found = _answer(value, reading, uses, wholes)
    if not looks.further and reading.end - reading.start <= _LONGEST:
        complaints = [_below(reading, finding) for finding in account.findings[findings:]]
        if None not in complaints and all(_is_within(reading, use.value) for use in uses):
            if len(known) >= _MOST:
                known.clear()
            known[key] = _Remembered(
                _moved(found, lambda place: place.removeprefix(reading.place)),
                tuple([_apart(one) for one in account.spoken[spoken:]]),
                copied(wholes),
                tuple(filter(None, complaints)),
                {},
            )
    return _said_here(found, wholes, scope)


def _answer(
    value: Any, reading: Repetition, uses: Sequence[Use], wholes: Mapping[str, Mapping[str, Any]]
) -> Answer:
    inner = tuple([_told(use, value, wholes) for use in uses if use.intent or use.path])
    return Answer(
        value,
        reading.text,
        tuple([use.value.place for use in uses if not use.intent and not use.path]),
        inner,
        next((use.table for use in uses if use.table and not use.path), ""),
        tuple([use.place for use in inner]),
        tuple(dict.fromkeys(use.intent for use in inner if use.intent)),
        {} if all(use.became is not None for use in inner) else None,
    )


def _told(use: Use, value: Any, wholes: Mapping[str, Mapping[str, Any]]) -> Told:
    """A use with what the component became, where that cannot change any more."""
    whole = wholes.get(use.intent) if use.intent else value
    became = None if isinstance(whole, list) else value_at(whole, use.path)
    if isinstance(became, (dict, list)):
        became = None
    return Told(use.intent, use.path, use.value.place, use.table, use.value.text, became)


def _is_within(reading: Repetition, value: Value) -> bool:
    return value.start >= reading.start and value.end <= reading.end


def _below(reading: Repetition, finding: Finding) -> tuple[str, str, str] | None:
    """A finding with its position below that of the value; None for one that is about something else."""
    place = reading.place
    if not finding.position.startswith(place):
        return None
    return finding.code, finding.position.removeprefix(place), finding.text


def _apart(spoken: Spoken) -> Spoken:
    """A mention that shares nothing with the resource that it is of."""
    return msgspec.structs.replace(spoken, resource=copied(spoken.resource))


def _moved(answer: Answer, place: Callable[[str], str]) -> Answer:
    """The answer for another place of its value; nothing is told of it yet."""
    return msgspec.structs.replace(
        answer,
        places=tuple([place(one) for one in answer.places]),
        uses=tuple([msgspec.structs.replace(use, place=place(use.place)) for use in answer.uses]),
        read=tuple([place(one) for one in answer.read]),
        steps=None if answer.steps is None else {},
    )


def _again(before: _Remembered, reading: Repetition, scope: Scope) -> Answer:
    for spoken in before.spoken:
        scope.resource(
            spoken.key, copied(spoken.resource), spoken.identities,
            write=spoken.write, lists=spoken.lists, keep=spoken.keep,
        )  # fmt: skip
    if before.findings:
        place = reading.place
        scope.account.findings += [Finding(code, place + below, text) for code, below, text in before.findings]
    found = before.answers.get(reading.occurrence)
    if found is None:
        begins = reading.place
        found = _moved(before.answer, lambda below: begins + below)
        if len(before.answers) < _MOST_PLACES:
            before.answers[reading.occurrence] = found
    return _said_here(found, before.wholes, scope)


def _said_here(answer: Answer, wholes: Mapping[str, Mapping[str, Any]], scope: Scope) -> Answer:
    """The answer in a message that may have said something else of the same further resources before."""
    intents = scope.account.intents
    for key, whole in wholes.items():
        if intents[key].resource != whole:
            uses = [msgspec.structs.replace(use, became=None) if use.intent else use for use in answer.uses]
            return msgspec.structs.replace(answer, uses=tuple(uses), steps=None)
    return answer


def copied(value: Any) -> Any:
    """FHIR JSON that may be changed without changing what it was copied from."""
    kind = type(value)
    if kind is dict:
        copy = value.copy()
        for name, member in value.items():
            if type(member) in _CHANGING:  # most are texts
                copy[name] = copied(member)
        return copy
    if kind is list:
        return [copied(member) if type(member) in _CHANGING else member for member in value]
    return value
