"""Clients are registered, disabled, enabled and given other secrets and keys on pages, each time audited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from server.auth.actor import Actor
from server.auth.clients import (
    ASYMMETRIC,
    SYMMETRIC,
    Registration,
    RegistrationError,
    client_row,
)
from server.auth.context import AuthContext, record
from server.auth.public_keys import key_set_fault
from server.storage.authorization import ClientRow
from server.storage.partners import Member

_SHUT_OUT = ("suspended", "ended")


def register(context: AuthContext, actor: Actor, registration: Registration) -> tuple[ClientRow, str]:
    """A new client and, for one that signs in with a secret, that secret, which is kept nowhere.

    Raises: RegistrationError.
    """
    secret = context.new_secret() if registration.kind == SYMMETRIC else ""
    row = client_row(registration, context.hash(secret).hex() if secret else "", context.clock())
    with context.rows.transaction():
        if context.rows.client(row.client_id) is not None:
            raise RegistrationError(f"there is a client {row.client_id} already")
        _put(context, actor, row, "client-add")
    return row, secret


def disable(context: AuthContext, actor: Actor, client_id: str) -> None:
    """Shut a client out at once: its grants and tokens end in every process. Raises: RegistrationError."""
    with context.rows.transaction():
        _known(context, client_id)
        context.rows.disable_client(client_id, context.clock())
        _record(context, actor, "client-disable", client_id)


def enable(context: AuthContext, actor: Actor, client_id: str) -> None:
    """Let a client in again; what ended does not come back. Raises: RegistrationError."""
    with context.rows.transaction():
        row = _known(context, client_id)
        partners = context.store.partners.of([Member("client", client_id)])
        if any(partner.state in _SHUT_OUT for partner in partners):
            raise RegistrationError("its partner is shut out: a suspended partner is resumed with its clients")
        _put(context, actor, replace(row, disabled=False), "client-enable")


def rotate_secret(context: AuthContext, actor: Actor, client_id: str) -> str:
    """Another secret, kept nowhere; the old one is good for nothing from now on. Raises: RegistrationError."""
    secret = context.new_secret()
    with context.rows.transaction():
        row = _known(context, client_id)
        if row.kind != SYMMETRIC:
            raise RegistrationError("this client signs in without a secret")
        _put(context, actor, replace(row, secret_hash=context.hash(secret).hex()), "client-secret")
    return secret


def replace_keys(context: AuthContext, actor: Actor, client_id: str, jwks: Mapping[str, Any]) -> None:
    """Other public keys by value; those of before are good for nothing any more. Raises: RegistrationError."""
    if fault := key_set_fault(jwks):
        raise RegistrationError(fault)
    with context.rows.transaction():
        row = _known(context, client_id)
        if row.kind != ASYMMETRIC or row.jwks_uri:
            raise RegistrationError("this client has no keys by value")
        _put(context, actor, replace(row, jwks=jwks), "client-keys")


def _known(context: AuthContext, client_id: str) -> ClientRow:
    row = context.rows.client(client_id, held=True)
    if row is None:
        raise RegistrationError("there is no such client")
    return row


def _put(context: AuthContext, actor: Actor, row: ClientRow, event: str) -> None:
    context.rows.put_client(row)
    _record(context, actor, event, row.client_id)


def _record(context: AuthContext, actor: Actor, event: str, client_id: str) -> None:
    """client_id: of the client that was changed."""
    record(context, event, 200, principal=actor.principal, client_id=client_id, username=actor.username)
