"""What datatype functions made of values that came before, so that the codes, people and places of a feed are
read once and not in each message.

A function answers the same for the same bytes at the same place of a segment, as long as it looks at nothing
but the value, the settings of the source and the code tables. What looked further (`Looks`), found something to
complain of or is long is made anew each time. Positions are kept from the start of the value, because the next
message has it elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mappings.scope import Scope, Spoken, Use

if TYPE_CHECKING:
    from mappings.datatypes.function import Function
    from mappings.hl7v2.message import Repetition
    from mappings.result import Source

_MOST = 4096  # values of one source; when there are more, all are forgotten
_MOST_SOURCES = 256
_LONGEST = 250  # bytes of a value: longer ones hardly come again


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One use of a component: for which element, which component, its first byte and end within the value."""

    intent: str
    path: str
    table: str
    component: int
    subcomponent: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class _Made:
    value: Any
    leaves: tuple[_Leaf, ...]
    spoken: tuple[Spoken, ...]


Known = dict[tuple[Any, ...], _Made]


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


def made(known: Known, function: Function, reading: Repetition, scope: Scope, table: str) -> Any:
    """What the function makes of the value; its account is filled as if it had run."""
    key = (function.name, table, *reading.likeness)
    before = known.get(key)
    if before is not None:
        _say_again(before, reading, scope)
        return copied(before.value)
    account, looks = scope.account, scope.looks
    uses, findings, spoken = len(account.uses), len(account.findings), len(account.spoken)
    looks.further = False
    value = function(reading, scope, table)
    if not looks.further and len(account.findings) == findings and reading.end - reading.start <= _LONGEST:
        leaves = [_leaf(use, reading) for use in account.uses[uses:]]
        if None not in leaves:
            if len(known) >= _MOST:
                known.clear()
            known[key] = _Made(copied(value), tuple(filter(None, leaves)), tuple(account.spoken[spoken:]))
    return value


def _leaf(use: Use, reading: Repetition) -> _Leaf | None:
    """A use, told from the start of the value; None for one of something outside of it."""
    value = use.value
    if value.start < reading.start or value.end > reading.end:
        return None
    start, end = value.start - reading.start, value.end - reading.start
    return _Leaf(use.intent, use.path, use.table, value.component, value.subcomponent, start, end, value.text)


def _say_again(before: _Made, reading: Repetition, scope: Scope) -> None:
    account, start = scope.account, reading.start
    for spoken in before.spoken:
        scope.resource(
            spoken.key, copied(spoken.resource), spoken.identities,
            write=spoken.write, lists=spoken.lists, keep=spoken.keep,
        )  # fmt: skip
    account.uses += [
        Use(
            leaf.intent,
            leaf.path,
            reading.leaf(leaf.component, leaf.subcomponent, start + leaf.start, start + leaf.end, leaf.text),
            leaf.table,
        )
        for leaf in before.leaves
    ]


def copied(value: Any) -> Any:
    """FHIR JSON that may be changed without changing what it was copied from."""
    kind = type(value)
    if kind is dict:
        return {
            name: member if type(member) is str else copied(member)  # most are texts
            for name, member in value.items()
        }
    return [copied(member) for member in value] if kind is list else value
