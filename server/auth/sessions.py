"""Sessions of people on the server's own pages: opened, looked up, renewed, ended. No web framework.

A session is a row; the browser holds only an opaque value in a cookie, another one whenever the session gains
something, so that no value from before is good after. It ends after 15 idle minutes, after 12 hours, at
sign-out, or when the account is disabled or changed.
Sources: OWASP Session Management cheat sheet, NIST SP 800-63B section 7.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.auth.context import AuthContext, record
from server.auth.credentials import keyed_hash
from server.auth.open_charts import open_emergencies
from server.auth.partners import PartnerClosed, acting_for, may_act
from server.storage.authorization import BrowserSessionRow, UserRow

COOKIE = "__Host-baton-web"
AREA = "login"
# Writing every use of a session would cost a transaction a page; a minute's error is harmless.
_TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Session:
    """A person signed in. fhir_user: "Practitioner/id" or None. csrf: what the session's forms carry.

    session_hash: names the login for as long as it lasts. proved: when the person last proved who they are.
    organization, purpose: of the partner whose person this is; emergencies: as in Principal.
    """

    session_hash: bytes
    username: str
    display: str
    role: str
    fhir_user: str | None
    created: datetime
    csrf: str
    proved: datetime
    organization: str | None = None
    purpose: str = ""
    emergencies: tuple[tuple[str, datetime], ...] = ()

    @property
    def principal(self) -> str:
        """Whom the audit trail names."""
        return self.fhir_user or f"User/{self.username}"

    def is_csrf(self, value: str) -> bool:
        """Whether a form came from one of this session's own pages."""
        return hmac.compare_digest(self.csrf.encode(), value.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Login:
    """One of the places where somebody is signed in. key: names it in a form. browser: in words, "" unknown."""

    key: str
    browser: str
    since: datetime
    last_used: datetime
    current: bool


def fhir_user(user: UserRow) -> str | None:
    """The user as a FHIR resource, None where the account has none."""
    return f"Practitioner/{user.practitioner_id}" if user.practitioner_id else None


def may_sign_in(context: AuthContext, user: UserRow) -> bool:
    """Whether the account is one that people are signed in by, at every step and with every request.

    One of a partner is only as long as the partner may act.
    """
    return not user.disabled and may_act(context, "", user.username)


def open_session(context: AuthContext, user: UserRow, *, method: str, browser: str) -> str:
    """Sign somebody in who has proved who they are; the value of the session cookie.

    method: how, for the audit trail. browser: in words, for the person's own list.
    """
    value, now = context.new_secret(), context.clock()
    with context.rows.transaction():
        context.rows.add_browser_session(
            BrowserSessionRow(
                session_hash=context.hash(value),
                area=AREA,
                username=user.username,
                created=now,
                last_used=now,
                expires=now + context.lifetimes.session_absolute,
                data={"browser": browser},
            )
        )
        record(
            context,
            "login",
            200,
            principal=fhir_user(user) or f"User/{user.username}",
            username=user.username,
            detail=method,
        )
    return value


def session_of(context: AuthContext, cookie: str | None, *, keeps_alive: bool = True) -> Session | None:
    """The session of a cookie value, None when there is none in force.

    keeps_alive: whether this counts as use; a page that looks for news by itself is no use.
    """
    row = live_row(context, cookie, AREA)
    user = context.rows.user(row.username) if row else None
    if row is None or cookie is None or user is None or user.disabled:
        return None
    try:
        acting = acting_for(context, "", user.username)
    except PartnerClosed:
        return None
    now = context.clock()
    if keeps_alive and now - row.last_used >= _TOUCH_EVERY:
        context.rows.touch_browser_session(row.session_hash, now)
    proved = row.data.get("proved")
    return Session(
        session_hash=row.login,
        username=user.username,
        display=user.display or user.username,
        role=user.role,
        fhir_user=fhir_user(user),
        created=row.created,
        csrf=csrf_token(context, cookie),
        proved=datetime.fromisoformat(proved) if proved else row.created,
        organization=acting.organization if acting is not None else None,
        purpose=acting.purpose if acting is not None else "",
        emergencies=open_emergencies(context, fhir_user(user)),
    )


def csrf_token(context: AuthContext, cookie: str) -> str:
    """What forms carry that are shown to the browser which holds this cookie value."""
    return keyed_hash(context.token_key, f"csrf {cookie}").hex()


def live_row(context: AuthContext, cookie: str | None, area: str) -> BrowserSessionRow | None:
    """The row of a cookie value, of a login or of a step on the way to one; None when there is none in
    force."""
    if not cookie or len(cookie) > 256 or not cookie.isascii():
        return None
    row = context.rows.browser_session(context.hash(cookie))
    return row if row and row.area == area and _is_live(context, row) else None


def is_alive(context: AuthContext, session_hash: bytes) -> bool:
    """Whether a login is still in force; asking does not keep it alive."""
    row = context.rows.browser_session_of(session_hash)
    return row is not None and row.area == AREA and _is_live(context, row)


def _is_live(context: AuthContext, row: BrowserSessionRow) -> bool:
    now = context.clock()
    return row.expires > now and now - row.last_used <= context.lifetimes.session_idle


def renew(context: AuthContext, cookie: str) -> str | None:
    """The session of a cookie has proved anew who it is: the value its browser holds from now on, the old one
    being worth nothing. None where the session has ended meanwhile."""
    row = live_row(context, cookie, AREA)
    if row is None:
        return None
    value, now = context.new_secret(), context.clock()
    data = {**row.data, "proved": now.isoformat()}
    renewed = context.rows.renew_browser_session(row.session_hash, context.hash(value), now, data)
    return value if renewed else None


def is_fresh(context: AuthContext, session: Session) -> bool:
    """Whether the person proved recently enough who they are for what is dangerous."""
    return context.clock() - session.proved <= context.lifetimes.proof


def logins(context: AuthContext, session: Session) -> tuple[Login, ...]:
    """Where the person is signed in, the latest used first."""
    return tuple(
        Login(
            key=row.login.hex(),
            browser=str(row.data.get("browser", "")),
            since=row.created,
            last_used=row.last_used,
            current=row.login == session.session_hash,
        )
        for row in context.rows.browser_sessions(session.username)
        if row.area == AREA and _is_live(context, row)
    )


def log_out(context: AuthContext, session: Session) -> None:
    """End a session at once, with the online access that came from it."""
    with context.rows.transaction():
        _end(context, session, (session.session_hash,))
        record(context, "logout", 200, principal=session.principal, username=session.username)


def end_logins(context: AuthContext, session: Session, keys: Iterable[str]) -> int:
    """End other logins of the person, as `logins` names them; how many. Unknown names are passed over."""
    mine = {row.login.hex(): row.login for row in context.rows.browser_sessions(session.username)}
    ending = [mine[key] for key in keys if key in mine]
    with context.rows.transaction():
        _end(context, session, ending)
        record(
            context,
            "session-end",
            200,
            principal=session.principal,
            username=session.username,
            detail=str(len(ending)),
        )
    return len(ending)


def _end(context: AuthContext, session: Session, endings: Iterable[bytes]) -> None:
    ended = {login.hex() for login in endings}
    for login in ended:
        context.rows.end_browser_session(bytes.fromhex(login))
    context.rows.revoke_grants(
        [
            grant.grant_id
            for grant in context.rows.grants(username=session.username)
            if grant.revoked is None
            and "offline_access" not in grant.scope.split()
            and grant.context.get("session") in ended
        ],
        context.clock(),
    )
