"""Who may change clients, partners and grants in the console, and when something was last asked (Flask)."""

from __future__ import annotations

from datetime import datetime

from flask import g

from server.auth.actor import Actor
from server.auth.context import AuthContext, record
from server.auth.sessions import Session
from server.errors import FhirError
from server.policy.roles import role
from server.storage.audit_values import AuditQuery
from server.storage.interface import Store

CLIENT_ID = "console"
# Of the texts of a form; longer ones are refused by what takes them.
TEXT_LIMIT = 200


def administers() -> bool:
    """Whether the person signed in may change clients, partners and grants."""
    staff: Session = g.staff
    return role(staff.role).administers


def administrator(auth: AuthContext, event: str) -> Actor:
    """The person signed in, as who changes something. event: what they are about to do.

    Raises: FhirError forbidden for others, who leave an audit row.
    """
    staff: Session = g.staff
    who = staff.fhir_user or f"User/{staff.username}"
    if not administers():
        record(auth, event, 403, principal=who, client_id=CLIENT_ID, username=staff.username)
        raise FhirError("forbidden", "Your role may look at this, and an administrator may change it.")
    return Actor(who, staff.username, CLIENT_ID)


def last_asked(store: Store, *, client_id: str = "", principal: str = "") -> datetime | None:
    """When a client or a principal last did something, by the sealed audit trail; None for never."""
    try:
        page = store.search_audit(AuditQuery(client_id=client_id, principal=principal, count=1))
    except FhirError as error:
        if error.kind not in ("too-costly", "invalid-search"):
            raise
        return None
    return page.rows[0][1].recorded if page.rows else None
