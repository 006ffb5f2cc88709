"""What logging a contact or a failed attempt writes (pure; the choices are `data/contacts.json`).

A contact that reached somebody is an Encounter and completes the outreach Task; an attempt that did not
is a Communication and keeps the Task open. Ids follow from the form, so that sending it twice writes once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from smart_app.fhir_time import fhir_instant
from smart_app.transitions.calendar import read_data
from terminology.systems import BATON, SNOMED_CT, V3_ACT_CODE

PARTICIPATION_MODE = "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode"
CONTACT, ATTEMPT = "post-discharge-contact", "contact-attempt"
OPEN_STATUS = frozenset(("requested", "received", "accepted", "ready", "in-progress", "on-hold"))
MAXIMUM_NOTE = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a contact ended. `reached`: a real exchange, which is what the time limit asks for."""

    code: str
    label: str
    reached: bool


@dataclass(frozen=True, slots=True)
class Mode:
    """By which means; `encounter_class` of the Encounter, `medium` of the Communication."""

    code: str
    label: str
    medium: str
    encounter_class: str
    encounter_type: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made the contact: `Practitioner/id` in the store, and the name."""

    reference: str
    name: str


@cache
def outcomes() -> tuple[Outcome, ...]:
    """The choices, in the order in which people are offered them."""
    return tuple(Outcome(**row) for row in read_data("contacts.json")["outcomes"])


@cache
def modes() -> tuple[Mode, ...]:
    """The choices, the commonest first."""
    return tuple(
        Mode(
            row["code"], row["label"], row["medium"], row["class"], tuple(row["type"]) if row["type"] else None
        )
        for row in read_data("contacts.json")["modes"]
    )


def find_outcome(code: str) -> Outcome | None:
    return next((outcome for outcome in outcomes() if outcome.code == code), None)


def find_mode(code: str) -> Mode | None:
    return next((mode for mode in modes() if mode.code == code), None)


def record_id(form_id: str) -> str:
    """Id of the Encounter or Communication that a form writes."""
    return str(uuid5(NAMESPACE_URL, f"urn:baton:contact:{form_id}"))


def record_type(outcome: Outcome) -> str:
    return "Encounter" if outcome.reached else "Communication"


def contact_bundle(
    task: Mapping[str, Any],
    caller: Caller,
    outcome: Outcome,
    mode: Mode,
    *,
    note: str,
    form_id: str,
    now: datetime,
) -> dict[str, Any]:
    """One transaction: the record of the contact, and the Task under If-Match.

    task: as read, with meta.versionId. Raises: ValueError if the Task is closed or has no version.
    """
    version = task.get("meta", {}).get("versionId")
    if task.get("status") not in OPEN_STATUS or not version:
        raise ValueError("The outreach is closed.")
    at = fhir_instant(now)
    make = _encounter if outcome.reached else _communication
    record = make(task, caller, outcome, mode, record_id(form_id), at)
    if note:
        annotation = {"authorReference": _who(caller), "time": at, "text": note}
        if outcome.reached:  # an Encounter has no place for words; the Task it completes has
            task = {**task, "note": [*task.get("note", []), annotation]}
        else:
            record["note"] = [annotation]
    update = {
        "resource": _task(task, caller, outcome, record, at),
        "request": {"method": "PUT", "url": f"Task/{task['id']}", "ifMatch": f'W/"{version}"'},
    }
    created = {
        "resource": record,
        "request": {"method": "PUT", "url": f"{record['resourceType']}/{record['id']}"},
    }
    return {"resourceType": "Bundle", "type": "transaction", "entry": [created, update]}


def _concept(code: str, text: str) -> dict[str, Any]:
    return {"coding": [{"system": BATON, "code": code}], "text": text}


def _who(caller: Caller) -> dict[str, str]:
    who = {"reference": caller.reference}
    return {**who, "display": caller.name} if caller.name else who


def _encounter(
    task: Mapping[str, Any], caller: Caller, outcome: Outcome, mode: Mode, new_id: str, at: str
) -> dict[str, Any]:
    kind = _concept(CONTACT, outcome.label)
    if mode.encounter_type:
        code, display = mode.encounter_type
        kind["coding"].insert(0, {"system": SNOMED_CT, "code": code, "display": display})
    resource: dict[str, Any] = {
        "resourceType": "Encounter",
        "id": new_id,
        "status": "finished",
        "class": {"system": V3_ACT_CODE, "code": mode.encounter_class},
        "type": [kind],
        "serviceType": _concept(outcome.code, outcome.label),
        "subject": task["for"],
        "participant": [{"individual": _who(caller)}],
        "period": {"start": at, "end": at},
    }
    if based_on := task.get("basedOn"):
        resource["episodeOfCare"] = based_on
    return resource


def _communication(
    task: Mapping[str, Any], caller: Caller, outcome: Outcome, mode: Mode, new_id: str, at: str
) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resourceType": "Communication",
        "id": new_id,
        "partOf": [{"reference": f"Task/{task['id']}"}],
        "status": "completed",
        "category": [_concept(ATTEMPT, "Attempted contact")],
        "medium": [{"coding": [{"system": PARTICIPATION_MODE, "code": mode.medium}], "text": mode.label}],
        "subject": task["for"],
        "topic": _concept(outcome.code, outcome.label),
        "sent": at,
        "sender": _who(caller),
    }
    if encounter := task.get("encounter"):
        resource["encounter"] = encounter
    return resource


def _task(
    task: Mapping[str, Any], caller: Caller, outcome: Outcome, record: Mapping[str, Any], at: str
) -> dict[str, Any]:
    period = {"start": at, **task.get("executionPeriod", {})}
    updated = {
        **task,
        "status": "completed" if outcome.reached else "in-progress",
        "businessStatus": _concept(outcome.code, outcome.label),
        "lastModified": at,
        "owner": task.get("owner", _who(caller)),
        "executionPeriod": {**period, "end": at} if outcome.reached else period,
    }
    if outcome.reached:
        reference = {"reference": f"{record['resourceType']}/{record['id']}"}
        output = {"type": _concept(CONTACT, "Contact"), "valueReference": reference}
        updated["output"] = [*task.get("output", []), output]
    return updated
