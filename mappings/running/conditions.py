"""`when`: tests that must all hold. Nothing is computed; a test looks at a place and compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from mappings.running.source_path import FieldNames, SourcePath, union

if TYPE_CHECKING:
    from mappings.hl7v2.message import Value
    from mappings.running.frame import Frame


class Test(Protocol):
    """`holds` adds the filled leaves that it looked at to `seen`.

    fields: it fails where none of them is filled.
    """

    @property
    def fields(self) -> FieldNames: ...

    def holds(self, frame: Frame, seen: list[Value]) -> bool: ...


@dataclass(frozen=True, slots=True)
class Is:
    """Whether one of the leaves of a path is one of these texts; `negated`: none of them is."""

    path: SourcePath
    texts: frozenset[str]
    negated: bool = False

    @property
    def fields(self) -> FieldNames:
        return frozenset() if self.negated else self.path.fields

    def holds(self, frame: Frame, seen: list[Value]) -> bool:
        leaves = self.path.values(frame)
        if not leaves:
            return self.negated
        found = [leaf for leaf in leaves if leaf.said in self.texts]
        seen.extend(leaves if self.negated else found)
        return bool(found) != self.negated


@dataclass(frozen=True, slots=True)
class IsFilled:
    """Whether a path has content (`valued`), has none (`empty`), or was emptied on purpose (`null`)."""

    path: SourcePath
    state: str

    @property
    def fields(self) -> FieldNames:
        return frozenset() if self.state == "empty" else self.path.fields

    def holds(self, frame: Frame, seen: list[Value]) -> bool:
        found = self.path.values(frame) if self.path.component else self.path.repetitions(frame)
        is_null = self.state == "null"
        for one in found:
            if one.is_null == is_null:
                return self.state != "empty"
        return self.state == "empty"


@dataclass(frozen=True, slots=True)
class IsIn:
    """Whether a code table has a row for one of the leaves of a path."""

    path: SourcePath
    table: str

    @property
    def fields(self) -> FieldNames:
        return self.path.fields

    def holds(self, frame: Frame, seen: list[Value]) -> bool:
        scope = frame.run.scope
        found = [leaf for leaf in self.path.values(frame) if scope.table(self.table, leaf.said) is not None]
        seen.extend(found)
        return bool(found)


@dataclass(frozen=True, slots=True)
class IsThere:
    """Whether a segment of one of these names is seen from here; `negated`: none is."""

    segments: frozenset[str]
    negated: bool = False

    fields: ClassVar[FieldNames] = frozenset()

    def holds(self, frame: Frame, seen: list[Value]) -> bool:
        for name in self.segments:
            if frame.together(name):
                return not self.negated
        return self.negated


@dataclass(frozen=True, slots=True)
class IsSingle:
    """Whether exactly one segment of a name is in the group at hand or in those in it; `negated`: more are."""

    segment: str
    negated: bool = False

    fields: ClassVar[FieldNames] = frozenset()

    def holds(self, frame: Frame, seen: list[Value]) -> bool:
        count = len(frame.holding(self.segment))
        return count > 1 if self.negated else count == 1


@dataclass(frozen=True, slots=True)
class HasGroup:
    """Whether one of these groups is in the group at hand; `negated`: none of them is."""

    groups: frozenset[str]
    negated: bool = False

    fields: ClassVar[FieldNames] = frozenset()

    def holds(self, frame: Frame, seen: list[Value]) -> bool:
        return any(frame.has_group(name) for name in self.groups) != self.negated


@dataclass(frozen=True, slots=True)
class TriggerIs:
    """Whether the message's trigger event (MSH-9.2) is one of these."""

    triggers: frozenset[str]
    negated: bool = False

    fields: ClassVar[FieldNames] = frozenset()

    def holds(self, frame: Frame, seen: list[Value]) -> bool:
        return (frame.run.trigger in self.triggers) != self.negated


@dataclass(frozen=True, slots=True)
class SettingIs:
    """Whether a setting of the source is one of these: `production`, `medication_list`, or a switch by its
    name.
    """

    name: str
    default: str
    values: frozenset[str]
    negated: bool = False

    fields: ClassVar[FieldNames] = frozenset()

    def holds(self, frame: Frame, seen: list[Value]) -> bool:
        return (frame.run.setting(self.name, self.default) in self.values) != self.negated


@dataclass(frozen=True, slots=True)
class IsKnown:
    """Whether a name stands for a resource here; `negated`: stands for none."""

    name: str
    negated: bool = False

    fields: ClassVar[FieldNames] = frozenset()

    def holds(self, frame: Frame, seen: list[Value]) -> bool:
        return (self.name in frame.names) != self.negated


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Whether one of several conditions holds."""

    conditions: tuple[Condition, ...]

    @property
    def fields(self) -> FieldNames:
        return union(condition.fields for condition in self.conditions)

    def holds(self, frame: Frame, seen: list[Value]) -> bool:
        for condition in self.conditions:  # noqa: SIM110 - as below
            if condition.holds(frame, seen):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Condition:
    """All of its tests."""

    tests: tuple[Test, ...]

    @property
    def fields(self) -> FieldNames:
        return next((test.fields for test in self.tests if test.fields), frozenset())

    def holds(self, frame: Frame, seen: list[Value]) -> bool:
        for test in self.tests:  # noqa: SIM110 - runs for most rules of each message; `all` costs twice as much
            if not test.holds(frame, seen):
                return False
        return True


def settings(production: bool, medication_list: bool, switches: Mapping[str, str]) -> dict[str, str]:
    """The settings of a source as conditions name them."""
    return {
        **{f"switch.{name}": value for name, value in switches.items()},
        "source.production": "true" if production else "false",
        "source.medication_list": "true" if medication_list else "false",
    }
