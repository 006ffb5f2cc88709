"""What datatype functions made of values that came before, so that the codes, people and places of a feed are
read once and not in each message.

A function answers the same for the same bytes at the same place of a segment, as long as it looks at nothing
but the value, the settings of the source and the code tables. What looked further (`Looks`), complained of
something elsewhere or is long is made anew each time. Positions are kept from the start of the value, because
the next message has it elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mappings.result import Finding
from mappings.scope import Scope, Spoken, Use, value_at

if TYPE_CHECKING:
    from mappings.datatypes.function import Function
    from mappings.hl7v2.message import Repetition, Value
    from mappings.result import Source

_MOST = 4096  # values of one source; when there are more, all are forgotten
_MOST_SOURCES = 256
_LONGEST = 250  # bytes of a value: longer ones hardly come again


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a function made of a value of this message. value: not to be changed, but to be `copied`.

    leaves: the components that became the value as a whole. uses: the others, with what each became. table: the
    row of a code table that said what the whole is, as `name:code`, "" for none.
    """

    value: Any
    leaves: tuple[Value, ...]
    uses: tuple[Use, ...]
    table: str


class _Leaf(msgspec.Struct, frozen=True, gc=False):
    """One use of a component: as `Use`, but for its component and subcomponent (`at`), its first byte and
    end within the value."""

    intent: str
    path: str
    table: str
    became: Any
    at: tuple[int, int]
    start: int
    end: int
    text: str


class _Remembered(msgspec.Struct, frozen=True, gc=False):
    """An answer without places. findings: codes, positions below that of the value, texts."""

    value: Any
    leaves: tuple[_Leaf, ...]
    uses: tuple[_Leaf, ...]
    table: str
    spoken: tuple[Spoken, ...]
    findings: tuple[tuple[str, str, str], ...]


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
        return _again(before, reading, scope)
    account, looks = scope.account, scope.looks
    mark, findings, spoken = len(account.uses), len(account.findings), len(account.spoken)
    looks.further = False
    value = function(reading, scope, table)
    uses = [_told(use, value) for use in account.uses[mark:]]
    del account.uses[mark:]
    leaves = tuple([use.value for use in uses if not use.intent and not use.path])
    inner = tuple([use for use in uses if use.intent or use.path])
    row = next((use.table for use in uses if use.table and not use.path), "")
    found = Answer(value, leaves, inner, row)
    if not looks.further and reading.end - reading.start <= _LONGEST:
        complaints = [_below(reading, finding) for finding in account.findings[findings:]]
        if None not in complaints and all(_is_within(reading, use.value) for use in uses):
            if len(known) >= _MOST:
                known.clear()
            known[key] = _Remembered(
                value,
                tuple([_leaf(use, reading) for use in uses if not use.intent and not use.path]),
                tuple([_leaf(use, reading) for use in inner]),
                row,
                tuple([_apart(one) for one in account.spoken[spoken:]]),
                tuple(filter(None, complaints)),
            )
    return found


def _told(use: Use, value: Any) -> Use:
    """A use with what the component became, where that cannot change any more."""
    became = None if use.intent or isinstance(value, list) else value_at(value, use.path)
    if became is None or isinstance(became, (dict, list)):
        return use
    return Use(use.intent, use.path, use.value, use.table, became)


def _is_within(reading: Repetition, value: Value) -> bool:
    return value.start >= reading.start and value.end <= reading.end


def _below(reading: Repetition, finding: Finding) -> tuple[str, str, str] | None:
    """A finding with its position below that of the value; None for one that is about something else."""
    place = reading.place
    if not finding.position.startswith(place):
        return None
    return finding.code, finding.position.removeprefix(place), finding.text


def _leaf(use: Use, reading: Repetition) -> _Leaf:
    value, start = use.value, reading.start
    return _Leaf(
        use.intent, use.path, use.table, use.became,
        (value.component, value.subcomponent), value.start - start, value.end - start, value.text,
    )  # fmt: skip


def _apart(spoken: Spoken) -> Spoken:
    """A mention that shares nothing with the resource that it is of."""
    return msgspec.structs.replace(spoken, resource=copied(spoken.resource))


def _again(before: _Remembered, reading: Repetition, scope: Scope) -> Answer:
    for spoken in before.spoken:
        scope.resource(
            spoken.key, copied(spoken.resource), spoken.identities,
            write=spoken.write, lists=spoken.lists, keep=spoken.keep,
        )  # fmt: skip
    if before.findings:
        place = reading.place
        scope.account.findings += [Finding(code, place + below, text) for code, below, text in before.findings]
    leaves = reading.leaves if reading.is_whole else {}
    return Answer(
        before.value,
        tuple(
            [leaves.get(one.at) or reading.leaf(one.at, one.start, one.end, one.text) for one in before.leaves]
        ),
        tuple(
            [
                Use(
                    one.intent,
                    one.path,
                    leaves.get(one.at) or reading.leaf(one.at, one.start, one.end, one.text),
                    one.table,
                    one.became,
                )
                for one in before.uses
            ]
        ),
        before.table,
    )


def copied(value: Any) -> Any:
    """FHIR JSON that may be changed without changing what it was copied from."""
    kind = type(value)
    if kind is dict:
        copy = value.copy()
        for name, member in value.items():
            if type(member) is not str:  # most are texts
                copy[name] = copied(member)
        return copy
    if kind is list:
        return [member if type(member) is str else copied(member) for member in value]
    return value
