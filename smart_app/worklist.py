"""The worklist over the store: read it, log a contact. A page view never writes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from datetime import timedelta

import msgspec

from smart_app.board import MEDICATION_LIST
from smart_app.drafts import store_problem
from smart_app.fhir_client import (
    Conflict,
    FhirClient,
    FhirFault,
    Forbidden,
    NotFound,
    Parameters,
    SearchResult,
    Unauthorized,
    reference_of,
    version_of,
)
from smart_app.fhir_json import Resource
from smart_app.messages import N_
from smart_app.problems import ProblemError
from smart_app.reconciliation.decide import role_rule
from smart_app.reconciliation.draft import DRAFT_CODE
from smart_app.session import ChartContext, is_id, require_own_store
from smart_app.transitions import contact, discharges
from smart_app.transitions.outreach import OUTREACH
from smart_app.transitions.rows import WorklistSources, build_rows, tiles
from smart_app.view_records import ContactConflict, ContactLogged, Notice, Worklist, WorklistRow
from terminology.systems import BATON, LOINC

log = logging.getLogger(__name__)

AUTHORED_MARGIN = timedelta(days=31)
"""An outreach may be opened as late as a month after its discharge, which may be a month ago."""
IDS_A_SEARCH = 50


@dataclass(frozen=True, slots=True)
class ContactForm:
    """A contact as the form brings it; `task_version` and `form_id` as the row had them."""

    task_id: str
    task_version: str
    form_id: str
    outcome: str
    mode: str
    note: str


def load_worklist(context: ChartContext) -> Worklist:
    """Recent discharges by the clock that runs out next. Raises: ProblemError."""
    store = require_own_store(context)
    now, zone = context.runtime.clock(), context.runtime.settings.zone
    since = (now - discharges.look_back() - AUTHORED_MARGIN).date().isoformat()
    try:
        found = _tasks(store, [("authored-on", f"ge{since}")])
    except FhirFault as fault:
        raise store_problem(fault) from None
    sources, notices = _sources(context, store, found)
    rows = build_rows(
        found.matches,
        sources,
        now=now,
        zone=zone,
        calendar=context.runtime.calendar,
        user=context.user.reference,
    )
    if not found.complete:
        text = N_("There are more discharges than are shown here.")
        notices = (*notices, Notice("partial", text))
    return Worklist(
        rows=rows,
        tiles=tiles(rows),
        notices=(*context.notices, *notices),
        time_zone=context.runtime.settings.time_zone,
        days=discharges.look_back().days,
        retrieved_at=now,
        etag=_etag(context, rows),
    )


def load_row(context: ChartContext, task_id: str) -> WorklistRow:
    """One row as it is now. Raises: ProblemError(not-found)."""
    store = require_own_store(context)
    if not is_id(task_id):
        raise ProblemError("not-found")
    try:
        found = _tasks(store, [("_id", task_id)])
    except FhirFault as fault:
        raise store_problem(fault) from None
    sources, _ = _sources(context, store, found)
    rows = build_rows(
        found.matches,
        sources,
        now=context.runtime.clock(),
        zone=context.runtime.settings.zone,
        calendar=context.runtime.calendar,
        user=context.user.reference,
    )
    if not rows:
        raise ProblemError("not-found")
    return rows[0]


def log_contact(context: ChartContext, form: ContactForm) -> ContactLogged | ContactConflict:
    """Log a contact or a failed attempt, once for each form id. Raises: ProblemError."""
    store = require_own_store(context)
    outcome, mode = contact.find_outcome(form.outcome), contact.find_mode(form.mode)
    if outcome is None or mode is None or not is_id(form.form_id) or not is_id(form.task_id):
        raise ProblemError("bad-request", what="outcome")
    if len(form.note) > contact.MAXIMUM_NOTE:
        raise ProblemError("too-large")
    if not context.user.reference or not role_rule(context.user.role).may_draft:
        raise ProblemError("forbidden", log="a contact by a person without a clinical role")
    caller = contact.Caller(context.user.reference, context.user.name)
    try:
        if _is_written(store, outcome, form.form_id):
            return ContactLogged(outcome.reached, again=True)
        task = store.read("Task", form.task_id)
        if version_of(task) != form.task_version:
            return _conflict(task)
        try:
            bundle = contact.contact_bundle(
                task,
                caller,
                outcome,
                mode,
                note=form.note,
                form_id=form.form_id,
                now=context.runtime.clock(),
            )
        except ValueError:
            return _conflict(task)
        try:
            store.transaction(bundle)
        except Conflict:
            if _is_written(store, outcome, form.form_id):
                return ContactLogged(outcome.reached, again=True)
            return _conflict(store.read("Task", form.task_id))
    except NotFound:
        raise ProblemError("not-found") from None
    except FhirFault as fault:
        raise store_problem(fault) from None
    return ContactLogged(outcome.reached)


def _is_written(store: FhirClient, outcome: contact.Outcome, form_id: str) -> bool:
    try:
        store.read(contact.record_type(outcome), contact.record_id(form_id))
    except NotFound:
        return False
    return True


def _conflict(task: Resource) -> ContactConflict:
    owner = task.get("owner")
    by = str(owner.get("display", "")) if isinstance(owner, dict) else ""
    return ContactConflict(
        by, str(task.get("lastModified", "")), N_("This outreach changed since you opened it.")
    )


def _tasks(store: FhirClient, parameters: Parameters) -> SearchResult:
    return store.search(
        "Task",
        [
            ("code", f"{BATON}|{OUTREACH}"),
            *parameters,
            ("_include", "Task:patient"),
            ("_include", "Task:encounter"),
            ("_revinclude", "Communication:part-of"),
        ],
    )


def _sources(
    context: ChartContext, store: FhirClient, tasks: SearchResult
) -> tuple[WorklistSources, tuple[Notice, ...]]:
    """What stands beside the Tasks, in parallel searches; what is missing is said."""
    included = tasks.included
    patients = [each["id"] for each in included if each.get("resourceType") == "Patient"]
    encounters = [each for each in included if each.get("resourceType") == "Encounter"]
    places = sorted({_provider_id(each) for each in encounters} - {""})
    since = (context.runtime.clock() - discharges.look_back() - AUTHORED_MARGIN).date().isoformat()
    codes = f"{BATON}|{DRAFT_CODE},{LOINC}|{MEDICATION_LIST}"
    pool = context.runtime.pool
    visits_since = [("class", discharges.visit_search()), ("date", f"ge{since}")]
    pending = [
        (N_("medication lists"), _by_ids(store, pool, "List", "patient", patients, [("code", codes)])),
        (N_("visits"), _by_ids(store, pool, "Encounter", "patient", patients, visits_since)),
        (N_("hospitals"), _by_ids(store, pool, "Organization", "_id", places, [])),
    ]
    notices = []
    answers: list[Sequence[Resource]] = []
    for label, searches in pending:
        try:
            answers.append([each for search in searches for each in search.result().matches])
        except Unauthorized:
            raise
        except FhirFault as fault:
            log.warning("worklist %s: %s", label, fault.words)
            answers.append(())
            text = (
                N_("You may not see %(what)s; shown without.")
                if isinstance(fault, Forbidden)
                else N_("The store did not answer for %(what)s; shown without.")
            )
            notices.append(Notice("partial", text, {"what": label}))
    lists, visits, organizations = answers
    return (
        WorklistSources(
            by_reference={reference_of(each): each for each in (*included, *organizations)},
            communications=[each for each in included if each.get("resourceType") == "Communication"],
            visits=visits,
            lists=lists,
        ),
        tuple(notices),
    )


def _by_ids(
    store: FhirClient, pool: Executor, resource_type: str, name: str, ids: Sequence[str], rest: Parameters
) -> list[Future[SearchResult]]:
    """Searches for many ids, as many in each as an address may hold."""
    return [
        pool.submit(store.search, resource_type, [(name, ",".join(ids[start : start + IDS_A_SEARCH])), *rest])
        for start in range(0, len(ids), IDS_A_SEARCH)
    ]


def _provider_id(encounter: Resource) -> str:
    provider = encounter.get("serviceProvider")
    reference = str(provider.get("reference", "")) if isinstance(provider, dict) else ""
    return reference.removeprefix("Organization/") if reference.startswith("Organization/") else ""


def _etag(context: ChartContext, rows: Iterable[WorklistRow]) -> str:
    """Changes with what is shown; a clock's share moves all the time and does not count."""
    still = [
        replace(
            row,
            clocks=tuple(replace(clock, share=0.0) for clock in row.clocks),
            next_clock=replace(row.next_clock, share=0.0) if row.next_clock else None,
        )
        for row in rows
    ]
    return hashlib.sha256(context.launch.encode() + msgspec.json.encode(still)).hexdigest()[:32]
