"""The draft List in the store: read it, read an older version of it, save it under If-Match."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from smart_app.fhir_client import FhirFault, NotFhir, NotFound, Unauthorized, version_of
from smart_app.fhir_json import Resource
from smart_app.fhir_time import instant
from smart_app.reconciliation.draft import draft_id, draft_list, read_draft
from smart_app.reconciliation.records import Decision
from smart_app.store_link import StoreLink
from smart_app.view_records import DraftState

NO_DRAFT = DraftState(version=None, decisions=())
_UTC = ZoneInfo("UTC")


def session_id(link: StoreLink, encounter: str) -> str:
    """The identity of the reconciliation of a discharge: all who open it work on the same one."""
    there = f"{link.chart_base}/Encounter/{encounter}" if link.chart_base else encounter
    return f"{link.patient.removeprefix('Patient/')}/{there}"


def read_draft_state(link: StoreLink, encounter: str) -> DraftState:
    """The draft of a discharge, NO_DRAFT without one. Raises: FhirFault."""
    try:
        return _state(link, link.store.read("List", draft_id(session_id(link, encounter))))
    except NotFound:
        return NO_DRAFT


def read_version(link: StoreLink, encounter: str, version: str | None) -> tuple[Decision, ...]:
    """The decisions of an older version, () where the store does not keep them."""
    if not version:
        return ()
    try:
        return read_draft(link.store.vread("List", draft_id(session_id(link, encounter)), version))
    except Unauthorized:
        raise
    except (FhirFault, ValueError):
        return ()


def write_draft(
    link: StoreLink,
    encounter: str,
    decisions: Sequence[Decision],
    *,
    over: str | None,
    author_display: str,
    saved_at: datetime,
) -> DraftState:
    """Save the draft over version `over`, or (None) as the first. Raises: Conflict, FhirFault."""
    resource = _draft(link, encounter, decisions, author_display, saved_at)
    return _state(link, link.store.update(resource, if_match=over).resource)


def retired_draft(
    link: StoreLink, encounter: str, draft: DraftState, *, author_display: str, saved_at: datetime
) -> Resource:
    """The transaction entry that takes a draft out of use; If-Match lets only one of two signers through."""
    resource = _draft(link, encounter, draft.decisions, author_display, saved_at)
    resource["status"] = "retired"
    request = {"method": "PUT", "url": f"List/{resource['id']}", "ifMatch": f'W/"{draft.version}"'}
    return {"resource": resource, "request": request}


def _draft(
    link: StoreLink, encounter: str, decisions: Sequence[Decision], author_display: str, saved_at: datetime
) -> Resource:
    resource = draft_list(
        decisions,
        session_id=session_id(link, encounter),
        patient=link.patient,
        saved_at=saved_at,
        author=link.author,
        encounter=link.reference(f"Encounter/{encounter}"),
    )
    if author_display and "source" in resource:
        resource["source"]["display"] = author_display
    return resource


def _state(link: StoreLink, resource: Resource) -> DraftState:
    """Raises: NotFhir where the List is not a draft of ours, or another patient's."""
    subject = resource.get("subject")
    if not isinstance(subject, dict) or subject.get("reference") != link.patient:
        raise NotFhir("The draft is not this patient's.")
    if resource.get("status") != "current":
        return DraftState(version_of(resource), ())
    try:
        decisions = read_draft(resource)
    except ValueError as fault:
        raise NotFhir(str(fault)) from None
    source = resource.get("source")
    return DraftState(
        version=version_of(resource),
        decisions=decisions,
        saved_at=instant(resource.get("date"), _UTC),
        saved_by=str(source.get("display", "")) if isinstance(source, dict) else "",
    )
