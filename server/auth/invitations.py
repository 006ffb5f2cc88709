"""Invitations to register a client: initial access tokens that an operator makes, and their bounds.

Registration is closed but for who has one.
Source: RFC 7591 sections 1.2 and 3
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from server.auth.clients import RegistrationError, check_scope
from server.auth.context import AuthContext, record
from server.auth.public_keys import key_set_fault
from server.storage.registrations import InvitationRow

MOST_USES = 1_000
LONGEST = timedelta(days=366)
# A host name, an IPv6 address, or the scheme of a native app (RFC 8252 section 7.1).
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|[0-9a-f:]{2,39}|[a-z][a-z0-9-]*(\.[a-z0-9-]+)+:")


def invite(
    context: AuthContext,
    *,
    scope: str,
    hosts: Sequence[str] = (),
    backend: bool = False,
    uses: int = 1,
    lifetime: timedelta = timedelta(days=7),
    note: str = "",
    statement: Mapping[str, Any] | None = None,
) -> tuple[str, InvitationRow]:
    """A new invitation: the token, to be shown once, and its row. The arguments are those of `InvitationRow`.

    Raises: RegistrationError.
    """
    check_scope(scope)
    hosts = tuple(dict.fromkeys(host.lower().strip("[]").rstrip(".") for host in hosts))
    if not hosts and not backend:
        raise RegistrationError("name the hosts that redirect URIs may have")
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise RegistrationError(
            "a host is a name or an address without scheme, port and path; or an app's scheme, com.example.app:"
        )
    if not 1 <= uses <= MOST_USES:
        raise RegistrationError(f"an invitation is for 1 to {MOST_USES} clients")
    if not timedelta(0) < lifetime <= LONGEST:
        raise RegistrationError(f"an invitation is good for at most {LONGEST.days} days")
    if len(note) > 200 or not note.isprintable():
        raise RegistrationError("a note has at most 200 visible characters")
    if statement and (fault := key_set_fault(statement["jwks"])):
        raise RegistrationError(fault)
    token, now = context.new_secret(), context.clock()
    row = InvitationRow(
        token_hash=context.hash(token),
        invitation_id=context.hash(f"invitation {token}").hex()[:12],
        created=now,
        expires=now + lifetime,
        uses_left=uses,
        scope=scope,
        note=note,
        hosts=hosts,
        backend=backend,
        statement=statement or {},
    )
    with context.rows.transaction():
        context.rows.registrations.add_invitation(row)
        record(context, "invitation-add", 200, principal="operator", detail=f"{row.invitation_id} {scope}")
    return token, row


def withdraw(context: AuthContext, invitation_id: str) -> bool:
    """End an invitation; clients that registered by it stay. False if there is none in force of this name."""
    with context.rows.transaction():
        ended = context.rows.registrations.withdraw_invitation(invitation_id)
        if ended:
            record(context, "invitation-withdraw", 200, principal="operator", detail=invitation_id)
    return ended


def invitation_in_force(context: AuthContext, token: str) -> InvitationRow | None:
    """The invitation of a token, if it can be used now."""
    row = context.rows.registrations.invitation(context.hash(token))
    return row if row is not None and row.uses_left > 0 and context.clock() < row.expires else None


def description(row: InvitationRow, token: str = "") -> dict[str, Any]:
    """An invitation as `baton client` shows it. token: only when it has just been made."""
    shown: dict[str, Any] = {"invitation": row.invitation_id}
    if token:
        shown["initial_access_token"] = token
    return {
        **shown,
        "note": row.note,
        "scope": row.scope,
        "hosts": list(row.hosts),
        "backend": row.backend,
        "software_statement_issuer": row.statement.get("iss"),
        "created": row.created.isoformat(timespec="seconds"),
        "expires": row.expires.isoformat(timespec="seconds"),
        "uses_left": row.uses_left,
    }
