"""The audit row of an interaction: who, what, whose record, with what outcome; never content.

What a caller writes into a URL may be a patient's name: ids are kept only where they have the form of an id,
search parameters by name only and only where this server knows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from server.auth.principal import Principal
from server.interactions.request import Context, InteractionRequest, InteractionResponse
from server.origin import origin
from server.storage.audit_values import AuditRow

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_DETAIL_LENGTH = 1_000
# Of one row. Only a resource that itself names so many, such as a Group, leads to more.
PATIENTS_MAXIMUM = 10_000
BREAK_GLASS = "BTG"  # of the value set v3-PurposeOfUse


def audit_row(
    context: Context, principal: Principal, request: InteractionRequest, response: InteractionResponse
) -> AuditRow:
    """The row of an interaction that was answered with `response`, or refused with its status."""
    at, now = origin(), context.clock()
    patients = _patients(principal, request, response)
    detail = f"${request.operation} {response.detail}".rstrip() if request.operation else response.detail
    if len(patients) > PATIENTS_MAXIMUM:
        detail = f"{detail} patients={len(patients)}".lstrip()
    id = response.id or request.id
    return AuditRow(
        recorded=now,
        principal=principal.name,
        client_id=principal.client_id,
        interaction=request.interaction,
        resource_type=request.resource_type,
        id=id if is_id(id) else "",
        version_id=response.version_id,
        patient=" ".join(patients[:PATIENTS_MAXIMUM]),
        outcome=response.status,
        request_id=request.request_id or at.request_id,
        username=principal.username,
        token_id=principal.token_id,
        purpose=_purpose(principal, patients, now),
        address=at.address,
        results=response.results,
        detail=detail,
        organization=principal.organization or "",
    )


def _purpose(principal: Principal, patients: list[str], now: datetime) -> str:
    """The purpose of use: that the glass was broken, of what touches a chart that was opened so."""
    if any(id in patients and now < until for id, until in principal.emergencies):
        return BREAK_GLASS
    return principal.purpose


def _patients(principal: Principal, request: InteractionRequest, response: InteractionResponse) -> list[str]:
    """Whose records were touched: those of whom something went out, and whom the request itself names; where
    that is nobody, the patient of the token.
    """
    named = set(response.patients)
    asked = (request.id if request.resource_type == "Patient" else "", request.compartment)
    named.update(id for text in asked if is_id(id := text.removeprefix("Patient/")))
    if principal.user is not None and principal.user.startswith("Patient/"):
        named.add(principal.user.removeprefix("Patient/"))
    return sorted(named) or [principal.patient or ""]


def is_id(text: str) -> bool:
    """Whether a text has the form of a resource's id."""
    return _ID.fullmatch(text) is not None


def parameter_names(query: Iterable[tuple[str, str]], ignored: Iterable[str]) -> str:
    """The names of search parameters that were understood, for `AuditRow.detail`."""
    return " ".join(sorted({name for name, _ in query}.difference(ignored)))[:_DETAIL_LENGTH]
