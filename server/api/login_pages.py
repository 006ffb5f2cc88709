"""Sign-in and sign-out of staff: a password, then a code where the account has or needs a second factor.

Every form carries a token that only our pages can know: the session's or the step's, or before there is one
that of a cookie which no other site can send. Each step has a cookie value of its own.
Sources: OWASP Cross-Site Request Forgery Prevention and Session Management cheat sheets.
"""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs, urlencode, urlsplit

from flask import Blueprint, Response, make_response, redirect, request

from server.api.oauth2_page import (
    COOKIE_FLAGS,
    current_session,
    expired_page,
    page,
    place,
    told_to_wait,
    waiting_words,
)
from server.api.return_path import hinted, safe_next, target_of
from server.auth.authorization_server import NO_STORE
from server.auth.context import AuthContext, record
from server.auth.credentials import keyed_hash, new_secret
from server.auth.external_provider import ExternalProvider
from server.auth.second_factor import CodeRefused
from server.auth.sessions import COOKIE, csrf_token, log_out
from server.auth.sign_in import (
    CODE,
    STEP_COOKIE,
    LoginRefused,
    MoreAsked,
    Outcome,
    Step,
    log_in,
    second_step,
    step_of,
)
from server.auth.throttle import Throttled

CODE_PAGE, ENROL_PAGE = "/oauth2/second-factor", "/oauth2/second-factor/set-up"
_LOGIN_COOKIE = "__Host-baton-login"
# Why somebody is asked to sign in (`because`): what the page says of it.
_BECAUSE = {
    "signed-out": "You are signed out.",
    "ended": "Your session has ended. Sign in to go on where you were.",
    "step": "The sign-in took too long. Start again.",
}


def register_login_pages(
    blueprint: Blueprint, context: AuthContext, provider: ExternalProvider | None, *, demo: bool
) -> None:
    """Add the pages from the sign-in to the session, and the way out. demo: says where the passwords stand."""
    views = _Views(context, provider, demo)
    blueprint.add_url_rule("/oauth2/login", "login_page", views.login_page)
    blueprint.add_url_rule("/oauth2/login", "login", views.login, methods=["POST"])
    blueprint.add_url_rule(CODE_PAGE, "code_page", views.code_page)
    blueprint.add_url_rule(CODE_PAGE, "code", views.code, methods=["POST"])
    blueprint.add_url_rule("/oauth2/logout", "logout", views.logout, methods=["POST"])


def signed_in(context: AuthContext, outcome: Outcome, after: str) -> Response:
    """The way on after a step: to the page that was wanted, or to the next step."""
    if isinstance(outcome, MoreAsked):
        way = CODE_PAGE if outcome.step == CODE else ENROL_PAGE
        response = make_response(redirect(f"{way}?{urlencode({'next': after})}", 303))
        response.set_cookie(STEP_COOKIE, outcome.cookie, samesite="Lax", **COOKIE_FLAGS)
    else:
        response = make_response(redirect(after, 303))
        give_session(context, response, outcome.cookie)
    response.headers.update(NO_STORE)
    return response


def give_session(context: AuthContext, response: Response, value: str) -> None:
    """Let the browser hold this session in place of what it held; what it was signed in by before ends."""
    before = current_session(context)
    if before is not None:
        log_out(context, before)
    hold(response, value)
    response.delete_cookie(_LOGIN_COOKIE, samesite="Strict", **COOKIE_FLAGS)
    response.delete_cookie(STEP_COOKIE, samesite="Lax", **COOKIE_FLAGS)


def hold(response: Response, value: str) -> None:
    """The session's cookie."""
    response.set_cookie(COOKIE, value, samesite="Lax", **COOKIE_FLAGS)


def back_to_login(after: str) -> Response:
    """The step that was asked for is over."""
    return make_response(redirect(f"/oauth2/login?{urlencode({'next': after, 'because': 'step'})}", 303))


