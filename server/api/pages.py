"""The authorization server's own pages: sign-in, sign-out, the person's account, granted access.

No script anywhere.
Source: W3C Content Security Policy Level 3.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, redirect, request

from server.api.account_pages import register_account_pages
from server.api.authorize_pages import register_authorize_pages
from server.api.choice_search import Perform
from server.api.enrolment_pages import register_enrolment_pages
from server.api.external_pages import register_external_pages
from server.api.link_pages import register_link_pages
from server.api.login_pages import register_login_pages
from server.api.oauth2_page import current_session, expired_page, session_page
from server.api.observability import request_id
from server.api.scope_words import held_groups
from server.auth.authorization_server import AuthorizationServer
from server.auth.context import AuthContext
from server.auth.external_provider import ExternalProvider
from server.auth.tokens import standing_grants, withdraw_grant

_BODY_LIMIT = 131_072


def pages_blueprint(
    server: AuthorizationServer,
    perform: Perform,
    *,
    provider: ExternalProvider | None = None,
    demo: bool = False,
) -> Blueprint:
    """All pages, for `create_app` to register at the root. perform: one FHIR interaction of a principal.

    provider: that staff may sign in by. demo: the sign-in page says where the demonstration's passwords stand.
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
    register_login_pages(blueprint, context, provider, demo=demo)
    register_enrolment_pages(blueprint, context)
    register_account_pages(blueprint, context, provider)
    if provider is not None:
        register_external_pages(blueprint, context, provider)
    _register_grants(blueprint, context)
    return blueprint


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
            return expired_page(context)
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
            "online": "online_access" in grants[0].scope.split(),
            "identity": "openid" in grants[0].scope.split(),
            "groups": held_groups(grants[0].scope),
        }
        for grants in standing_grants(context, username)
    ]
