"""Signing in, step by step: a password or another provider, then the second factor, then a session.

Between the steps the browser holds a value of its own that opens nothing else. What an unknown account is told
is what a wrong password is told, after the same time; both are slowed down alike (`throttle`).
Sources: OWASP Authentication cheat sheet, NIST SP 800-63B sections 4.2 and 5.2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.auth.context import AuthContext, record
from server.auth.credentials import verify_password
from server.auth.second_factor import (
    begin_enrolment,
    check_code,
    confirm_enrolment,
    is_enrolled,
    is_needed,
)
from server.auth.sessions import Session, live_row, may_sign_in, open_session, renew
from server.auth.throttle import Key, Throttled, begin, closed_until, succeeded
from server.storage.authorization import BrowserSessionRow, UserRow

STEP_COOKIE = "__Host-baton-step"
CODE, ENROL = "code", "enrol"
_STEP_AREA = "step"
_USERNAME_LIMIT = 64


class LoginRefused(Exception):
    """The login failed; the text is for the person, and says no more than it must."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody signs in. address: what counts as one household (`api.rates`). browser: in words."""

    address: str
    browser: str

    @property
    def key(self) -> Key:
        return Key("sign-in-address", self.address)


@dataclass(frozen=True, slots=True)
class Opened:
    """Somebody is signed in. cookie: of the session."""

    cookie: str


@dataclass(frozen=True, slots=True)
class MoreAsked:
    """One proof is given, another one is asked for. step: CODE or ENROL. cookie: of the step."""

    step: str
    cookie: str


Outcome = Opened | MoreAsked


@dataclass(frozen=True, slots=True)
class Step:
    """Who is on the way to a session, and by what."""

    kind: str
    user: UserRow
    method: str
    login: bytes


def log_in(context: AuthContext, username: str, password: str, place: Place) -> Outcome:
    """The first step, by a password. Audited before it is answered, refusals too.

    Raises: LoginRefused, Throttled.
    """
    account = Key("password", username)
    _begin(context, username, account, place.key)
    user = _account(context, username)
    # Hashing also for unknown accounts, and for those without a password: the time taken tells nothing.
    right = verify_password(password, user.password_hash if user else "")
    if user is None or not right or not may_sign_in(context, user):
        # What was typed as a name of no account is not kept: it may be a password.
        record(
            context,
            "login-refused",
            401,
            principal=f"User/{user.username}" if user else "",
            username=user.username if user else "",
        )
        if user is not None and closed_until(context, account):
            record(context, "login-locked", 401, principal=f"User/{user.username}", username=user.username)
        raise LoginRefused("The user name or the password is not right.")
    succeeded(context, forget=(account,), take_back=(place.key,))
    return first_step_done(context, user, "password", place)


def first_step_done(
    context: AuthContext, user: UserRow, method: str, place: Place, *, second_proved: bool = False
) -> Outcome:
    """Ask for the second factor where the account has or needs one, else open the session.

    second_proved: whoever vouches for the person asked for a second factor already.
    """
    enrolled = is_enrolled(context, user.username)
    if second_proved or not (enrolled or is_needed(context, user)):
        return Opened(open_session(context, user, method=method, browser=place.browser))
    step = CODE if enrolled else ENROL
    value, now = context.new_secret(), context.clock()
    with context.rows.transaction():
        if step == ENROL:
            begin_enrolment(context, user.username)
        context.rows.add_browser_session(
            BrowserSessionRow(
                session_hash=context.hash(value),
                area=_STEP_AREA,
                username=user.username,
                created=now,
                last_used=now,
                expires=now + context.lifetimes.sign_in_step,
                data={"step": step, "method": method},
            )
        )
    return MoreAsked(step, value)


def step_of(context: AuthContext, cookie: str | None) -> Step | None:
    """The step that a cookie value stands for, None when there is none in force."""
    row = live_row(context, cookie, _STEP_AREA)
    user = context.rows.user(row.username) if row else None
    if row is None or user is None or not may_sign_in(context, user):
        return None
    return Step(str(row.data["step"]), user, str(row.data["method"]), row.login)


def second_step(context: AuthContext, step: Step, typed: str, place: Place) -> str:
    """The code of a CODE step; the session cookie. Raises: CodeRefused, LoginRefused, Throttled."""
    _begin(context, step.user.username, place.key)
    kind = check_code(context, step.user, typed)
    succeeded(context, take_back=(place.key,))
    return _finish(context, step, f"{step.method} {kind}", place)


def enrolment_step(context: AuthContext, step: Step, typed: str, place: Place) -> tuple[str, tuple[str, ...]]:
    """The first code of an ENROL step; the session cookie and the recovery codes.

    Raises: CodeRefused, LoginRefused, Throttled.
    """
    if is_enrolled(context, step.user.username):  # in another window meanwhile
        raise LoginRefused("A second factor has been set up meanwhile. Sign in with it.")
    codes = confirm_enrolment(context, step.user, typed)
    return _finish(context, step, f"{step.method} totp", place), codes


def _finish(context: AuthContext, step: Step, method: str, place: Place) -> str:
    """The session after the last step, which is good once."""
    if not context.rows.end_browser_session(step.login):
        raise LoginRefused("This sign-in has been used. Start again.")
    return open_session(context, step.user, method=method, browser=place.browser)


def proofs(context: AuthContext, session: Session) -> Sequence[str]:
    """By what a person who is signed in can prove anew who they are, the best first: "code", "password"."""
    if is_enrolled(context, session.username):
        return ("code",)
    user = context.rows.user(session.username)
    return ("password",) if user and user.password_hash else ()


def prove(context: AuthContext, session: Session, cookie: str, typed: str, place: Place) -> str | None:
    """Before something dangerous: the session's cookie from now on, None where the session has ended.

    Raises: LoginRefused, CodeRefused, Throttled.
    """
    user = context.rows.user(session.username)
    if user is None:
        return None
    kinds = proofs(context, session)
    if "code" in kinds:
        method = check_code(context, user, typed)
    else:
        check_password(context, user, typed, place, "proof-refused")
        method = "password"
    value = renew(context, cookie)
    record(context, "proof", 200, principal=session.principal, username=user.username, detail=method)
    return value


def check_password(context: AuthContext, user: UserRow, password: str, place: Place, event: str) -> None:
    """The account's password, typed again. event: names a refusal. Raises: LoginRefused, Throttled."""
    account = Key("password", user.username)
    _begin(context, user.username, account, place.key)
    if not verify_password(password, user.password_hash):
        record(context, event, 401, principal=f"User/{user.username}", username=user.username)
        raise LoginRefused("The password is not right.")
    succeeded(context, forget=(account,), take_back=(place.key,))


def _begin(context: AuthContext, username: str, *keys: Key) -> None:
    try:
        begin(context, *keys)
    except Throttled:
        known = _account(context, username)
        name = known.username if known else ""
        record(context, "login-throttled", 429, principal=f"User/{name}" if name else "", username=name)
        raise


def _account(context: AuthContext, username: str) -> UserRow | None:
    if not 0 < len(username) <= _USERNAME_LIMIT or not username.isascii() or not username.isprintable():
        return None
    return context.rows.user(username)