class _Views:
    def __init__(self, context: AuthContext, provider: ExternalProvider | None, demo: bool) -> None:
        self._context = context
        self._provider = provider
        self._demo = demo

    def login_page(self) -> Response:
        after = safe_next(request.args.get("next", ""))
        # `again`: the client asked for a fresh sign-in, so an existing one does not do.
        if "again" not in request.args and current_session(self._context) is not None:
            return make_response(redirect(after, 303))
        because = request.args.get("because", "")
        note = _BECAUSE.get(because, "")
        return self._show(after, hinted(after), "", 200, note, signed_out=because == "signed-out")

    def login(self) -> Response:
        after = safe_next(request.form.get("next", ""))
        username = request.form.get("username", "").strip()
        cookie, sent = request.cookies.get(_LOGIN_COOKIE, ""), request.form.get("csrf", "")
        if not cookie or not hmac.compare_digest(
            self._token(cookie).encode(), sent.encode("utf-8", "surrogatepass")
        ):
            record(self._context, "login-refused", 403, detail="form")
            text = "This page had expired, or the browser refuses cookies. Try again."
            return self._show(after, "", text, 403)
        try:
            outcome = log_in(self._context, username, request.form.get("password", ""), place())
        except LoginRefused as refusal:
            return self._show(after, username[:64], str(refusal), 401)
        except Throttled as error:
            return told_to_wait(self._show(after, username[:64], waiting_words(error), 429), error)
        return signed_in(self._context, outcome, after)

    def code_page(self) -> Response:
        after, step = safe_next(request.args.get("next", "")), self._step()
        if step is None:
            return back_to_login(after)
        if step.kind != CODE:
            return make_response(redirect(f"{ENROL_PAGE}?{urlencode({'next': after})}", 303))
        return self._ask_code(after, "", 200)

    def code(self) -> Response:
        after, step = safe_next(request.form.get("next", "")), self._step()
        if step is None or step.kind != CODE:
            return back_to_login(after)
        sent = request.form.get("csrf", "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(self._step_token().encode(), sent):
            return expired_page(self._context)
        try:
            value = second_step(self._context, step, request.form.get("code", ""), place())
        except CodeRefused as refusal:
            return self._ask_code(after, str(refusal), 401)
        except Throttled as error:
            return told_to_wait(self._ask_code(after, waiting_words(error), 429), error)
        except LoginRefused:
            return back_to_login(after)
        response = make_response(redirect(after, 303))
        response.headers.update(NO_STORE)
        give_session(self._context, response, value)
        return response

    def logout(self) -> Response:
        session = current_session(self._context)
        if session is not None:
            if not session.is_csrf(request.form.get("csrf", "")):
                return expired_page(self._context)
            log_out(self._context, session)
        response = make_response(redirect("/oauth2/login?because=signed-out", 303))
        response.delete_cookie(COOKIE, samesite="Lax", **COOKIE_FLAGS)
        return response

    def _show(
        self, after: str, username: str, failure: str, status: int, note: str = "", *, signed_out: bool = False
    ) -> Response:
        cookie = request.cookies.get(_LOGIN_COOKIE, "")
        if not 16 <= len(cookie) <= 64:
            cookie = new_secret()
        provider, back = self._provider, self._context.base_url + "/oauth2/login"
        response = page(
            "login.html",
            status,
            target=target_of(after),
            csrf=self._token(cookie),
            next=after,
            username=username,
            failure=failure,
            note=note,
            client_name=self._client_name(after),
            demo=self._demo,
            provider=provider.settings.name if provider else "",
            again="1" if "again" in request.values else None,
            sign_out_there=provider.end_session_url(back) if provider and signed_out else "",
        )
        response.set_cookie(_LOGIN_COOKIE, cookie, samesite="Strict", **COOKIE_FLAGS)
        return response

    def _ask_code(self, after: str, failure: str, status: int) -> Response:
        return page(
            "second_factor.html",
            status,
            target=target_of(after),
            csrf=self._step_token(),
            next=after,
            failure=failure,
        )

    def _step(self) -> Step | None:
        return step_of(self._context, request.cookies.get(STEP_COOKIE))

    def _step_token(self) -> str:
        return csrf_token(self._context, request.cookies.get(STEP_COOKIE, ""))

    def _token(self, cookie: str) -> str:
        return keyed_hash(self._context.token_key, f"login {cookie}").hex()

    def _client_name(self, after: str) -> str:
        """The registered app that a sign-in leads to, "" where it leads to none."""
        client_id = parse_qs(urlsplit(after).query).get("client_id", [""])[0]
        client = self._context.rows.client(client_id) if after.startswith("/oauth2/authorize?") else None
        return client.name if client and not client.disabled else ""
