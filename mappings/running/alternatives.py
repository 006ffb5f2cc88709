"""Where a value comes from: a field through a function or a table, a constant, a reference to another
resource.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mappings.datatypes.function import Function
from mappings.datatypes.reading import LONGEST, as_code, as_uri, said, words
from mappings.running.conditions import Condition
from mappings.running.memory import Answer, copied
from mappings.running.source_path import SourcePath
from mappings.tables import Table, TableRow

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition, Value
    from mappings.running.frame import Frame


class Made(msgspec.Struct, frozen=True, gc=False):
    """One value. places: of what it was made of. answer: what a function says of each part of it. is_null:
    emptied on purpose.

    A struct, as `Step` is.
    is_substance: whether the message says so, other than a constant; `link`: it points at another resource.
    """

    value: Any
    raw: str = ""
    places: tuple[str, ...] = ()
    answer: Answer | None = None
    using: str = ""
    table: str = ""
    is_null: bool = False
    is_substance: bool = True
    is_link: bool = False


class Alternative(Protocol):
    """A way to a value. `made`: the values, all or (`many` false) the first; none where there is nothing."""

    @property
    def when(self) -> Condition | None: ...

    def made(self, frame: Frame, many: bool) -> list[Made]: ...


@dataclass(frozen=True, slots=True)
class FromFunction:
    """A field, or a component as a field of its own, through a datatype function."""

    path: SourcePath
    function: Function
    table: str = ""
    when: Condition | None = None

    def made(self, frame: Frame, many: bool) -> list[Made]:
        readings = self.path.readings(frame)
        if not readings:
            return readings
        found: list[Made] = []
        run, name = frame.run, self.function.name
        for reading in readings:
            if reading.is_null:
                found.append(Made(None, '""', (reading.value().place,), is_null=True))
            else:
                answer = run.answer(self.function, reading, self.table)
                value = answer.value
                if value is None or value == {}:
                    continue
                if type(value) is not str:
                    value = copied(value)
                for one in value if isinstance(value, list) else (value,):
                    found.append(Made(one, answer.raw, answer.places, answer, name, answer.table))
            if not many:
                break
        return found


@dataclass(frozen=True, slots=True)
class FromText:
    """The text of leaves, looked up in a table where there is one. kind: FHIR's primitive type.

    table: a table of the overlay or the base by name, or one that stands in the map. join: makes one text of
    several.
    """

    path: SourcePath
    kind: str
    table: str | Table = ""
    join: str | None = None
    when: Condition | None = None

    def made(self, frame: Frame, many: bool) -> list[Made]:
        if self.join is not None:
            return self._joined(frame, self.join)
        leaves = self.path.values(frame)
        found: list[Made] = []
        for leaf in leaves:
            if leaf.is_null:
                found.append(Made(None, '""', (leaf.place,), is_null=True))
            else:
                made = self._one(frame, leaf)
                if made is None:
                    continue
                found.append(made)
            if not many:
                break
        return found

    def _joined(self, frame: Frame, between: str) -> list[Made]:
        readings = [reading for reading in self.path.readings(frame) if not reading.is_null]
        leaves = tuple(leaf for reading in readings for leaf in reading.filled() if said(leaf))
        whole = between.join(self._lines(frame, readings)).strip()
        if not whole:
            return []
        if len(whole) > LONGEST and self.kind != "base64Binary":
            frame.run.scope.warn("text-too-long", leaves[0], "longer than a string of FHIR may be (1 MiB)")
            whole = whole[:LONGEST].strip()
        return [Made(_primitive(self.kind, whole), whole, tuple([leaf.place for leaf in leaves]))]

    def _lines(self, frame: Frame, readings: list[Repetition]) -> list[str]:
        """The texts in order; of segments that are taken together an empty one is an empty line."""
        by_segment: dict[int, list[str]] = {}
        if self.path.segment:
            by_segment = {segment.ordinal: [] for segment in frame.together(self.path.segment)}
        for reading in readings:
            by_segment.setdefault(reading.value().position.ordinal, []).append(words(reading))
        return [text for texts in by_segment.values() for text in texts or [""]]

    def _one(self, frame: Frame, leaf: Value) -> Made | None:
        text = said(leaf)
        if not text:
            return None
        if not self.table:
            return Made(_primitive(self.kind, text), text, (leaf.place,))
        row = self._row(frame, text)
        if row is None:
            name = f"table {self.table}" if isinstance(self.table, str) else "the table of the rule"
            frame.run.scope.warn("code-unknown", leaf, f"{name} does not know this code")
            return None
        if not row.target:
            return None
        value = row.target == "true" if self.kind == "boolean" else row.target
        return Made(value, text, (leaf.place,), table=row.name)

    def _row(self, frame: Frame, text: str) -> TableRow | None:
        if isinstance(self.table, str):
            return frame.run.scope.table(self.table, text)
        return self.table.row(text)


def _in_base64(content: str) -> str:
    return base64.b64encode(content.encode()).decode()


def _primitive(kind: str, text: str) -> str:
    """A text as a primitive of FHIR that JSON writes as text."""
    return _WRITTEN.get(kind, str)(text)


_WRITTEN: dict[str, Callable[[str], str]] = {
    "base64Binary": _in_base64,
    "code": as_code,
    "id": as_code,
    "uri": as_uri,
    "url": as_uri,
    "canonical": as_uri,
    "oid": as_uri,
    "uuid": as_uri,
}


@dataclass(frozen=True, slots=True)
class FromClock:
    """`received` or `moment`: when the message came, when what it tells of happened."""

    name: str
    when: Condition | None = None

    def made(self, frame: Frame, many: bool) -> list[Made]:
        return [Made(frame.run.clock[self.name], is_substance=False)]


@dataclass(frozen=True, slots=True)
class Constant:
    """The same each time."""

    value: Any
    when: Condition | None = None

    def made(self, frame: Frame, many: bool) -> list[Made]:
        value = self.value
        return [Made(value if type(value) is str else copied(value), is_substance=False)]


@dataclass(frozen=True, slots=True)
class ToResource:
    """A reference to the resource that a name stands for; nothing where it stands for none."""

    name: str
    when: Condition | None = None

    def made(self, frame: Frame, many: bool) -> list[Made]:
        key = frame.names.get(self.name)
        if key is None:
            return []
        return [Made({"reference": f"#intent:{key}"}, is_substance=False, is_link=True)]


@dataclass(frozen=True, slots=True)
class ToAllResources:
    """References to all that the message speaks of so far, but for what only says where it came from."""

    when: Condition | None = None

    def made(self, frame: Frame, many: bool) -> list[Made]:
        drafts = frame.run.drafts
        keys = [key for key, draft in drafts.items() if draft.resource_type != "Provenance"]
        keys += frame.run.scope.account.intents
        return [Made({"reference": f"#intent:{key}"}, is_substance=False) for key in keys]
