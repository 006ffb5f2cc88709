"""Emergency accesses ("break-glass") as a supervisor sees them: what is open, what waits for a review, what was
looked at meanwhile, and the Task by which a supervisor learns of one.

Whoever opens charts and keeps the rows does so elsewhere; here they are only read and reviewed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.errors import FhirError
from server.fhir.json_codec import decode
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionRequest, InteractionResponse
from server.interactions.version import instant
from server.policy.emergency_review import emergency_review
from server.storage.audit_values import AuditPage, AuditQuery
from server.storage.interface import Store

IDENTIFIER_SYSTEM = "urn:baton:emergency-access"
LISTED = 200
LOOKED_AT = 50  # events shown of one access; the audit trail has all
_NOTIFIER = Principal("emergency-access", parse_scopes("system/Task.crus"))


class EmergencyAccess(Protocol):
    """One opened chart. actor: "Practitioner/id". patient: an id. reason: a code, comment: in words.

    until: when it ends by itself. ended: when it was ended before, None if not. reviewed, reviewed_by, finding:
    of whoever looked at it afterwards; None and "" before.
    """

    @property
    def number(self) -> int: ...
    @property
    def username(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def patient(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def comment(self) -> str: ...
    @property
    def opened(self) -> datetime: ...
    @property
    def until(self) -> datetime: ...
    @property
    def ended(self) -> datetime | None: ...
    @property
    def reviewed(self) -> datetime | None: ...
    @property
    def reviewed_by(self) -> str: ...
    @property
    def finding(self) -> str: ...


class EmergencyAccesses(Protocol):
    """Where emergency accesses are kept."""

    def list(self, *, unreviewed: bool = False, limit: int = LISTED) -> Sequence[EmergencyAccess]:
        """The latest first. unreviewed: only those that nobody has reviewed."""

    def one(self, number: int) -> EmergencyAccess | None:
        """The access of a number."""

    def review(self, number: int, by: str, finding: str, now: datetime) -> bool:
        """Note what `by`, an account, found; False if the access is unknown or reviewed already."""


@dataclass(frozen=True, slots=True)
class State:
    """An access as it stands now. ends: when it ends or ended. due: until when it is to be reviewed."""

    access: EmergencyAccess
    is_open: bool
    is_overdue: bool
    ends: datetime
    due: datetime


def state_of(access: EmergencyAccess, now: datetime) -> State:
    """What is to be said of an access."""
    ends = min(access.ended or access.until, access.until)
    due = access.opened + emergency_review().due
    return State(access, now < ends, access.reviewed is None and due < now, ends, due)


def looked_at(store: Store, access: EmergencyAccess) -> AuditPage:
    """What the person did in the patient's chart while it was open: the first sealed rows of the audit trail.

    Raises: FhirError too-costly.
    """
    state = state_of(access, access.until)
    return store.search_audit(
        AuditQuery(
            patient=access.patient,
            principal=access.actor,
            since=access.opened,
            until=state.ends,
            ascending=True,
            count=LOOKED_AT,
        )
    )


def refuse_reviewer(access: EmergencyAccess, role: str, username: str) -> None:
    """Let only pass who may review an access. Raises: FhirError forbidden."""
    if role not in emergency_review().reviewers:
        raise FhirError("forbidden", "Your role does not review emergency accesses.")
    if username == access.username:
        raise FhirError("forbidden", "Somebody else has to review your own access.")


def announce(context: Context, access: EmergencyAccess) -> bool:
    """Ask for a review by a Task, which names no patient; False where that was done before.

    Whoever follows Tasks learns of it as of any other: worklists, subscriptions. Raises: FhirError.
    """
    if _task(context, access) is not None:
        return False
    id = _task_id(access)
    task: dict[str, Any] = {
        "resourceType": "Task",
        "id": id,
        "identifier": [{"system": IDENTIFIER_SYSTEM, "value": str(access.number)}],
        "status": "requested",
        "intent": "order",
        "priority": "urgent",
        "code": {
            "coding": [{"system": IDENTIFIER_SYSTEM, "code": "review"}],
            "text": "Review an emergency access",
        },
        "description": f"Emergency access {access.number} is to be reviewed in the console.",
        "authoredOn": instant(access.opened),
        "requester": {"reference": access.actor},
        "performerType": [{"text": "Supervisor"}],
        "restriction": {"period": {"end": instant(access.opened + emergency_review().due)}},
    }
    _perform(context, InteractionRequest("update", "Task", id, body=task))
    return True


def conclude(context: Context, access: EmergencyAccess) -> None:
    """Complete the Task of an access that was reviewed; one that is gone or over is left alone.

    Raises: FhirError.
    """
    task = _task(context, access)
    if task is None or task["status"] not in ("requested", "received", "accepted", "ready", "in-progress"):
        return
    version = task["meta"]["versionId"]
    _perform(
        context,
        InteractionRequest(
            "update", "Task", task["id"], body={**task, "status": "completed"}, if_match=version
        ),
    )


def _task(context: Context, access: EmergencyAccess) -> dict[str, Any] | None:
    found = _perform(context, InteractionRequest("search-type", "Task", query=(("_id", _task_id(access)),)))
    entries = decode(found.body).get("entry", ())
    return entries[0]["resource"] if entries else None


def _task_id(access: EmergencyAccess) -> str:
    return f"emergency-access-{access.number}"


def _perform(context: Context, request: InteractionRequest) -> InteractionResponse:
    return perform(context, _NOTIFIER, request)
