"""Partners are taken on, agreed with, suspended and ended: what each change needs, and its audit rows.

States: invited (no agreement yet) -> active <-> suspended; each of them -> ended, which is final. Suspending
and ending disables the partner's clients and accounts, so that their tokens, sessions and launches are over at
once in every process; resuming enables those again that the suspension disabled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from server.auth.accounts import add_account
from server.auth.actor import Actor
from server.auth.clients import Registration, client_row
from server.auth.context import AuthContext, record
from server.auth.partners import ACTIVE
from server.policy.partner_agreements import agreement_kinds, partner_kinds, purposes_of_use
from server.policy.roles import role as role_named
from server.storage.authorization import ClientRow, UserRow
from server.storage.partners import (
    Agreement,
    Member,
    PartnerRow,
    PartnerTaken,
    StateChange,
)

INVITED, SUSPENDED, ENDED = "invited", "suspended", "ended"
STATES = (INVITED, ACTIVE, SUSPENDED, ENDED)
# Event -> states from which it may come.
_FROM: Mapping[str, tuple[str, ...]] = {
    "partner-agree": (INVITED, ACTIVE, SUSPENDED),
    "partner-suspend": (ACTIVE,),
    "partner-resume": (SUSPENDED,),
    "partner-end": (INVITED, ACTIVE, SUSPENDED),
    "partner-client-add": (INVITED, ACTIVE),
    "partner-user-add": (INVITED, ACTIVE),
}
PARTNER_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_LINE = 200
_REASON = 500
_CONTACTS = 20
_AGREEMENTS = 100


class PartnerError(Exception):
    """A partner cannot be made or changed so; the text is for whoever asked."""


def add_partner(
    context: AuthContext,
    actor: Actor,
    partner_id: str,
    *,
    name: str,
    kind: str,
    purpose: str,
    organization_id: str,
    agreements: Sequence[Agreement] = (),
    contacts: Sequence[str] = (),
) -> PartnerRow:
    """Take on a partner: active with an agreement, invited without one. organization_id: of its Organization.

    Raises: PartnerError.
    """
    if not PARTNER_ID.fullmatch(partner_id):
        raise PartnerError(
            "a partner's id is 1 to 48 small letters, digits and '-', such as sunrise-home-health"
        )
    _require_line(name, "name")
    if kind not in partner_kinds():
        raise PartnerError(f"there is no such kind of partner; there are: {', '.join(partner_kinds())}")
    if purpose not in purposes_of_use():
        raise PartnerError(f"there is no such purpose; there are: {', '.join(purposes_of_use())}")
    if not _ID.fullmatch(organization_id):
        raise PartnerError("the organisation is named by the id of its Organization")
    if len(contacts) > _CONTACTS:
        raise PartnerError(f"a partner has at most {_CONTACTS} contacts")
    for contact in contacts:
        _require_line(contact, "contact")
    for agreement in agreements:
        _require_agreement(agreement, purpose)
    now, state = context.clock(), ACTIVE if agreements else INVITED
    row = PartnerRow(
        partner_id=partner_id,
        name=name.strip(),
        organization_id=organization_id,
        kind=kind,
        purpose=purpose,
        state=state,
        created=now,
        agreements=tuple(agreements),
        contacts=tuple(contact.strip() for contact in contacts),
        history=(StateChange(now, state, actor.principal),),
    )
    with context.rows.transaction():
        try:
            context.store.partners.add(row)
        except PartnerTaken:
            raise PartnerError("there is a partner of this id, or one of this organisation") from None
        _record(context, actor, "partner-add", partner_id)
    return row


def agree(context: AuthContext, actor: Actor, partner_id: str, agreement: Agreement) -> PartnerRow:
    """Keep an agreement that was signed, or another end of one (same kind and first day); an invited partner
    becomes active. Raises: PartnerError.
    """
    with context.rows.transaction():
        row = _held(context, partner_id, "partner-agree")
        _require_agreement(agreement, row.purpose)
        others = [one for one in row.agreements if (one.kind, one.starts) != (agreement.kind, agreement.starts)]
        if len(others) >= _AGREEMENTS:
            raise PartnerError(f"a partner has at most {_AGREEMENTS} agreements")
        row = replace(row, agreements=(*others, agreement))
        if row.state == INVITED:
            row = _moved(context, actor, row, ACTIVE, "")
        context.store.partners.change(row)
        _record(context, actor, "partner-agree", partner_id, agreement.kind)
    return row


def suspend(context: AuthContext, actor: Actor, partner_id: str, reason: str) -> PartnerRow:
    """Shut a partner out until it is resumed. Raises: PartnerError."""
    return _shut_out(context, actor, partner_id, "partner-suspend", SUSPENDED, reason)


def end(context: AuthContext, actor: Actor, partner_id: str, reason: str) -> PartnerRow:
    """Shut a partner out for good; its rows stay, because the audit trail names it. Raises: PartnerError."""
    return _shut_out(context, actor, partner_id, "partner-end", ENDED, reason)


def resume(context: AuthContext, actor: Actor, partner_id: str, reason: str = "") -> PartnerRow:
    """Let a suspended partner in again, with the clients and accounts of before. Raises: PartnerError."""
    with context.rows.transaction():
        row = _held(context, partner_id, "partner-resume")
        for client_id in row.held_clients:
            client = context.rows.client(client_id, held=True)
            if client is not None:
                context.rows.put_client(replace(client, disabled=False))
                _record(context, actor, "client-enable", partner_id, client_id=client_id)
        for username in row.held_users:
            user = context.rows.user(username)
            if user is not None:
                context.rows.put_user(replace(user, disabled=False))
                _record(context, actor, "user-enable", partner_id, username=username)
        row = _moved(context, actor, replace(row, held_clients=(), held_users=()), ACTIVE, reason)
        context.store.partners.change(row)
        _record(context, actor, "partner-resume", partner_id)
    return row


def add_partner_client(
    context: AuthContext, actor: Actor, partner_id: str, registration: Registration, secret_hash: str = ""
) -> ClientRow:
    """Register a client that acts for a partner. Raises: PartnerError, RegistrationError."""
    client = client_row(registration, secret_hash, context.clock())
    if client.metadata.get("trusted"):
        raise PartnerError("a partner's client is not trusted: people are asked for consent")
    with context.rows.transaction():
        _held(context, partner_id, "partner-client-add")
        if context.rows.client(client.client_id) is not None:
            raise PartnerError(f"there is a client {client.client_id} already")
        _add_member(context, partner_id, Member("client", client.client_id))
        context.rows.put_client(client)
        _record(context, actor, "partner-client-add", partner_id, client_id=client.client_id)
    return client


def add_partner_user(
    context: AuthContext,
    actor: Actor,
    partner_id: str,
    username: str,
    password: str,
    *,
    role: str,
    practitioner: str = "",
    name: str = "",
) -> UserRow:
    """Make an account for somebody of a partner. role: one that policy has for people of partners.

    Raises: PartnerError, accounts.AccountError.
    """
    if not role_named(role).partner:
        raise PartnerError("people of a partner have a role that policy has for them, such as partner")
    with context.rows.transaction():
        _held(context, partner_id, "partner-user-add")
        _add_member(context, partner_id, Member("user", username))
        user = add_account(context, username, password, role=role, practitioner=practitioner, name=name)
        _record(context, actor, "partner-user-add", partner_id, username=username)
    return user


def _shut_out(
    context: AuthContext, actor: Actor, partner_id: str, event: str, state: str, reason: str
) -> PartnerRow:
    if not reason.strip():
        raise PartnerError("say why: the reason is kept with the partner")
    now = context.clock()
    with context.rows.transaction():
        row = _held(context, partner_id, event)
        clients, users = [], []
        for member in context.store.partners.all_members(partner_id):
            if member.kind == "client" and _is_enabled(context.rows.client(member.name, held=True)):
                context.rows.disable_client(member.name, now)
                _record(context, actor, "client-disable", partner_id, client_id=member.name)
                clients.append(member.name)
            elif member.kind == "user" and _disable_user(context, member.name):
                _record(context, actor, "user-disable", partner_id, username=member.name)
                users.append(member.name)
        if state == SUSPENDED:
            row = replace(row, held_clients=tuple(clients), held_users=tuple(users))
        else:
            row = replace(row, held_clients=(), held_users=())
        row = _moved(context, actor, row, state, reason)
        context.store.partners.change(row)
        _record(context, actor, event, partner_id)
    return row


def _is_enabled(client: ClientRow | None) -> bool:
    return client is not None and not client.disabled


def _disable_user(context: AuthContext, username: str) -> bool:
    """Disable an account with all that was begun in its name; False where it was disabled before."""
    user = context.rows.user(username)
    if user is None or user.disabled:
        return False
    context.rows.put_user(replace(user, disabled=True))
    context.rows.end_browser_sessions(username)
    grants = context.rows.grants(username=username)
    context.rows.revoke_grants([one.grant_id for one in grants if one.revoked is None], context.clock())
    return True


def _held(context: AuthContext, partner_id: str, event: str) -> PartnerRow:
    """The partner, which nobody else changes before the transaction ends, in a state that allows the event."""
    row = context.store.partners.partner(partner_id, held=True) if PARTNER_ID.fullmatch(partner_id) else None
    if row is None:
        raise PartnerError("there is no such partner; `baton partner list` shows them")
    if row.state not in _FROM[event]:
        raise PartnerError(f"the partner is {row.state}; that is for one that is {' or '.join(_FROM[event])}")
    return row


def _moved(context: AuthContext, actor: Actor, row: PartnerRow, state: str, reason: str) -> PartnerRow:
    reason = reason.strip()
    if len(reason) > _REASON or not reason.replace("\n", " ").replace("\r", " ").isprintable():
        raise PartnerError(f"the reason is at most {_REASON} printable characters")
    change = StateChange(context.clock(), state, actor.principal, reason)
    return replace(row, state=state, history=(*row.history, change))


def _add_member(context: AuthContext, partner_id: str, member: Member) -> None:
    try:
        context.store.partners.add_member(partner_id, member, context.clock())
    except PartnerTaken as taken:
        raise PartnerError(str(taken)) from None


def _require_line(text: str, what: str) -> None:
    if not text.strip() or len(text) > _LINE or not text.isprintable():
        raise PartnerError(f"a {what} is 1 to {_LINE} printable characters on one line")


def _require_agreement(agreement: Agreement, purpose: str) -> None:
    kind = agreement_kinds().get(agreement.kind)
    if kind is None:
        raise PartnerError(f"there is no such kind of agreement; there are: {', '.join(agreement_kinds())}")
    if purpose not in kind.purposes:
        raise PartnerError(
            f"this kind of agreement does not cover the purpose {purpose}; it covers {', '.join(kind.purposes)}"
        )
    if agreement.ends is not None and agreement.ends < agreement.starts:
        raise PartnerError("an agreement does not end before it begins")
    if agreement.document:
        _require_line(agreement.document, "document's name")


def _record(
    context: AuthContext,
    actor: Actor,
    event: str,
    partner_id: str,
    detail: str = "",
    *,
    client_id: str = "",
    username: str = "",
) -> None:
    """client_id, username: what was changed; else whose pages and account it was done with."""
    record(
        context,
        event,
        200,
        principal=actor.principal,
        client_id=client_id or actor.client_id,
        username=username or actor.username,
        detail=f"{partner_id} {detail}".rstrip(),
    )
