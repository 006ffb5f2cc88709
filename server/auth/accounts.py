"""Accounts of staff: made and changed by the operator of the host, each change audited in its own transaction.

What takes something from an account (disabling, another password or role, the second factor reset) ends its
sessions and grants at once; raising the security epoch tells every process. Accounts are never deleted: the
audit trail names them.
"""

from __future__ import annotations

import re
from dataclasses import replace

from server.auth.context import AuthContext, record
from server.auth.credentials import hash_password, password_fault
from server.auth.throttle import Key, closed_until, succeeded
from server.policy.roles import roles
from server.storage.authorization import UserRow

_USERNAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_PRACTITIONER = re.compile(r"(?:Practitioner/)?([A-Za-z0-9.-]{1,64})")
_NAME_LIMIT = 200
OPERATOR = "operator"  # whom the audit trail names for what a command did


class AccountError(Exception):
    """The account cannot be made or changed so; the text is for the operator."""


def add_account(
    context: AuthContext, username: str, password: str, *, role: str, practitioner: str = "", name: str = ""
) -> UserRow:
    """A new account. practitioner: "Practitioner/ID" or the id alone. name: shown to people.

    Raises: AccountError.
    """
    if not _USERNAME.fullmatch(username):
        raise AccountError("a user name is 1 to 64 letters, digits and . _ @ -")
    _require_role(role)
    as_practitioner = _PRACTITIONER.fullmatch(practitioner)
    if practitioner and as_practitioner is None:
        raise AccountError("the practitioner is given as Practitioner/ID: staff act here as Practitioners")
    if len(name) > _NAME_LIMIT or not name.isprintable():
        raise AccountError(f"the name is at most {_NAME_LIMIT} printable characters on one line")
    _require_unused(context, username)
    row = UserRow(
        username=username,
        password_hash=_hash(password, username),
        role=role,
        practitioner_id=as_practitioner[1] if as_practitioner else "",
        display=name,
    )
    with context.rows.transaction():
        _require_unused(context, username)
        context.rows.put_user(row)
        record(context, "user-add", 200, principal=OPERATOR, username=username, detail=role)
    return row


def disable_account(context: AuthContext, username: str) -> None:
    """Shut somebody out at once. Raises: AccountError."""
    _change(context, username, "user-disable", ends_access=True, disabled=True)


def enable_account(context: AuthContext, username: str) -> None:
    """Let somebody in again, with the password of before; sessions do not come back. Raises: AccountError."""
    with context.rows.transaction():
        _change(context, username, "user-enable", disabled=False)
        _lift_locks(context, username)


def change_password(context: AuthContext, username: str, password: str, *, principal: str = OPERATOR) -> None:
    """Another password; whoever knew the old one is out. Raises: AccountError."""
    _account(context, username)
    hashed = _hash(password, username)
    with context.rows.transaction():
        _change(context, username, "user-password", ends_access=True, principal=principal, password_hash=hashed)
        _lift_locks(context, username)


def reset_second_factor(context: AuthContext, username: str) -> bool:
    """Take the second factor and the recovery codes away, for who has lost them; False if there was none.

    The next sign-in sets up another one where the role needs it. Raises: AccountError.
    """
    with context.rows.transaction():
        _account(context, username)
        removed = context.store.sign_in.remove_second_factor(username)
        _change(context, username, "second-factor-reset", ends_access=True)
        _lift_locks(context, username)
    return removed


def is_locked(context: AuthContext, username: str) -> bool:
    """Whether failed attempts keep the account closed at present."""
    return any(closed_until(context, key) for key in _locks(username))


def change_role(context: AuthContext, username: str, role: str) -> None:
    """Another role; tokens carry the old one, so they end. Raises: AccountError."""
    _require_role(role)
    _change(context, username, "user-role", ends_access=True, detail=role, role=role)


def _change(
    context: AuthContext,
    username: str,
    event: str,
    *,
    ends_access: bool = False,
    detail: str = "",
    principal: str = OPERATOR,
    **changes: object,
) -> None:
    with context.rows.transaction():
        row = _account(context, username)
        context.rows.put_user(replace(row, **changes))  # type: ignore[arg-type]
        if ends_access:
            context.rows.end_browser_sessions(username)
            grants = context.rows.grants(username=username)
            in_force = [grant.grant_id for grant in grants if grant.revoked is None]
            context.rows.revoke_grants(in_force, context.clock())
        record(context, event, 200, principal=principal, username=username, detail=detail)


def _locks(username: str) -> tuple[Key, ...]:
    return Key("password", username), Key("second-factor", username)


def _lift_locks(context: AuthContext, username: str) -> None:
    succeeded(context, forget=_locks(username))


def _account(context: AuthContext, username: str) -> UserRow:
    row = context.rows.user(username) if _USERNAME.fullmatch(username) else None
    if row is None:
        raise AccountError("there is no such account; `baton user list` shows them")
    return row


def _require_unused(context: AuthContext, username: str) -> None:
    if context.rows.user(username) is not None:
        raise AccountError(f"there is an account {username} already")


def _require_role(role: str) -> None:
    if role not in roles():
        raise AccountError(f"there is no such role; there are: {', '.join(sorted(roles()))}")


def _hash(password: str, username: str) -> str:
    fault = password_fault(password, username)
    if fault:
        raise AccountError(fault)
    return hash_password(password)
