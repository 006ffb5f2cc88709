"""Logins on the server's own pages: passwords, sessions, throttling. No web framework.

A session is a row; the browser holds only an opaque value in a cookie. It ends after 15 idle minutes, after
12 hours, at sign-out, or when the account is disabled. Failures do not tell an unknown account from a wrong
password. Failed logins are throttled by account (in the store) and by address (in each process).
Sources: OWASP Session Management and Authentication cheat sheets, NIST SP 800-63B section 5.2.2.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.auth.context import AuthContext, record
from server.auth.credentials import keyed_hash, verify_password
from server.auth.partners import PartnerClosed, acting_for, may_act
from server.storage.authorization import BrowserSessionRow, UserRow

COOKIE = "__Host-baton-web"
_AREA = "login"
_USERNAME_LIMIT = 64
# An account is locked for Lifetimes.lockout after this many failures in a row.
_LOCK_AFTER = 10
# Writing every use of a session would cost a transaction a page; a minute's error is harmless.
_TOUCH_EVERY = timedelta(minutes=1)


class LoginRefused(Exception):
    """The login failed; the text is for the person, and says no more than it must."""


@dataclass(frozen=True, slots=True)
class Session:
    """A person signed in. fhir_user: "Practitioner/id" or None. csrf: what the session's forms carry.

    organization, purpose: of the partner whose person this is, as in Principal.
    """

    session_hash: bytes
    username: str
    display: str
    role: str
    fhir_user: str | None
    created: datetime
    csrf: str
    organization: str | None = None
    purpose: str = ""

    def is_csrf(self, value: str) -> bool:
        """Whether a form came from one of this session's own pages."""
        return hmac.compare_digest(self.csrf.encode(), value.encode("utf-8", "surrogatepass"))


class AddressThrottle:
    """Counts failed logins of an address within a window; one for each process."""

    def __init__(
        self, clock: Callable[[], datetime], limit: int = 30, window: timedelta = timedelta(minutes=5)
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._window = window
        self._failures: dict[str, deque[datetime]] = {}

    def is_closed(self, address: str) -> bool:
        """Whether the address has failed too often lately."""
        failures = self._failures.get(address)
        if failures is None:
            return False
        oldest = self._clock() - self._window
        while failures and failures[0] <= oldest:
            failures.popleft()
        if not failures:
            self._failures.pop(address, None)
        return len(failures) >= self._limit

    def failed(self, address: str) -> None:
        """Count one failure."""
        if len(self._failures) > 10_000:  # a flood of addresses must not fill the memory
            self._failures.clear()
        self._failures.setdefault(address, deque(maxlen=self._limit)).append(self._clock())


def log_in(context: AuthContext, throttle: AddressThrottle, username: str, password: str, address: str) -> str:
    """Sign in; the value of the session cookie. Audited before it is answered, refusals too.

    Raises: LoginRefused.
    """
    if throttle.is_closed(address):
        record(context, "login-throttled", 429)
        raise LoginRefused("Too many failed attempts from this address. Wait five minutes, then try again.")
    now = context.clock()
    user = _account(context, username)
    # Hashing also for unknown and locked accounts: the time taken tells nothing.
    right = verify_password(password, user.password_hash if user else "")
    locked = user is not None and user.locked_until is not None and user.locked_until > now
    if user is None or user.disabled or locked or not right or not may_act(context, "", user.username):
        throttle.failed(address)
        if user is not None and not locked:
            failures = context.rows.record_login(
                user.username, False, lock_after=_LOCK_AFTER, locked_until=now + context.lifetimes.lockout
            )
            if failures >= _LOCK_AFTER:
                record(context, "login-locked", 401, principal=f"User/{user.username}", username=user.username)
        # What was typed as a name of no account is not kept: it may be a password.
        record(
            context,
            "login-refused",
            401,
            principal=f"User/{user.username}" if user else "",
            username=user.username if user else "",
        )
        raise LoginRefused(
            "The user name or the password is not right. After ten failures an account rests for five minutes."
        )
    value = context.new_secret()
    with context.rows.transaction():
        context.rows.record_login(user.username, True, lock_after=_LOCK_AFTER, locked_until=now)
        context.rows.add_browser_session(
            BrowserSessionRow(
                session_hash=context.hash(value),
                area=_AREA,
                username=user.username,
                created=now,
                last_used=now,
                expires=now + context.lifetimes.session_absolute,
            )
        )
        record(
            context,
            "login",
            200,
            principal=fhir_user(user) or f"User/{user.username}",
            username=user.username,
        )
    return value


def _account(context: AuthContext, username: str) -> UserRow | None:
    if not 0 < len(username) <= _USERNAME_LIMIT or not username.isascii() or not username.isprintable():
        return None
    return context.rows.user(username)


def fhir_user(user: UserRow) -> str | None:
    """The user as a FHIR resource, None where the account has none."""
    return f"Practitioner/{user.practitioner_id}" if user.practitioner_id else None


def session_of(context: AuthContext, cookie: str | None, *, keeps_alive: bool = True) -> Session | None:
    """The session of a cookie value, None when there is none in force.

    keeps_alive: whether this counts as use; a page that looks for news by itself is no use.
    """
    if not cookie or len(cookie) > 256 or not cookie.isascii():
        return None
    session_hash = context.hash(cookie)
    row = _live_row(context, session_hash)
    if row is None:
        return None
    user = context.rows.user(row.username)
    if user is None or user.disabled:
        return None
    try:
        acting = acting_for(context, "", user.username)
    except PartnerClosed:
        return None
    now = context.clock()
    if keeps_alive and now - row.last_used >= _TOUCH_EVERY:
        context.rows.touch_browser_session(session_hash, now)
    return Session(
        session_hash=session_hash,
        username=user.username,
        display=user.display or user.username,
        role=user.role,
        fhir_user=fhir_user(user),
        created=row.created,
        csrf=keyed_hash(context.token_key, f"csrf {cookie}").hex(),
        organization=acting.organization if acting is not None else None,
        purpose=acting.purpose if acting is not None else "",
    )


def is_alive(context: AuthContext, session_hash: bytes) -> bool:
    """Whether a login is still in force; asking does not keep it alive."""
    return _live_row(context, session_hash) is not None


def _live_row(context: AuthContext, session_hash: bytes) -> BrowserSessionRow | None:
    row = context.rows.browser_session(session_hash)
    now = context.clock()
    if row is None or row.expires <= now or now - row.last_used > context.lifetimes.session_idle:
        return None
    return row


def log_out(context: AuthContext, session: Session) -> None:
    """End a session at once, with the online access that came from it."""
    now = context.clock()
    with context.rows.transaction():
        context.rows.end_browser_session(session.session_hash)
        ending = [
            grant.grant_id
            for grant in context.rows.grants(username=session.username)
            if grant.revoked is None
            and "offline_access" not in grant.scope.split()
            and grant.context.get("session") == session.session_hash.hex()
        ]
        context.rows.revoke_grants(ending, now)
        record(
            context,
            "logout",
            200,
            principal=session.fhir_user or f"User/{session.username}",
            username=session.username,
        )
