"""What a signing wrote, read back from the store: the list, the changes and the tasks.

The store is asked, not the session: the page shows what is there, whoever signed it and whenever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smart_app.chart_lines import code_of, text_of
from smart_app.fhir_client import FhirClient, Forbidden, NotFound
from smart_app.messages import N_
from smart_app.reconciliation.identity import resource_id
from smart_app.reconciliation.statements import HOLD_UNTIL
from smart_app.view_records import SignedList
from smart_app.views.drug_names import show_drug
from terminology.systems import BATON_RECONCILIATION

AT_ONCE = 50
"""Ids in one search, so that the address stays short."""

FLAGS = {
    "01": N_("unchanged"),
    "02": N_("changed"),
    "04": N_("new"),
    "05": N_("stopped"),
    "06": N_("on hold"),
    "": N_("question open"),
}
"""Words for List.entry.flag (National Guidelines for On-Screen Presentation of Discharge Summaries)."""

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """One MedicationStatement of the list. `flag` is a key of FLAGS; `until` a FHIR date or ""."""

    reference: str
    name: str
    how: str
    status: str
    flag: str
    reason: str
    until: str
    why: str


@dataclass(frozen=True, slots=True)
class WrittenTask:
    """A task for somebody. `due` is a FHIR dateTime or ""."""

    reference: str
    title: str
    words: str
    owner: str
    due: str
    urgent: bool
    status: str


@dataclass(frozen=True, slots=True)
class WrittenList:
    """taken: what is on the list, in its order; ended: what is not taken any more."""

    reference: str
    changes: str
    signed_at: str
    signed_by: str
    taken: tuple[WrittenLine, ...]
    ended: tuple[WrittenLine, ...]
    tasks: tuple[WrittenTask, ...]

    @property
    def changed(self) -> tuple[WrittenLine, ...]:
        """Everything that is not as it was before."""
        return (*(line for line in self.taken if line.flag != "01"), *self.ended)


def read_signed_list(store: FhirClient, signed: SignedList, names: Mapping[str, str]) -> WrittenList:
    """The signed list with all that was written beside it. `names`: of people, by reference.

    Raises: FhirFault where the store does not answer or no longer has the list.
    """
    snapshot = store.read("List", signed.reference.removeprefix("List/"))
    session = _session(snapshot)
    changes_id = resource_id(session, "changes")
    try:
        changes = store.read("List", changes_id)
    except NotFound:
        changes = {}
    entries = {**_entries(changes), **_entries(snapshot)}
    statements = _by_reference(store, "MedicationStatement", list(entries))
    tasks = _tasks(store, session, snapshot)
    lines = [
        _line(reference, statements[reference], flag)
        for reference, flag in entries.items()
        if reference in statements
    ]
    taken = set(_entries(snapshot))
    return WrittenList(
        reference=signed.reference,
        changes=f"List/{changes_id}" if changes else "",
        signed_at=signed.signed_at,
        signed_by=signed.signed_by,
        taken=tuple(sorted((line for line in lines if line.reference in taken), key=_by_name)),
        ended=tuple(sorted((line for line in lines if line.reference not in taken), key=_by_name)),
        tasks=tuple(_task(reference, task, names) for reference, task in tasks.items()),
    )


def _tasks(store: FhirClient, session: str, snapshot: Resource) -> dict[str, Resource]:
    """The tasks of a signing, by its Provenance; where that may not be read, by what their identifiers say."""
    try:
        provenance = store.read("Provenance", resource_id(session, "provenance"))
    except NotFound:
        return {}
    except Forbidden:
        patient = str(snapshot.get("subject", {}).get("reference", "")).removeprefix("Patient/")
        found = store.search("Task", [("patient", patient)]).matches
        return {f"Task/{task['id']}": task for task in found if _is_of(task, session)}
    targets = [str(target.get("reference", "")) for target in provenance.get("target", ())]
    return _by_reference(store, "Task", [target for target in targets if target.startswith("Task/")])


def _is_of(task: Resource, session: str) -> bool:
    return any(
        identifier.get("system") == BATON_RECONCILIATION
        and str(identifier.get("value", "")).startswith(f"{session}/")
        for identifier in task.get("identifier", ())
    )


def _by_name(line: WrittenLine) -> tuple[str, str]:
    return show_drug(line.name).casefold(), line.reference


def _session(snapshot: Resource) -> str:
    """The session of which a snapshot is the writing, from its identifier `session/snapshot`."""
    for identifier in snapshot.get("identifier", ()):
        if identifier.get("system") == BATON_RECONCILIATION:
            return str(identifier.get("value", "")).removesuffix("/snapshot")
    return ""


def _entries(listed: Resource) -> dict[str, str]:
    """Reference of each entry -> its flag, in the order of the List."""
    return {
        str(entry["item"]["reference"]): code_of(entry.get("flag"))
        for entry in listed.get("entry", ())
        if entry.get("item", {}).get("reference")
    }


def _by_reference(store: FhirClient, resource_type: str, references: Sequence[str]) -> dict[str, Resource]:
    ids = [reference.removeprefix(f"{resource_type}/") for reference in references]
    found: dict[str, Resource] = {}
    for start in range(0, len(ids), AT_ONCE):
        for resource in store.search(resource_type, [("_id", ",".join(ids[start : start + AT_ONCE]))]).matches:
            found[f"{resource_type}/{resource['id']}"] = resource
    return found


def _line(reference: str, statement: Resource, flag: str) -> WrittenLine:
    reasons = [text_of(reason) for reason in statement.get("statusReason", ())]
    notes = [str(note.get("text", "")) for note in statement.get("note", ())]
    held = [
        each.get("valueDate", "") for each in statement.get("extension", ()) if each.get("url") == HOLD_UNTIL
    ]
    return WrittenLine(
        reference=reference,
        name=text_of(statement.get("medicationCodeableConcept")),
        how="; ".join(text for dosage in statement.get("dosage", ()) if (text := _how(dosage))),
        status=str(statement.get("status", "")),
        flag=flag,
        reason=" ".join(text for text in (*reasons, *notes) if text),
        until=str(held[0]) if held else "",
        why=" ".join(text_of(reason) for reason in statement.get("reasonCode", ())),
    )


def _how(dosage: Resource) -> str:
    """A dosage in words: its text and the instructions beside it that the text does not repeat."""
    beside = [text_of(more) for more in dosage.get("additionalInstruction", ())]
    said = ""
    for words in (str(dosage.get("text", "")), *beside, str(dosage.get("patientInstruction", ""))):
        if words and words.casefold() not in said.casefold():
            said = f"{said}; {words}" if said else words
    return said


def _task(reference: str, task: Resource, names: Mapping[str, str]) -> WrittenTask:
    owner = task.get("owner", {})
    who = str(owner.get("reference", ""))
    return WrittenTask(
        reference=reference,
        title=text_of(task.get("code")),
        words=str(task.get("description", "")),
        owner=str(owner.get("display") or names.get(who, who)),
        due=str(task.get("restriction", {}).get("period", {}).get("end", "")),
        urgent=task.get("priority") in ("urgent", "asap", "stat"),
        status=str(task.get("status", "")),
    )
