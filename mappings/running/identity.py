"""What a resource is known by for good, taken from the message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mappings.datatypes.function import Function
from mappings.datatypes.reading import said
from mappings.result import Identity
from mappings.running.conditions import Condition
from mappings.running.source_path import SourcePath

if TYPE_CHECKING:
    from mappings.hl7v2.message import Repetition, Value
    from mappings.running.frame import Frame

# Numbers that the sender itself gave out, or whose authority nobody names, hold for this sender alone.
LOCAL = "urn:baton:hl7v2"
# Types of table 0203 that number patients, best first; other types number people (SS, DL) or something else.
_PATIENT_TYPES = ("MR", "PI", "PT", "")


class IdentitySource(Protocol):
    """A way to identities, best first. The leaves that they are made of are added to `seen`."""

    @property
    def when(self) -> Condition | None: ...

    def identities(self, frame: Frame, resource_type: str, seen: list[Value]) -> list[Identity]: ...


def _identity(frame: Frame, resource_type: str, identifier: dict[str, Any]) -> Identity | None:
    value, system = identifier.get("value"), identifier.get("system")
    if not value:
        return None
    if system:
        return Identity(system, value)
    return Identity(f"{LOCAL}:{frame.run.scope.source.name}:{resource_type}", value, is_identifier=False)


@dataclass(frozen=True, slots=True)
class OfIdentifier:
    """An identifier of a field: the first repetition that gives one."""

    path: SourcePath
    function: Function
    when: Condition | None = None

    def identities(self, frame: Frame, resource_type: str, seen: list[Value]) -> list[Identity]:
        for reading in self.path.readings(frame):
            made = None if reading.is_null else frame.run.answer(self.function, reading).value
            identity = _identity(frame, resource_type, made) if isinstance(made, dict) else None
            if identity is not None:
                seen.append(reading.value())
                return [identity]
        return []


@dataclass(frozen=True, slots=True)
class OfPatient:
    """The numbers of a patient in a list of CX: by the authorities of the source, then by type, then as sent.

    Numbers of other kinds (a licence, an insurance) identify nobody here unless nothing else is there.
    """

    path: SourcePath
    function: Function
    when: Condition | None = None

    def identities(self, frame: Frame, resource_type: str, seen: list[Value]) -> list[Identity]:
        ranked: list[tuple[int, int, Identity, Value]] = []
        for place, reading in enumerate(self.path.repetitions(frame)):
            made = None if reading.is_null else frame.run.answer(self.function, reading).value
            identity = _identity(frame, resource_type, made) if isinstance(made, dict) else None
            if identity is not None:
                ranked.append((self._rank(frame, reading), place, identity, reading.value()))
        ranked.sort(key=lambda row: row[:2])
        numbers = [row for row in ranked if row[0] < _OTHER] or ranked[:1]
        seen.extend(row[3] for row in numbers)
        return list(dict.fromkeys(row[2] for row in numbers))

    def _rank(self, frame: Frame, reading: Repetition) -> int:
        authorities = frame.run.scope.source.authorities
        namespace = reading.said(4, 1) or reading.said(4, 2)
        if namespace in authorities:
            return authorities.index(namespace) - len(authorities)
        kind = reading.said(5)
        return _PATIENT_TYPES.index(kind) if kind in _PATIENT_TYPES else _OTHER


_OTHER = len(_PATIENT_TYPES)


@dataclass(frozen=True, slots=True)
class OfParts:
    """Several parts, joined by `|`: other resources by their best identity, texts, the ordinal among equals.

    All resources must be known and identified, and the first text must have content. Holds for the sender alone
    unless a resource is among the parts.
    """

    parts: tuple[str | SourcePath, ...]
    kind: str = ""
    when: Condition | None = None

    def identities(self, frame: Frame, resource_type: str, seen: list[Value]) -> list[Identity]:
        texts: list[str] = []
        is_local, has_text = True, False
        for part in self.parts:
            if isinstance(part, SourcePath):
                leaves = [leaf for leaf in part.values(frame)[:1] if not leaf.is_null]
                if not leaves and not has_text:
                    return []
                has_text = True
                seen.extend(leaves)
                texts.append(said(leaves[0]) if leaves else "")
            elif part != "ordinal":
                key = frame.names.get(part)
                draft = frame.run.drafts.get(key) if key is not None else None
                if draft is None or not draft.identities:
                    return []
                is_local = False
                best = draft.identities[0]
                texts.append(f"{best.system}|{best.value}")
        kind = self.kind or resource_type
        system = f"{LOCAL}:{frame.run.scope.source.name}:{kind}" if is_local else f"{LOCAL}:{kind}"
        if "ordinal" in self.parts:
            texts.append(str(frame.run.count("|".join((system, *texts)))))
        return [Identity(system, "|".join(texts), is_identifier=False)]
