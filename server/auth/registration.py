"""Dynamic registration of clients, by invitation, and its management by the client itself.

Stored are digests alone: the registration access token is answered again only to who has just shown it, and a
client secret only when it is made. An update stays within the bounds of the invitation; the client's row keeps
them.
Sources: RFC 7591, RFC 7592
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from server.auth.client_metadata import Bounds, check_update, metadata, needs_secret, read_metadata
from server.auth.clients import Client, RegistrationError, client_row
from server.auth.context import AuthContext, record
from server.auth.invitations import invitation_in_force
from server.auth.software_statement import with_statement
from server.storage.authorization import ClientRow

PATH = "/oauth2/register"


class TokenRefused(Exception):
    """The initial or the registration access token is unknown, used up, expired, or not for this client."""


def discovery_members(context: AuthContext) -> dict[str, Any]:
    """`registration_endpoint`, while anybody has an invitation that can be used."""
    if not context.rows.registrations.is_open(context.clock()):
        return {}
    return {"registration_endpoint": context.base_url + PATH}


# Gives the decoded request; asked for once it is known who asks. Raises: RegistrationError.
Document = Callable[[], Mapping[str, Any]]


def register(context: AuthContext, token: str, document: Document) -> dict[str, Any]:
    """Register a client and answer what it needs to know (RFC 7591 section 3.2.1).

    token: the initial access token.
    Raises: TokenRefused; RegistrationError with its code.
    """
    invitation = invitation_in_force(context, token)
    if invitation is None:
        record(context, "client-register-refused", 401, detail="invalid_token")
        raise TokenRefused
    by = f"Invitation/{invitation.invitation_id}"
    try:
        row, secret = _requested(
            context,
            document(),
            Bounds(invitation.scope, invitation.hosts, invitation.backend),
            invitation.statement,
        )
    except RegistrationError as error:
        record(context, "client-register-refused", 400, principal=by, detail=error.code)
        raise
    access_token = context.new_secret()
    row = replace(
        row,
        registration={
            "token": context.hash(access_token).hex(),
            "invitation": invitation.invitation_id,
            "scope": invitation.scope,
            "hosts": list(invitation.hosts),
            "backend": invitation.backend,
            "statement": dict(invitation.statement),
        },
    )
    with context.rows.transaction():
        used = context.rows.registrations.use_invitation(invitation.token_hash, context.clock())
        if used:
            context.rows.put_client(row)
            record(context, "client-register", 201, principal=by, client_id=row.client_id, detail=row.scope)
    if not used:  # somebody else was quicker
        raise TokenRefused
    return _answer(context, row, access_token, secret)


def read(context: AuthContext, client_id: str, token: str) -> dict[str, Any]:
    """A client's own registration (RFC 7592 section 2.1). Raises: TokenRefused."""
    return _answer(context, _own(context, client_id, token), token)


def update(context: AuthContext, client_id: str, token: str, document: Document) -> dict[str, Any]:
    """Replace a client's metadata (RFC 7592 section 2.2). What it was granted beyond its new scope ends.

    Raises: TokenRefused; RegistrationError with its code.
    """
    before = _own(context, client_id, token)
    kept = before.registration
    bounds = Bounds(kept["scope"], tuple(kept["hosts"]), kept["backend"])
    try:
        asked = document()
        check_update(asked, before, Client(before, context.token_key).check_client_secret)
        row, _ = _requested(context, asked, bounds, kept["statement"], before)
    except RegistrationError as error:
        record(context, "client-update-refused", 400, principal=f"Client/{client_id}", client_id=client_id,
               detail=error.code)  # fmt: skip
        raise
    with context.rows.transaction():
        now_kept = context.rows.client(client_id)
        if now_kept is None or now_kept.disabled or now_kept.registration != kept:
            raise TokenRefused  # shut out meanwhile
        context.rows.put_client(row)
        if set(before.scope.split()).difference(row.scope.split()):
            grants = [grant.grant_id for grant in context.rows.grants(client_id=client_id) if not grant.revoked]
            context.rows.revoke_grants(grants, context.clock())
        record(context, "client-update", 200, principal=f"Client/{client_id}", client_id=client_id,
               detail=row.scope)  # fmt: skip
    return _answer(context, row, token)


def delete(context: AuthContext, client_id: str, token: str) -> None:
    """A client takes itself off (RFC 7592 section 2.3): its grants end, too. Raises: TokenRefused."""
    _own(context, client_id, token)
    with context.rows.transaction():
        context.rows.disable_client(client_id, context.clock())
        record(context, "client-delete", 204, principal=f"Client/{client_id}", client_id=client_id)


def _requested(
    context: AuthContext,
    document: Mapping[str, Any],
    bounds: Bounds,
    statement: Mapping[str, Any],
    before: ClientRow | None = None,
) -> tuple[ClientRow, str]:
    """The row that is asked for, and the secret that is made for it. Raises: RegistrationError."""
    now = context.clock()
    document = with_statement(document, statement, now)
    client_id = before.client_id if before else str(uuid.uuid4())
    registration = read_metadata(document, client_id, bounds)
    _check_name(context, registration.name, client_id)
    secret = context.new_secret() if needs_secret(registration) and before is None else ""
    row = client_row(registration, context.hash(secret).hex() if secret else "", now)
    if "software_statement" in document:
        row = replace(row, metadata={**row.metadata, "software_statement": document["software_statement"]})
    if before is not None:
        row = replace(
            row, created=before.created, secret_hash=before.secret_hash, registration=before.registration
        )
    return row, secret


def _check_name(context: AuthContext, name: str, client_id: str) -> None:
    """People tell clients apart by name alone: nobody takes another one's."""
    alike = name.casefold().split()
    others = (row for row in context.rows.clients() if row.client_id != client_id and not row.disabled)
    if any(row.name.casefold().split() == alike for row in others):
        raise RegistrationError("another client has this client_name")


def _own(context: AuthContext, client_id: str, token: str) -> ClientRow:
    known = client_id.isascii() and client_id.isprintable() and len(client_id) <= 64
    row = context.rows.client(client_id) if known else None
    kept = row.registration.get("token", "") if row is not None and not row.disabled else ""
    if row is None or not kept or not hmac.compare_digest(kept, context.hash(token).hex()):
        record(context, "client-manage-refused", 401, detail="invalid_token")
        raise TokenRefused
    return row


def _answer(context: AuthContext, row: ClientRow, access_token: str, secret: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = {
        "client_id": row.client_id,
        "client_id_issued_at": int(row.created.timestamp()),
        "registration_access_token": access_token,
        "registration_client_uri": f"{context.base_url}{PATH}/{row.client_id}",
        **metadata(row),
    }
    if secret:
        answer |= {"client_secret": secret, "client_secret_expires_at": 0}
    return answer
