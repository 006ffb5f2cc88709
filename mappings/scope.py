"""What a datatype function has besides its value: source, message, code tables, and an account to fill.

A function reads components and says of each what it became (`used`), what it could not do (`warn`), and which
further resources it speaks of (`resource`). Paths are relative to the element that the function makes; `at`
goes one step further down, for the functions that a function calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from mappings.result import Finding, Identity, Intent, Source
from mappings.tables import Table, TableRow, tables

if TYPE_CHECKING:
    from mappings.hl7v2.message import Message, Position, Repetition, Value


class Use(msgspec.Struct, frozen=True, gc=False):
    """A component and what it became (a struct, as `Step` is).

    intent: key of the further resource that the path belongs to, "" for the element that the function was asked
    for. path: dots and `[n]`, "" for the element as a whole. table: `name:code` of the row that said so, or "".
    """

    intent: str
    path: str
    value: Value
    table: str = ""


class Spoken(msgspec.Struct, frozen=True, gc=False):
    """One mention of a further resource, as `Scope.resource` was told of it."""

    key: str
    resource: Mapping[str, Any]
    identities: tuple[Identity, ...]
    write: str
    lists: Mapping[str, str]
    keep: tuple[str, ...]


@dataclass(slots=True)
class Account:
    """What functions said while they ran; the caller reads it afterwards.

    intents: further resources by their key, one for each key. spoken: each mention of them, in its turn.
    """

    uses: list[Use] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    intents: dict[str, Intent] = field(default_factory=dict)
    spoken: list[Spoken] = field(default_factory=list)


@dataclass(slots=True)
class Looks:
    """further: a function looked at more of the message than its value, since this was last set to False."""

    further: bool = False


class Scope:
    """One evaluation. `tables`: all code tables, those of the source's overlay already laid over the base."""

    __slots__ = ("_intent", "_message", "_path", "account", "looks", "source", "tables")

    def __init__(
        self,
        source: Source,
        message: Message,
        code_tables: Mapping[str, Table] | None = None,
        account: Account | None = None,
        *,
        path: str = "",
        intent: str = "",
        looks: Looks | None = None,
    ) -> None:
        self.source = source
        self._message = message
        self.looks = Looks() if looks is None else looks
        self.tables = tables() if code_tables is None else code_tables
        self.account = Account() if account is None else account
        self._path = path
        self._intent = intent

    @property
    def message(self) -> Message:
        """The whole message; what a function makes then holds for this message alone."""
        self.looks.further = True
        return self._message

    def at(self, path: str) -> Scope:
        """The same evaluation, one element further down."""
        return Scope(
            self.source,
            self._message,
            self.tables,
            self.account,
            path=joined(self._path, path),
            intent=self._intent,
            looks=self.looks,
        )

    def of(self, intent: str) -> Scope:
        """The same evaluation, for a further resource with this key."""
        return Scope(self.source, self._message, self.tables, self.account, intent=intent, looks=self.looks)

    def apart(self) -> Scope:
        """The same evaluation with an account of its own: `take` it in when it is known where it belongs."""
        return Scope(self.source, self._message, self.tables, looks=self.looks)

    def take(self, other: Scope, path: str = "") -> None:
        """What was said apart, one element further down."""
        for use in other.account.uses:
            self.used(use.value, joined(path, use.path), use.table)
        self.account.findings.extend(other.account.findings)

    def used(self, value: Value, path: str = "", table: str = "") -> None:
        """Say that this component became (part of) the element at `path`. Empty and `""` do not count."""
        if value.said:
            if self._path:
                path = joined(self._path, path)
            self.account.uses.append(Use(self._intent, path, value, table))

    def warn(self, code: str, where: Value | Position | str, text: str) -> None:
        """Say that something could not be done as one would wish.

        code: of mappings/findings.json. where: a Value, a Position or "". text: words without patient data.
        """
        position = where if isinstance(where, str) else str(getattr(where, "position", where))
        self.account.findings.append(Finding(code, position, text))

    def table(self, name: str, code: str, *, exact: bool = False) -> TableRow | None:
        """The row of a code, as the source's overlay or else the base has it; None for an unknown code.

        exact: not in another case either (mg is not Mg).

        Raises KeyError for a name that no table has: `baton map lint` finds these before a message does.
        """
        return self.tables[name].rows.get(code) if exact else self.tables[name].row(code)

    def resource(
        self,
        key: str,
        resource: Mapping[str, Any],
        identities: Sequence[Identity],
        *,
        write: str = "merge",
        lists: Mapping[str, str] | None = None,
        keep: Sequence[str] = (),
    ) -> dict[str, str]:
        """Speak of a further resource; answers the Reference to it. One key, one resource.

        What a later mention in the message says of a resource fills the gaps that an earlier one left.
        """
        mention = Spoken(key, resource, tuple(identities), write, lists or {}, tuple(keep))
        self.account.spoken.append(mention)
        before = self.account.intents.get(key)
        said = {**resource, **before.resource} if before else dict(resource)
        known = tuple(dict.fromkeys((*(before.identities if before else ()), *identities)))
        self.account.intents[key] = Intent(key, said, known, write, lists=dict(lists or {}), keep=tuple(keep))
        return {"reference": f"#intent:{key}"}

    def sibling(self, value: Repetition, number: int) -> Repetition | None:
        """The first repetition of another field of the value's segment, None where it is empty."""
        repetitions = self.siblings(value, number)
        return repetitions[0] if repetitions and not repetitions[0].is_empty else None

    def siblings(self, value: Repetition, number: int) -> tuple[Repetition, ...]:
        """Every repetition of a field of the value's segment; none for a value that is in no segment."""
        message, ordinal = self.message, value.value().position.ordinal
        return message.segments[ordinal - 1].repetitions(number) if ordinal else ()


def joined(path: str, further: str) -> str:
    """Two paths as one."""
    if not path or not further or further.startswith("["):
        return path + further
    return f"{path}.{further}"


@lru_cache(4096)
def _steps(path: str) -> tuple[str | int, ...]:
    """`name[0].given` as `name`, 0, `given`."""
    parts = path.replace("[", ".[").split(".") if path else ()
    return tuple(int(part[1:-1]) if part[0] == "[" else part for part in parts if part)


def value_at(value: Any, path: str) -> Any:
    """What stands at a path of dots and `[n]` in FHIR JSON, None for nothing."""
    try:
        for step in _steps(path):
            value = value[step]
    except (KeyError, IndexError, TypeError):
        return None
    return value
