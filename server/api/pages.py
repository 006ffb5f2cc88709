"""The authorization server's own pages: sign-in, sign-out, granted access, and how a page of it is made.

No script anywhere. Every form carries a token that only our pages can know: the session's, or before there is
one that of a cookie which no other site can send.
Sources: OWASP Cross-Site Request Forgery Prevention cheat sheet, W3C Content Security Policy Level 3.
"""

from __future__ import annotations

import hmac
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from flask import Blueprint, Response, make_response, redirect, request

from server.api.authorize_pages import register_authorize_pages
from server.api.link_pages import register_link_pages
from server.api.oauth2_page import current_session, form_target, page, session_page
from server.api.observability import request_id
from server.api.patient_choice import Perform
from server.api.scope_words import consent_groups
from server.auth.authorization_server import NO_STORE, AuthorizationServer
from server.auth.context import AuthContext
from server.auth.credentials import keyed_hash, new_secret
from server.auth.sessions import COOKIE, AddressThrottle, LoginRefused, log_in, log_out
from server.auth.tokens import standing_grants, withdraw_grant

_LOGIN_COOKIE = "__Host-baton-login"
_COOKIE_FLAGS: dict[str, Any] = {"secure": True, "httponly": True, "path": "/"}
_BODY_LIMIT = 131_072
# Where a sign-in may lead: pages of ours, never another site.
_AFTER_LOGIN = ("/oauth2/authorize?", "/oauth2/grants", "/oauth2/links/", "/console", "/ehr")
_HOME = "/oauth2/grants"
# Why somebody is asked to sign in (`because`): what the page says of it.
_BECAUSE = {
    "signed-out": "You are signed out.",
    "ended": "Your session has ended. Sign in to go on where you were.",
}


def pages_blueprint(server: AuthorizationServer, perform: Perform, *, demo: bool = False) -> Blueprint:
    """All pages, for `create_app` to register at the root. perform: one FHIR interaction of a principal.

    demo: the sign-in page says where the demonstration's passwords stand.
    """
    context = server.context
    blueprint = Blueprint(
        "oauth2_pages",
        __name__,
        template_folder="templates",
        static_folder="static",
        static_url_path="/oauth2/static",
    )

    @blueprint.before_request
    def limit() -> None:
        request.max_content_length = _BODY_LIMIT

    register_authorize_pages(blueprint, server, perform)
    register_link_pages(blueprint, context, perform)
    _register_login(blueprint, context, demo)
    _register_grants(blueprint, context)
    return blueprint


def _register_login(blueprint: Blueprint, context: AuthContext, demo: bool) -> None:
    throttle = AddressThrottle(context.clock)

    def login_token(cookie: str) -> str:
        return keyed_hash(context.token_key, f"login {cookie}").hex()

    def client_name(after: str) -> str:
        """The registered app that a sign-in leads to, "" where it leads to none."""
        client_id = parse_qs(urlsplit(after).query).get("client_id", [""])[0]
        client = context.rows.client(client_id) if after.startswith("/oauth2/authorize?") else None
        return client.name if client and not client.disabled else ""

    def sign_in_page(after: str, username: str, failure: str, status: int, note: str = "") -> Response:
        cookie = request.cookies.get(_LOGIN_COOKIE, "")
        if not 16 <= len(cookie) <= 64:
            cookie = new_secret()
        response = page(
            "login.html",
            status,
            target=_target_of(after),
            csrf=login_token(cookie),
            next=after,
            username=username,
            failure=failure,
            note=note,
            client_name=client_name(after),
            demo=demo,
        )
        response.set_cookie(_LOGIN_COOKIE, cookie, samesite="Strict", **_COOKIE_FLAGS)
        return response

    @blueprint.get("/oauth2/login")
    def login_page() -> Response:
        after = _safe_next(request.args.get("next", ""))
        # `again`: the client asked for a fresh sign-in, so an existing one does not do.
        if "again" not in request.args and current_session(context) is not None:
            return make_response(redirect(after, 303))
        return sign_in_page(after, "", "", 200, _BECAUSE.get(request.args.get("because", ""), ""))

    @blueprint.post("/oauth2/login")
    def login() -> Response:
        after = _safe_next(request.form.get("next", ""))
        username = request.form.get("username", "").strip()
        cookie, sent = request.cookies.get(_LOGIN_COOKIE, ""), request.form.get("csrf", "")
        if not cookie or not hmac.compare_digest(
            login_token(cookie).encode(), sent.encode("utf-8", "surrogatepass")
        ):
            text = "This page had expired, or the browser refuses cookies. Try again."
            return sign_in_page(after, "", text, 403)
        try:
            password = request.form.get("password", "")
            value = log_in(context, throttle, username, password, request.remote_addr or "")
        except LoginRefused as refusal:
            return sign_in_page(after, username[:64], str(refusal), 401)
        before = current_session(context)
        if before is not None:
            log_out(context, before)
        response = make_response(redirect(after, 303))
        response.headers.update(NO_STORE)
        response.set_cookie(COOKIE, value, samesite="Lax", **_COOKIE_FLAGS)
        response.delete_cookie(_LOGIN_COOKIE, samesite="Strict", **_COOKIE_FLAGS)
        return response

    @blueprint.post("/oauth2/logout")
    def logout() -> Response:
        session = current_session(context)
        if session is not None:
            if not session.is_csrf(request.form.get("csrf", "")):
                return _expired(context)
            log_out(context, session)
        response = make_response(redirect("/oauth2/login?because=signed-out", 303))
        response.delete_cookie(COOKIE, samesite="Lax", **_COOKIE_FLAGS)
        return response


def _register_grants(blueprint: Blueprint, context: AuthContext) -> None:
    @blueprint.get("/oauth2/grants")
    def grants() -> Response:
        session = current_session(context)
        if session is None:
            return make_response(redirect(f"/oauth2/login?{urlencode({'next': '/oauth2/grants'})}", 303))
        return session_page("grants.html", session, grants=_granted(context, session.username))

    @blueprint.post("/oauth2/grants/withdraw")
    def withdraw() -> Response:
        session = current_session(context)
        if session is None or not session.is_csrf(request.form.get("csrf", "")):
            return _expired(context)
        for grant_id in request.form.getlist("grant"):
            withdraw_grant(context, session.username, grant_id, request_id(request.environ))
        return make_response(redirect("/oauth2/grants", 303))


def _granted(context: AuthContext, username: str) -> list[dict[str, Any]]:
    """What programs have in a user's name, one row for what a program has alike from several launches."""
    names = {client.client_id: client.name for client in context.rows.clients()}
    return [
        {
            "ids": [grant.grant_id for grant in grants],
            "client_name": names.get(grants[0].client_id, grants[0].client_id),
            "since": f"{grants[-1].created:%Y-%m-%d %H:%M} UTC",
            "offline": "offline_access" in grants[0].scope.split(),
            "groups": consent_groups(grants[0].scope.split()),
        }
        for grants in standing_grants(context, username)
    ]


def _expired(context: AuthContext) -> Response:
    return session_page(
        "error.html",
        current_session(context),
        403,
        heading="This page has expired",
        text="Go back, reload the page and try again.",
    )


def _safe_next(path: str) -> str:
    allowed = path.isascii() and path.isprintable() and "\\" not in path
    return path if allowed and path.startswith(_AFTER_LOGIN) else _HOME


def _target_of(after: str) -> str:
    """The client's origin, where signing in may lead straight on to it."""
    uris = parse_qs(urlsplit(after).query).get("redirect_uri", [])
    return form_target(uris[0]) if len(uris) == 1 else ""
