"""Signing in by an OpenID provider: out with a state that this browser alone can bring back, and in by an
account that somebody linked.

Everything that travels (state, nonce, PKCE verifier) is derived from a secret in the browser's cookie; a row
says what the journey was for, and is taken away by the first answer, so that none is good twice. Sources:
OpenID Connect Core 1.0 section 3.1.2, RFC 6749 section 10.12, RFC 9207, RFC 9700 section 4.4 (mix-up)
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.auth.accounts import AccountError
from server.auth.context import AuthContext, record
from server.auth.credentials import keyed_hash
from server.auth.external_identities import account_of, link
from server.auth.external_provider import ExternalProvider, ProviderFault
from server.auth.id_tokens import Identity
from server.auth.sessions import Session, live_row, may_sign_in, renew
from server.auth.sign_in import Opened, Outcome, Place, first_step_done
from server.storage.authorization import BrowserSessionRow

EXTERNAL_COOKIE = "__Host-baton-external"
SIGN_IN, LINK, PROVE = "sign-in", "link", "prove"
_AREA = "external"
_SKEW = timedelta(seconds=60)
# What a provider's error may be called in the audit trail (RFC 6749 section 4.1.2.1).
_ERROR = re.compile(r"[a-z_]{1,40}")
_CODE_LIMIT = 4_096
# RFC 8176: more than one proof, or one that is two by itself.
_SECOND_FACTOR_METHODS = frozenset({"mfa"})


class ExternalRefused(Exception):
    """The sign-in elsewhere did not succeed; the text is for the person. subject: to be linked, "" for none."""

    def __init__(self, text: str, subject: str = "") -> None:
        super().__init__(text)
        self.subject = subject


@dataclass(frozen=True, slots=True)
class Journey:
    """Where the browser goes, and what it holds meanwhile."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """The answer was right. outcome: of a sign-in or a renewed proof, None of a link. after: where it leads."""

    purpose: str
    outcome: Outcome | None
    after: str


def set_out(
    context: AuthContext,
    provider: ExternalProvider,
    purpose: str,
    after: str,
    session: Session | None = None,
    *,
    again: bool = False,
) -> Journey:
    """Begin a journey to the provider. session: whose identity is to be linked or proved anew. again: the
    person is to be asked there, signed in there or not; a proof always is.

    Raises: ExternalRefused.
    """
    cookie, now = context.new_secret(), context.clock()
    again = again or purpose == PROVE
    try:
        url = provider.authorization_url(
            state=_derived(context, "state", cookie),
            nonce=_derived(context, "nonce", cookie),
            verifier=_derived(context, "verifier", cookie),
            again=again,
        )
    except ProviderFault as fault:
        raise _refused(context, fault.rule, session) from None
    context.rows.add_browser_session(
        BrowserSessionRow(
            session_hash=context.hash(cookie),
            area=_AREA,
            username=session.username if session else "",
            created=now,
            last_used=now,
            expires=now + context.lifetimes.sign_in_step,
            data={
                "purpose": purpose,
                "after": after,
                "again": again,
                "session": session.session_hash.hex() if session else "",
            },
        )
    )
    return Journey(url, cookie)


def arrive(
    context: AuthContext,
    provider: ExternalProvider,
    answer: Mapping[str, str],
    cookie: str | None,
    session: Session | None,
    session_cookie: str,
    place: Place,
) -> Arrived:
    """The provider sent the browser back. answer: the parameters. session: of the browser, if any.

    Raises: ExternalRefused.
    """
    row = live_row(context, cookie, _AREA)
    state = answer.get("state", "").encode("utf-8", "surrogatepass")
    if (
        row is None
        or cookie is None
        or not hmac.compare_digest(_derived(context, "state", cookie).encode(), state)
    ):
        raise _refused(context, "state", None)
    if not context.rows.end_browser_session(row.login):
        raise _refused(context, "state", None)
    purpose, after = str(row.data["purpose"]), str(row.data["after"])
    # A link or a proof belongs to the login that asked for it.
    if purpose != SIGN_IN and (session is None or session.session_hash.hex() != row.data["session"]):
        raise _refused(context, "session", session)
    identity = _identity(context, provider, answer, cookie, session)
    if purpose == LINK and session is not None:
        try:
            link(context, session.username, identity.issuer, identity.subject, principal=session.principal)
        except AccountError as error:
            raise _refused(context, "linked", session, f"It cannot be connected: {error}.") from None
        return Arrived(purpose, None, after)
    user = account_of(context, identity.issuer, identity.subject)
    if user is None:
        raise _refused(context, "not-linked", None, subject=identity.subject)
    if not may_sign_in(context, user):
        raise _refused(context, "disabled", None)
    if row.data["again"] and not _is_new(identity, row.created):
        raise _refused(context, "auth_time", session)
    if purpose == PROVE and session is not None:
        if user.username != session.username:
            raise _refused(context, "proof", session)
        value = renew(context, session_cookie)
        if value is None:
            raise _refused(context, "session", session)
        record(context, "proof", 200, principal=session.principal, username=user.username, detail="external")
        return Arrived(purpose, Opened(value), after)
    vouched = provider.settings.asks_second_factor or bool(
        _SECOND_FACTOR_METHODS.intersection(identity.methods)
    )
    return Arrived(purpose, first_step_done(context, user, "external", place, second_proved=vouched), after)


def _identity(
    context: AuthContext,
    provider: ExternalProvider,
    answer: Mapping[str, str],
    cookie: str,
    session: Session | None,
) -> Identity:
    try:
        provider.check_issuer(answer.get("iss"))
        if "error" in answer:
            error = answer["error"]
            raise ProviderFault(error if _ERROR.fullmatch(error) else "error")
        code = answer.get("code", "")
        if not 0 < len(code) <= _CODE_LIMIT or not code.isascii() or not code.isprintable():
            raise ProviderFault("code")
        return provider.identity(
            code, verifier=_derived(context, "verifier", cookie), nonce=_derived(context, "nonce", cookie)
        )
    except ProviderFault as fault:
        raise _refused(context, fault.rule, session) from None


def _is_new(identity: Identity, begun: datetime) -> bool:
    """Whether the person was asked after the journey began, as max_age=0 asks for."""
    return identity.authenticated is not None and identity.authenticated >= begun - _SKEW


def _derived(context: AuthContext, what: str, cookie: str) -> str:
    """64 characters that a PKCE verifier may have, too."""
    return keyed_hash(context.token_key, f"external {what} {cookie}").hex()


_TEXTS = {
    "not-linked": "Your sign-in there is right, but it is not connected to an account here yet. Ask whoever "
    "administers Baton to connect it, or sign in with your password and connect it under Your account.",
    "disabled": "Your account here is shut. Ask whoever administers Baton.",
    "access_denied": "The sign-in was called off.",
    "state": "This sign-in has expired, was used before, or began in another browser. Start again.",
}
_OTHERWISE = (
    "The sign-in could not be completed. Start again; if it happens again, tell whoever administers Baton."
)


def _refused(
    context: AuthContext, rule: str, session: Session | None, text: str = "", subject: str = ""
) -> ExternalRefused:
    """Audited; the subject is told to the person alone."""
    record(
        context,
        "login-external-refused",
        403,
        principal=session.principal if session else "",
        username=session.username if session else "",
        detail=rule,
    )
    return ExternalRefused(text or _TEXTS.get(rule, _OTHERWISE), subject)
