"""Tasks, Encounters, Communications and Lists -> the rows of the worklist (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from smart_app.chart_lines import age_on, code_of, identifiers_of, is_deceased, person_name, place_of, text_of
from smart_app.fhir_time import instant
from smart_app.messages import N_
from smart_app.reconciliation.draft import is_draft
from smart_app.transitions import discharges
from smart_app.transitions.calendar import Calendar
from smart_app.transitions.clocks import clocks_of, next_clock
from smart_app.transitions.contact import OPEN_STATUS, find_outcome
from smart_app.transitions.tcm import RuleMissing, deadlines, rule_on
from smart_app.view_records import Attempt, Clock, ReconciliationState, Tile, WorklistRow
from terminology.systems import BATON_RECONCILIATION

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorklistSources:
    """What the store has, by reference; communications and visits and lists as found."""

    by_reference: Mapping[str, Resource]
    communications: Sequence[Resource]
    visits: Sequence[Resource]
    lists: Sequence[Resource]


def build_rows(
    tasks: Iterable[Resource],
    sources: WorklistSources,
    *,
    now: datetime,
    zone: ZoneInfo,
    calendar: Calendar,
    user: str,
) -> tuple[WorklistRow, ...]:
    """The discharges of the last days, by the clock that runs out next; those without any last.

    user: makes the form ids differ between people who see the same version of a Task.
    """
    rows = [row for task in tasks if (row := _row(task, sources, now, zone, calendar, user)) is not None]

    def breaks_first(row: WorklistRow) -> tuple[bool, float, str]:
        due = row.next_clock.due if row.next_clock else None
        return (due is None, due.timestamp() if due else -row.discharged_at.timestamp(), row.task_id)

    return tuple(sorted(rows, key=breaks_first))


def tiles(rows: Sequence[WorklistRow]) -> tuple[Tile, ...]:
    """The figures above the list, over the rows that are shown."""
    contact = [clock for row in rows for clock in row.clocks if clock.kind == "contact"]
    return (
        Tile(N_("Contact due today"), _count(contact, "due-today"), len(rows)),
        Tile(N_("Contact late"), _count(contact, "late"), len(rows)),
        Tile(N_("Contact made in time"), _count(contact, "met"), _count(contact, "met", "met-late", "late")),
        Tile(N_("Lists signed"), sum(row.reconciliation.kind == "signed" for row in rows), len(rows)),
    )


def _count(clocks: Iterable[Clock], *states: str) -> int:
    return sum(clock.state in states for clock in clocks)


def _row(
    task: Resource, sources: WorklistSources, now: datetime, zone: ZoneInfo, calendar: Calendar, user: str
) -> WorklistRow | None:
    """None where the Task's encounter or patient cannot be seen, or the discharge is too long ago."""
    encounter = sources.by_reference.get(_reference(task.get("encounter")))
    patient = sources.by_reference.get(_reference(task.get("for")))
    if encounter is None or patient is None:
        return None
    discharge = discharges.read_discharge(encounter, zone)
    if discharge is None or now - discharge.discharged_at > discharges.look_back():
        return None
    try:
        rule = rule_on(discharge.discharged_at.astimezone(zone).date())
        limits = deadlines(discharge.discharged_at, zone, calendar)
    except RuleMissing:
        return None
    attempts = _attempts(str(task.get("id")), sources.communications, zone)
    visit = _first_visit(discharge, sources.visits, zone)
    period = task.get("executionPeriod")
    period = period if isinstance(period, dict) else {}
    clocks = clocks_of(
        discharge,
        limits,
        rule,
        first_outreach=instant(period.get("start"), zone),
        contact=instant(period.get("end"), zone) if task.get("status") == "completed" else None,
        attempts=len(attempts),
        visit=visit,
        now=now,
        zone=zone,
    )
    reconciliation = _reconciliation(discharge.encounter, sources.lists)
    died = is_deceased(patient)
    clocks = () if died else clocks  # nobody is to be called any more
    first = next_clock(clocks)
    version = str(task.get("meta", {}).get("versionId", ""))
    numbers = identifiers_of(patient)
    admitted = discharge.admitted_at.astimezone(zone).date() if discharge.admitted_at else None
    return WorklistRow(
        task_id=str(task.get("id", "")),
        task_version=version,
        task_status=str(task.get("status", "")),
        patient_id=str(patient.get("id", "")),
        name=person_name(patient),
        age=age_on(patient, now.astimezone(zone).date()),
        gender=str(patient.get("gender", "")),
        record_number=numbers[0][1] if numbers else "",
        encounter_id=discharge.encounter,
        discharged_at=discharge.discharged_at,
        discharge_date=limits.discharge_date,
        discharged_to=discharges.destination_words(encounter),
        place=place_of(encounter, sources.by_reference),
        stay_days=(limits.discharge_date - admitted).days if admitted else None,
        reason=_reason(encounter),
        clocks=clocks,
        next_clock=first,
        attempts=attempts,
        reconciliation=reconciliation,
        next_step=N_("The patient has died")
        if died
        else _next_step(task, first, len(attempts), reconciliation, visit),
        owner=_display(task.get("owner")),
        form_id=str(uuid5(NAMESPACE_URL, f"urn:baton:form:{task.get('id')}/{version}/{user}")),
    )


