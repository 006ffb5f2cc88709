"""Accounts of staff that are signed in by an OpenID provider: who there is who here.

Somebody is known by issuer and subject together, as the operator or the person linked them; never by an e-mail
address or a name, which the provider gives to others one day.
Source: OpenID Connect Core 1.0 section 5.7.
"""

from __future__ import annotations

import re
from dataclasses import replace

from server.auth.accounts import OPERATOR, AccountError
from server.auth.context import AuthContext, record
from server.storage.authorization import UserRow
from server.storage.sign_in import ExternalIdentityRow

# "sub" is at most 255 ASCII characters (section 2); an issuer is a URL without query and fragment.
_SUBJECT = re.compile(r"[\x21-\x7e]{1,255}")
_ISSUER = re.compile(r"https?://[\x21-\x7e]{1,500}")


def link(
    context: AuthContext,
    username: str,
    issuer: str,
    subject: str,
    *,
    password: bool = True,
    principal: str = OPERATOR,
) -> None:
    """Let somebody sign in by the provider. password: whether the local one counts, too; False takes it away.

    Raises: AccountError.
    """
    if not _ISSUER.fullmatch(issuer) or "?" in issuer or "#" in issuer:
        raise AccountError("the issuer is the provider's address as it calls itself, https://...")
    if not _SUBJECT.fullmatch(subject):
        raise AccountError("the subject is 1 to 255 ASCII characters, as in the provider's id token (sub)")
    with context.rows.transaction():
        row = _account(context, username)
        known = context.store.sign_in.identity(issuer, subject)
        if known is not None and known.username != username:
            raise AccountError("this identity is linked to another account")
        linked = ExternalIdentityRow(issuer, subject, username, context.clock())
        if known is None and not context.store.sign_in.link_identity(linked):
            raise AccountError("the account is linked to another identity of this issuer; unlink that first")
        if not password:
            # Nobody signs in with "", and sessions that the password opened end.
            context.rows.put_user(replace(row, password_hash=""))
            context.rows.end_browser_sessions(username)
        detail = "" if password else "without password"
        record(context, "identity-link", 200, principal=principal, username=username, detail=detail)


def unlink(context: AuthContext, username: str, issuer: str, *, principal: str = OPERATOR) -> None:
    """Let somebody sign in by the provider no more; sessions end. Raises: AccountError."""
    with context.rows.transaction():
        _account(context, username)
        if not context.store.sign_in.unlink_identity(issuer, username):
            raise AccountError("the account is not linked to this issuer")
        context.rows.end_browser_sessions(username)
        record(context, "identity-unlink", 200, principal=principal, username=username)


def account_of(context: AuthContext, issuer: str, subject: str) -> UserRow | None:
    """The account of an identity, disabled ones too; None where nobody linked one."""
    row = context.store.sign_in.identity(issuer, subject)
    return context.rows.user(row.username) if row else None


def _account(context: AuthContext, username: str) -> UserRow:
    row = context.rows.user(username) if username.isascii() and username.isprintable() else None
    if row is None:
        raise AccountError("there is no such account; `baton user list` shows them")
    return row
