"""The reconciliation board: the chart's lists, matched, with the draft and what was signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from smart_app.chart import ChartResources, banner_of, encounters_of, gather
from smart_app.chart_lines import with_names
from smart_app.draft_store import NO_DRAFT, read_draft_state
from smart_app.fhir_client import FhirFault, NotFound, Unauthorized, reference_of, version_of
from smart_app.fhir_json import Resource
from smart_app.messages import N_
from smart_app.problems import ProblemError
from smart_app.reconciliation.collect import collect_chart
from smart_app.reconciliation.decide import RoleRule, bulk_acceptable, completeness, role_rule
from smart_app.reconciliation.match import reconcile
from smart_app.reconciliation.records import Collected, Reconciliation
from smart_app.reconciliation.safety.check import check
from smart_app.reconciliation.safety.decided import taken_lines
from smart_app.reconciliation.write_back import source_versions
from smart_app.seen_versions import seal_seen
from smart_app.session import ChartContext
from smart_app.store_link import StoreLink, require_connection, require_in_use, store_link
from smart_app.view_records import Board, DraftState, EncounterLine, Notice, SignedList
from terminology.systems import BATON_RECONCILIATION, LOINC

MEDICATION_LIST = "10160-0"
"""LOINC: history of medication use; the code of a signed list."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """What the store has about one discharge. `previous` is the list in force that signing retires."""

    draft: DraftState = NO_DRAFT
    signed: SignedList | None = None
    previous: Resource | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class LoadedBoard:
    """A board with what signing needs beside it."""

    board: Board
    store: StoreState
    chart: ChartResources


def load_board(context: ChartContext, encounter: str | None = None) -> Board:
    """The board of a discharge; without `encounter`, or where that is none, of the newest one.

    Raises: ProblemError, FhirFault.
    """
    return load(context, encounter).board


def load(context: ChartContext, encounter: str | None = None) -> LoadedBoard:
    """The board, read afresh from chart and store.

    Raises: ProblemError, also where the record is not in use any more, or the chart is not connected with the
    store that it could be connected with; FhirFault.
    """
    require_connection(context)
    chart = gather(context)
    require_in_use(chart.patient)
    encounters = encounters_of(chart, context)
    discharges = tuple(line for line in encounters if line.is_discharge)
    chosen = next((line for line in discharges if line.id == (encounter or context.encounter)), None)
    chosen = chosen or (discharges[0] if discharges else None)
    by_reference = {reference_of(resource): resource for resource in chart.resources}
    collected = collect_chart(
        [with_names(resource, by_reference) for resource in chart.resources],
        evaluation_date=chart.retrieved_at,
        encounter=f"Encounter/{chosen.id}" if chosen else None,
        terminology=context.runtime.terminology,
    )
    reconciliation = reconcile(
        collected.before,
        collected.after,
        collected.evidence,
        context.runtime.terminology,
        allergies=collected.allergies,
        context=collected.context,
        site_rules=context.runtime.site_rules,
    )
    store = _store_state(context, chosen)
    reconciliation = _checked_as_decided(reconciliation, collected, store.draft, context)
    role = role_rule(context.user.role)
    board = Board(
        banner=banner_of(chart, context),
        encounter=chosen,
        encounters=discharges,
        collected=collected,
        reconciliation=reconciliation,
        draft=store.draft,
        completeness=completeness(reconciliation, store.draft.decisions),
        bulk=frozenset(group.key for group in bulk_acceptable(reconciliation)),
        role=role,
        why_not_save=_why_not_save(context, chosen, store, role),
        why_not_sign=_why_not_save(context, chosen, store, role) or _why_not_sign(context, chart, role),
        signed=store.signed,
        seen=seal_seen(source_versions(collected)),
        notices=(*chart.notices, *_store_notices(store)),
        retrieved_at=chart.retrieved_at,
    )
    return LoadedBoard(board, store, chart)


def _checked_as_decided(
    reconciliation: Reconciliation, collected: Collected, draft: DraftState, context: ChartContext
) -> Reconciliation:
    """With the alerts that the decisions of the draft leave: what was resolved is silent."""
    taken = taken_lines(reconciliation.groups, draft.decisions)
    if not taken:
        return reconciliation
    report = check(
        reconciliation.groups,
        collected.allergies,
        context.runtime.terminology,
        collected.context,
        fills=reconciliation.unmatched_evidence,
        site_rules=context.runtime.site_rules,
        taken=taken,
    )
    return replace(reconciliation, alerts=report.alerts, burden=report.burden, not_checked=report.not_checked)


def _store_state(context: ChartContext, encounter: EncounterLine | None) -> StoreState:
    if context.store is None or encounter is None:
        return StoreState()
    link = store_link(context)
    pool = context.runtime.pool
    draft = pool.submit(read_draft_state, link, encounter.id)
    lists = pool.submit(_medication_lists, link)
    # Where chart and store are one server, the chart's Patient was it.
    there = pool.submit(_patient_there, link) if link.chart_base else None
    try:
        if there is not None:
            require_in_use(there.result())
        discharge = link.reference(f"Encounter/{encounter.id}")
        signed, previous = signed_and_previous(lists.result(), discharge)
        return StoreState(draft.result(), signed, previous)
    except Unauthorized:
        raise
    except FhirFault:
        return StoreState(failed=True)


def _patient_there(link: StoreLink) -> Resource:
    """The linked Patient of the store. Raises: ProblemError(patient-merged) where it is gone, FhirFault."""
    try:
        return link.store.read("Patient", link.patient.removeprefix("Patient/"))
    except NotFound:
        raise ProblemError("patient-merged", log="the linked Patient is gone") from None


def _medication_lists(link: StoreLink) -> Sequence[Resource]:
    code = ("code", f"{LOINC}|{MEDICATION_LIST}")
    return link.store.search("List", [("patient", link.patient.removeprefix("Patient/")), code]).matches


def signed_and_previous(lists: Sequence[Resource], encounter: str) -> tuple[SignedList | None, Resource | None]:
    """Our signed list of a discharge (its reference), and the newest list in force that is another."""
    current = [each for each in lists if each.get("status") == "current" and each.get("mode") == "snapshot"]
    current.sort(key=lambda each: (str(each.get("date", "")), str(each.get("id", ""))), reverse=True)
    ours = [each for each in current if _is_ours(each) and _encounter_of(each) == encounter]
    others = [each for each in current if each not in ours]
    signed = None
    if ours:
        source = ours[0].get("source")
        signed = SignedList(
            reference=f"List/{ours[0].get('id', '')}",
            signed_at=str(ours[0].get("date", "")),
            signed_by=_words(source),
        )
    return signed, others[0] if others and version_of(others[0]) else None


def _is_ours(resource: Mapping[str, Any]) -> bool:
    identifiers = resource.get("identifier")
    return isinstance(identifiers, list) and any(
        isinstance(each, dict) and each.get("system") == BATON_RECONCILIATION for each in identifiers
    )


def _encounter_of(resource: Mapping[str, Any]) -> str:
    encounter = resource.get("encounter")
    return str(encounter.get("reference", "")) if isinstance(encounter, dict) else ""


def _words(reference: Any) -> str:
    if not isinstance(reference, dict):
        return ""
    return str(reference.get("display") or reference.get("reference") or "")


def _why_not_save(
    context: ChartContext, encounter: EncounterLine | None, store: StoreState, role: RoleRule
) -> str:
    """Why no decision can be kept, as a message id; "" where one can."""
    if context.store is None:
        return N_("This EHR is not connected to a store: there is no place to save or sign.")
    if encounter is None:
        return N_("There is no discharge to reconcile.")
    if store.failed:
        return N_("The store does not answer; nothing can be saved now.")
    if store.signed is not None:
        return N_("The list of this discharge is signed.")
    if not role.may_draft:
        return N_("Your role may look at the lists, not decide.")
    if "List" in context.unwritable:
        return N_("The EHR did not grant the app to save lists.")
    return ""


def _why_not_sign(context: ChartContext, chart: ChartResources, role: RoleRule) -> str:
    if not role.may_sign:
        return N_("A registered nurse, a pharmacist or a prescriber signs. Your draft is kept for them.")
    if chart.gaps:
        return N_("Part of the chart could not be read; a list cannot be signed on half of it.")
    if "MedicationStatement" in context.unwritable:
        return N_("The EHR did not grant the app to write medication statements.")
    return ""


def _store_notices(store: StoreState) -> tuple[Notice, ...]:
    if not store.failed:
        return ()
    return (
        Notice("partial", N_("The store did not answer: the draft is not shown, and nothing can be saved.")),
    )