def _attempts(task: str, communications: Iterable[Resource], zone: ZoneInfo) -> tuple[Attempt, ...]:
    found = []
    for each in communications:
        parts = each.get("partOf")
        sent = instant(each.get("sent"), zone)
        if sent is None or not isinstance(parts, list):
            continue
        if not any(_reference(part) == f"Task/{task}" for part in parts):
            continue
        code = code_of(each.get("topic"))
        outcome = find_outcome(code)
        notes = each.get("note")
        note = notes[0].get("text", "") if isinstance(notes, list) and notes else ""
        found.append(
            Attempt(sent, _display(each.get("sender")), code, outcome.reached if outcome else False, str(note))
        )
    return tuple(sorted(found, key=lambda attempt: attempt.at))


def _first_visit(
    discharge: discharges.Discharge, visits: Iterable[Resource], zone: ZoneInfo
) -> datetime | None:
    """The first visit after the day of discharge; one on that day belongs to the stay."""
    day = discharge.discharged_at.astimezone(zone).date()
    found = []
    for visit in visits:
        period = visit.get("period")
        start = instant(period.get("start"), zone) if isinstance(period, dict) else None
        if (
            start is not None
            and _reference(visit.get("subject")) == discharge.patient
            and visit.get("status") in ("arrived", "in-progress", "finished")
            and start.astimezone(zone).date() > day
        ):
            found.append(start)
    return min(found, default=None)


def _reconciliation(encounter: str, lists: Iterable[Resource]) -> ReconciliationState:
    state = ReconciliationState("none")
    for each in lists:
        if _reference(each.get("encounter")) != f"Encounter/{encounter}" or each.get("status") != "current":
            continue
        by, at = _display(each.get("source")), str(each.get("date", ""))
        if is_draft(each):
            if state.kind == "none" and each.get("entry"):
                state = ReconciliationState("draft", by, at)
        elif each.get("mode") == "snapshot" and _is_ours(each):
            state = ReconciliationState("signed", by, at)
    return state


def _is_ours(resource: Resource) -> bool:
    identifiers = resource.get("identifier")
    return isinstance(identifiers, list) and any(
        isinstance(each, dict) and each.get("system") == BATON_RECONCILIATION for each in identifiers
    )


def _next_step(
    task: Resource,
    clock: Clock | None,
    attempts: int,
    reconciliation: ReconciliationState,
    visit: datetime | None,
) -> str:
    if task.get("status") in OPEN_STATUS:
        if clock is not None and clock.kind == "contact" and clock.state == "late":
            return N_("Call today: the contact is late")
        return N_("Call again") if attempts else N_("Call the patient")
    if reconciliation.kind == "none":
        return N_("Reconcile the medications")
    if reconciliation.kind == "draft":
        return N_("Finish and sign the medication list")
    return N_("See that the visit is booked") if visit is None else N_("Nothing is due")


def _reason(encounter: Resource) -> str:
    reasons = encounter.get("reasonCode")
    return (
        next((words for each in reasons if (words := text_of(each))), "") if isinstance(reasons, list) else ""
    )


def _reference(value: Any) -> str:
    return str(value.get("reference", "")) if isinstance(value, dict) else ""


def _display(value: Any) -> str:
    return str(value.get("display", "")) if isinstance(value, dict) else ""
