"""A patient's encounters for the choice of one before a standalone launch, seen by the person signed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.api.choice_search import Perform, escaped, search
from server.auth.sessions import Session


@dataclass(frozen=True, slots=True)
class EncounterLine:
    """An encounter to choose. details: when, and how it stands."""

    id: str
    title: str
    details: str


@dataclass(frozen=True, slots=True)
class EncounterPage:
    """Some of the encounters. cursor: continues, "" at the end. fault: why they cannot be shown, or ""."""

    lines: tuple[EncounterLine, ...] = ()
    cursor: str = ""
    fault: str = ""


def find_encounters(perform: Perform, session: Session, patient: str, cursor: str = "") -> EncounterPage:
    """The encounters of a patient that the person may see, the newest first."""
    found = search(perform, session, "Encounter", (_of(patient), ("_sort", "-date")), cursor)
    return EncounterPage(tuple(map(_line, found.resources)), found.cursor, found.fault)


def encounter_title(perform: Perform, session: Session, patient: str, id: str) -> str:
    """What an encounter of the patient is called, "" where the person sees no such encounter."""
    found = search(perform, session, "Encounter", (_of(patient), ("_id", escaped(id))))
    if not found.resources:
        return ""
    line = _line(found.resources[0])
    return ", ".join(part for part in (line.title, line.details) if part)


def _of(patient: str) -> tuple[str, str]:
    return "patient", escaped(f"Patient/{patient}")


def _line(encounter: Mapping[str, Any]) -> EncounterLine:
    kind = encounter.get("class", {})
    title = _text((encounter.get("type") or [{}])[0]) or kind.get("display") or kind.get("code") or "Encounter"
    period = encounter.get("period", {})
    days = [period[end][:10] for end in ("start", "end") if period.get(end)]
    details = (" to ".join(dict.fromkeys(days)), encounter.get("status", "").replace("-", " "))
    return EncounterLine(encounter["id"], title, " · ".join(part for part in details if part))


def _text(concept: Mapping[str, Any]) -> str:
    displays = [coding["display"] for coding in concept.get("coding", ()) if coding.get("display")]
    return concept.get("text") or (displays[0] if displays else "")
