"""Links between people of another EHR and people here: proposed by a launch, decided by a person.

Nothing links by itself, however good a match is. Every step is audited in the transaction that makes it; ending
a link ends what was exchanged by it, in every process at once.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from server.auth.context import AuthContext, record
from server.auth.subject_token import STAFF_TYPES, Subject, is_npi
from server.auth.trusted_issuers import end_grants_on
from server.fhir.json_codec import decode
from server.fhir.visibility import EVERYTHING
from server.storage.authorization import UserRow
from server.storage.identity_link_rows import (
    CONFIRMED,
    PROPOSED,
    REVOKED,
    LinkKind,
    LinkRow,
    TicketRow,
    link_basis,
)

TICKET_LIFE = timedelta(minutes=15)
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
# What of a Patient says who somebody is: all that a ticket keeps.
IDENTITY = ("name", "birthDate", "gender", "identifier", "telecom", "address", "multipleBirthInteger")


class LinkError(Exception):
    """A link cannot be made; the text says why, to somebody who may know."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A launch that waits: the secret of the page where a person compares, and how long it opens."""

    secret: str
    life: timedelta


def propose(
    context: AuthContext,
    subject: Subject,
    client_id: str,
    patient: Mapping[str, Any],
    user_display: str,
    request_id: str,
) -> Ticket:
    """Keep what a launch says of user and patient until somebody compares. patient: a valid Patient with id."""
    now, links = context.clock(), context.store.identity_links
    ticket = Ticket(context.new_secret(), TICKET_LIFE)
    user, issuer = subject.users[0], subject.issuer.issuer
    app, made = f"Client/{client_id}", {"by": "launch"}
    with context.rows.transaction():
        propose_staff(context, subject, client_id, user_display or subject.display)
        links.propose(_row(context, "patient", issuer, patient["id"], "", PROPOSED, app, made))
        links.add_ticket(
            TicketRow(
                ticket_hash=context.hash(ticket.secret),
                expires=now + TICKET_LIFE,
                created=now,
                issuer=issuer,
                client_id=client_id,
                user=user,
                user_display=user_display or subject.display,
                patient={name: patient[name] for name in ("resourceType", "id", *IDENTITY) if name in patient},
            )
        )
        record(
            context,
            "link-propose",
            201,
            principal=f"Client/{client_id}",
            client_id=client_id,
            request_id=request_id,
            detail=issuer,
        )
    return ticket


def propose_staff(context: AuthContext, subject: Subject, client_id: str, display: str) -> None:
    """Let an administrator see that a user there has no account here yet."""
    made = {"by": "launch", "display": display}
    issuer, user = subject.issuer.issuer, subject.users[0]
    row = _row(context, "staff", issuer, user, "", PROPOSED, f"Client/{client_id}", made)
    context.store.identity_links.propose(row)


def ticket_of(context: AuthContext, secret: str) -> TicketRow | None:
    """The launch that a page's address names; None where it expired, never was, or its EHR is shut out."""
    if not secret.isascii() or len(secret) > 128:
        return None
    row = context.store.identity_links.ticket(context.hash(secret))
    if row is None or row.expires <= context.clock():
        return None
    issuer = context.store.identity_links.issuer(row.issuer)
    return None if issuer is None or issuer.disabled else row


def confirm(
    context: AuthContext,
    kind: LinkKind,
    issuer: str,
    there: str,
    here: str,
    *,
    principal: str,
    username: str = "",
    made: Mapping[str, Any],
) -> LinkRow:
    """A person says who somebody there is here. here: a Patient id, or a user name.

    principal, username: who decides. made: how it came about. Raises: LinkError.
    """
    if context.store.identity_links.issuer(issuer) is None:
        raise LinkError("there is no such issuer; `baton issuer list` shows them")
    if kind == "staff":
        _require_staff(context, there, here)
    else:
        _require_patient(context, there, here)
    row = _row(context, kind, issuer, there, here, CONFIRMED, principal, made)
    with context.rows.transaction():
        kept = context.store.identity_links.confirm(row)
        if kept is None:
            raise LinkError("it is linked already; revoke that link first")
        record(
            context,
            "link-confirm",
            200,
            principal=principal,
            username=username or (here if kind == "staff" else ""),
            patient=here if kind == "patient" else "",
            detail=f"{kind} {issuer}",
        )
    return kept


def end(context: AuthContext, link_id: str, state: str, *, principal: str, username: str = "") -> bool:
    """Refuse a proposal or revoke a link, and end what was exchanged by it; False where it was not so."""
    with context.rows.transaction():
        row = context.store.identity_links.end(link_id, state, context.clock(), principal)
        if row is None:
            return False
        end_grants_on(context, link_basis(link_id))
        record(
            context,
            "link-revoke" if state == REVOKED else "link-refuse",
            200,
            principal=principal,
            username=username or (row.here if row.kind == "staff" else ""),
            patient=row.here if row.kind == "patient" else "",
            detail=f"{row.kind} {row.issuer}",
        )
    return True


def account_of(context: AuthContext, username: str) -> UserRow | None:
    """An account that may act here: enabled, and one active Practitioner."""
    user = context.rows.user(username)
    if user is None or user.disabled or not user.practitioner_id:
        return None
    practitioner = current(context, "Practitioner", user.practitioner_id)
    return None if practitioner is None or practitioner.get("active") is False else user


def current(context: AuthContext, resource_type: str, id: str) -> dict[str, Any] | None:
    """A resource as it is now, for decisions of this server; nothing of it goes out."""
    with context.store.reading() as reader:
        version = reader.read(resource_type, id, EVERYTHING)
    return None if version is None or version.deleted else decode(version.body)


def in_use(patient: Mapping[str, Any]) -> bool:
    """Whether a Patient is a record that care goes on in: not inactive, not replaced by another."""
    links = patient.get("link", ())
    return patient.get("active") is not False and all(link.get("type") != "replaced-by" for link in links)


def _require_staff(context: AuthContext, there: str, username: str) -> None:
    resource_type, _, id = there.partition("/")
    if not (resource_type in STAFF_TYPES and _ID.fullmatch(id)) and not (
        there.startswith("npi|") and is_npi(there.removeprefix("npi|"))
    ):
        raise LinkError("the user there is given as Practitioner/ID, PractitionerRole/ID or npi|NUMBER")
    if account_of(context, username) is None:
        raise LinkError("the account here must be enabled and act as a Practitioner that is active")


def _require_patient(context: AuthContext, there: str, here: str) -> None:
    if not _ID.fullmatch(there):
        raise LinkError("the patient there is given by the id of its Patient resource")
    patient = current(context, "Patient", here) if _ID.fullmatch(here) else None
    if patient is None:
        raise LinkError("there is no such Patient here")
    if not in_use(patient):
        raise LinkError("this Patient is inactive, or was merged into another")


def _row(
    context: AuthContext,
    kind: LinkKind,
    issuer: str,
    there: str,
    here: str,
    state: str,
    principal: str,
    made: Mapping[str, Any],
) -> LinkRow:
    now = context.clock()
    return LinkRow(
        link_id=secrets.token_hex(16),
        kind=kind,
        issuer=issuer,
        there=there,
        here=here,
        state=state,
        created=now,
        created_by=principal,
        decided=now if state == CONFIRMED else None,
        decided_by=principal if state == CONFIRMED else "",
        made=made,
    )
