"""$break-glass: open the chart of a patient to whom the caller is not related, for a reason and a short time.

Baton's own: `urn:baton:operation:break-glass`. What it opens is what the role may do, as in any other chart
that the person reaches. It is durable and audited before the answer leaves, and ends by itself. The answer says
nothing of what the chart holds; that a patient is absent is told (404), to those alone who may break the glass,
and every attempt stands in the audit trail.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from server.errors import FhirError
from server.fhir.json_codec import encode
from server.fhir.visibility import EVERYTHING
from server.interactions.answer import absent
from server.interactions.call import Call
from server.interactions.operations.definition import Arguments
from server.interactions.operations.parameters import place_of
from server.interactions.request import InteractionResponse
from server.interactions.version import instant
from server.policy.roles import policy, role
from server.storage.interface import Writer

_COMMENT = range(10, 1001)  # characters: a reason that somebody else can review


def break_glass(call: Call[Writer], arguments: Arguments) -> InteractionResponse:
    """A Parameters resource: the number of the access, its reason, and its period.

    Raises: FhirError forbidden (the token acts for no user, or the policy does not let the role),
    invalid-search (reason, comment), not-found, business-rule (the chart is in reach already).
    """
    principal, request = call.principal, call.request
    by_user = any(scope.level == "user" and scope.allows("Patient", "r") for scope in principal.scopes)
    if principal.user is None or not by_user:
        raise FhirError("forbidden", "a chart is opened by a person, with a user/Patient.r scope")
    minutes = role(principal.role).emergency_minutes
    if not minutes:
        raise FhirError("forbidden", "the policy lets your role open no chart in an emergency")
    reason, comment = _stated(call, arguments)
    patient = call.unit.read("Patient", request.id, EVERYTHING)
    if patient is None or patient.deleted:
        raise absent("Patient")
    if call.unit.read("Patient", request.id, call.decision.visible) is not None:
        raise FhirError("business-rule", "the chart is in your reach already; nothing was opened")
    now = call.context.clock()
    opened = call.context.store.emergency_access.open(
        principal.username,
        principal.user,
        request.id,
        reason,
        comment,
        opened=now,
        until=now + timedelta(minutes=minutes),
    )
    period = {"start": instant(opened.opened), "end": instant(opened.until)}
    body: dict[str, Any] = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "access", "valueString": str(opened.number)},
            {"name": "reason", "valueCode": opened.reason},
            {"name": "period", "valuePeriod": period},
        ],
    }
    return InteractionResponse(200, encode(body), id=request.id, patients=(request.id,))


def _stated(call: Call[Writer], arguments: Arguments) -> tuple[str, str]:
    reason, comment = arguments.one("reason"), " ".join(arguments.one("comment").split())
    if reason not in policy().reasons:
        known = ", ".join(policy().reasons)
        raise FhirError("invalid-search", f"reason is one of {known}", place_of(call.request, "reason"))
    if len(comment) not in _COMMENT or not comment.isprintable():
        raise FhirError(
            "invalid-search",
            f"comment has {_COMMENT.start} to {_COMMENT.stop - 1} characters that can be read",
            place_of(call.request, "comment"),
        )
    return reason, comment
