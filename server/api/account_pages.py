"""The person's own account: password, second factor, where they are signed in, the provider they sign in by.

What changes how somebody signs in asks anew who it is, where that was not just shown (`/oauth2/proof`).
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, redirect, request

from server.api.enrolment_pages import ACCOUNT_PAGE, PROOF_PAGE, recovery_page, to_proof
from server.api.external_pages import leave_for
from server.api.login_pages import ENROL_PAGE, hold
from server.api.oauth2_page import (
    current_session,
    expired_page,
    place,
    session_page,
    told_to_wait,
    waiting_words,
)
from server.api.return_path import safe_next
from server.auth.accounts import AccountError, change_password
from server.auth.context import AuthContext, record
from server.auth.external_identities import unlink
from server.auth.external_provider import ExternalProvider
from server.auth.external_sign_in import LINK, PROVE
from server.auth.second_factor import (
    CodeRefused,
    begin_enrolment,
    is_enrolled,
    is_needed,
    new_recovery_codes,
)
from server.auth.sessions import COOKIE, Session, end_logins, is_fresh, logins, open_session
from server.auth.sign_in import LoginRefused, check_password, proofs, prove
from server.auth.throttle import Throttled
from server.storage.authorization import UserRow

_TOLD = {
    "changed": "Your password is changed. You are signed out everywhere else.",
    "removed": "The second factor is turned off.",
    "ended": "Signed out there.",
    "linked": "Connected.",
    "unlinked": "Disconnected.",
}


def register_account_pages(
    blueprint: Blueprint, context: AuthContext, provider: ExternalProvider | None
) -> None:
    """Add the account page, what it leads to, and the page that asks anew who it is."""
    views = _Views(context, provider)
    for rule, name, view in (
        (ACCOUNT_PAGE, "account", views.account),
        (f"{ACCOUNT_PAGE}/password", "password_page", views.password_page),
        (PROOF_PAGE, "proof_page", views.proof_page),
    ):
        blueprint.add_url_rule(rule, name, view)
    for rule, name, form in (
        (f"{ACCOUNT_PAGE}/password", "password", views.password),
        (f"{ACCOUNT_PAGE}/second-factor", "account_second_factor", views.second_factor),
        (f"{ACCOUNT_PAGE}/sessions", "account_sessions", views.sessions),
        (f"{ACCOUNT_PAGE}/external", "account_external", views.external),
        (PROOF_PAGE, "proof", views.proof),
    ):
        blueprint.add_url_rule(rule, name, views.form(form), methods=["POST"])


class _Views:
    def __init__(self, context: AuthContext, provider: ExternalProvider | None) -> None:
        self._context = context
        self._provider = provider

    def form(self, view: Callable[[Session], Response]) -> Callable[[], Response]:
        """A form of a page of the session, and of no other."""

        def answer() -> Response:
            session = current_session(self._context)
            if session is None or not session.is_csrf(request.form.get("csrf", "")):
                return expired_page(self._context)
            return view(session)

        return answer

    def account(self) -> Response:
        session = current_session(self._context)
        if session is None:
            return _sign_in_first(ACCOUNT_PAGE)
        user, kept = self._user(session), self._context.store.sign_in
        provider = self._provider
        identities = kept.identities(session.username)
        linked = provider and any(row.issuer == provider.settings.issuer for row in identities)
        return session_page(
            "account.html",
            session,
            note=_TOLD.get(request.args.get("did", ""), ""),
            has_password=bool(user.password_hash),
            enrolled=is_enrolled(self._context, session.username),
            needed=is_needed(self._context, user),
            recovery_codes=kept.recovery_codes(session.username),
            logins=logins(self._context, session),
            provider=provider.settings.name if provider else "",
            linked=linked,
        )

    def password_page(self) -> Response:
        session = current_session(self._context)
        if session is None:
            return _sign_in_first(f"{ACCOUNT_PAGE}/password")
        return self._ask_password(session, "", 200)

    def password(self, session: Session) -> Response:
        user, new = self._user(session), request.form.get("new", "")
        if new != request.form.get("again", ""):
            return self._ask_password(session, "The new password was typed in two different ways.", 422)
        try:
            check_password(self._context, user, request.form.get("password", ""), place(), "password-refused")
            change_password(self._context, session.username, new, principal=session.principal)
        except LoginRefused as refusal:
            return self._ask_password(session, str(refusal), 401)
        except Throttled as error:
            return told_to_wait(self._ask_password(session, waiting_words(error), 429), error)
        except AccountError as error:
            text = str(error)
            return self._ask_password(session, f"{text[:1].upper()}{text[1:]}.", 422)
        value = open_session(self._context, user, method="password-change", browser=place().browser)
        return _done("changed", value)

    def second_factor(self, session: Session) -> Response:
        if not is_fresh(self._context, session):
            return to_proof(ACCOUNT_PAGE)
        user, action = self._user(session), request.form.get("action", "")
        if action == "recovery" and is_enrolled(self._context, user.username):
            return recovery_page(new_recovery_codes(self._context, user), ACCOUNT_PAGE, session)
        if action == "remove" and not is_needed(self._context, user):
            with self._context.rows.transaction():
                self._context.store.sign_in.remove_second_factor(user.username)
                record(
                    self._context,
                    "second-factor-remove",
                    200,
                    principal=session.principal,
                    username=user.username,
                )
            return _done("removed")
        if action == "begin":
            begin_enrolment(self._context, user.username)
            return make_response(redirect(ENROL_PAGE, 303))
        return make_response(redirect(ACCOUNT_PAGE, 303))

    def sessions(self, session: Session) -> Response:
        keys = request.form.getlist("session")
        if "others" in request.form:
            keys = [login.key for login in logins(self._context, session) if not login.current]
        end_logins(self._context, session, keys)
        return _done("ended")

    def external(self, session: Session) -> Response:
        if self._provider is None:
            return make_response(redirect(ACCOUNT_PAGE, 303))
        if not is_fresh(self._context, session):
            return to_proof(ACCOUNT_PAGE)
        if request.form.get("action") != "unlink":
            return leave_for(self._context, self._provider, LINK, f"{ACCOUNT_PAGE}?did=linked", session)
        user = self._user(session)
        if user.password_hash:  # else nothing would be left to sign in by
            try:
                issuer = self._provider.settings.issuer
                unlink(self._context, user.username, issuer, principal=session.principal)
            except AccountError:
                return make_response(redirect(ACCOUNT_PAGE, 303))
            value = open_session(self._context, user, method="unlink", browser=place().browser)
            return _done("unlinked", value)
        return make_response(redirect(ACCOUNT_PAGE, 303))

    def proof_page(self) -> Response:
        after, session = safe_next(request.args.get("next", "")), current_session(self._context)
        if session is None:
            return _sign_in_first(after)
        if is_fresh(self._context, session):
            return make_response(redirect(after, 303))
        return self._ask_proof(session, after, "", 200)

    def proof(self, session: Session) -> Response:
        after = safe_next(request.form.get("next", ""))
        if "external" in request.form and self._provider is not None:
            return leave_for(self._context, self._provider, PROVE, after, session)
        if not proofs(self._context, session):
            return self._ask_proof(session, after, "", 200)
        typed, cookie = request.form.get("typed", ""), request.cookies.get(COOKIE, "")
        try:
            value = prove(self._context, session, cookie, typed, place())
        except (LoginRefused, CodeRefused) as refusal:
            return self._ask_proof(session, after, str(refusal), 401)
        except Throttled as error:
            return told_to_wait(self._ask_proof(session, after, waiting_words(error), 429), error)
        if value is None:
            return _sign_in_first(after)
        response = make_response(redirect(after, 303))
        hold(response, value)
        return response

    def _ask_proof(self, session: Session, after: str, failure: str, status: int) -> Response:
        kinds = proofs(self._context, session)
        return session_page(
            "proof.html",
            session,
            status,
            next=after,
            kind=kinds[0] if kinds else "",
            failure=failure,
            provider=self._provider.settings.name if self._provider else "",
        )

    def _ask_password(self, session: Session, failure: str, status: int) -> Response:
        has_password = bool(self._user(session).password_hash)
        return session_page("password.html", session, status, failure=failure, has_password=has_password)

    def _user(self, session: Session) -> UserRow:
        user = self._context.rows.user(session.username)
        if user is None:  # accounts are never deleted
            raise LookupError(session.username)
        return user


def _sign_in_first(after: str) -> Response:
    return make_response(redirect(f"/oauth2/login?{urlencode({'next': after})}", 303))


def _done(what: str, cookie: str = "") -> Response:
    response = make_response(redirect(f"{ACCOUNT_PAGE}?did={what}", 303))
    if cookie:
        hold(response, cookie)
    return response
