"""The way to an OpenID provider and back: to sign in, to connect it to an account, to be asked anew."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, request

from server.api.login_pages import hold, signed_in
from server.api.oauth2_page import COOKIE_FLAGS, current_session, place, session_page
from server.api.return_path import safe_next
from server.auth.authorization_server import NO_STORE
from server.auth.context import AuthContext
from server.auth.external_provider import CALLBACK_PATH, ExternalProvider
from server.auth.external_sign_in import (
    EXTERNAL_COOKIE,
    PROVE,
    SIGN_IN,
    ExternalRefused,
    arrive,
    set_out,
)
from server.auth.sessions import COOKIE, Session
from server.auth.sign_in import Opened

_SAME_SITE = ("same-origin", "none")
_ANSWER = ("code", "state", "iss", "error")


def register_external_pages(blueprint: Blueprint, context: AuthContext, provider: ExternalProvider) -> None:
    """Add the start of a sign-in, and the address that the provider sends people back to."""

    @blueprint.get("/oauth2/external/start")
    def external_start() -> Response:
        # Another site must not sign a browser in here, by whatever the person has open there.
        if request.headers.get("Sec-Fetch-Site", "none") not in _SAME_SITE:
            return make_response(redirect("/oauth2/login", 303))
        try:
            after = safe_next(request.args.get("next", ""))
            journey = set_out(context, provider, SIGN_IN, after, again="again" in request.args)
        except ExternalRefused as refusal:
            return _problem(context, refusal)
        response = make_response(redirect(journey.url, 303))
        response.headers.update(NO_STORE)
        response.set_cookie(EXTERNAL_COOKIE, journey.cookie, samesite="Lax", **COOKIE_FLAGS)
        return response

    @blueprint.get(CALLBACK_PATH)
    def external_callback() -> Response:
        given = {name: request.args.getlist(name) for name in _ANSWER}
        # A parameter that is given twice means nothing (RFC 6749 section 3.1).
        answer = {name: values[0] for name, values in given.items() if len(values) == 1}
        session_cookie = request.cookies.get(COOKIE, "")
        try:
            arrived = arrive(
                context,
                provider,
                answer,
                request.cookies.get(EXTERNAL_COOKIE),
                current_session(context),
                session_cookie,
                place(),
            )
        except ExternalRefused as refusal:
            response = _problem(context, refusal)
        else:
            if arrived.purpose == PROVE and isinstance(arrived.outcome, Opened):
                response = make_response(redirect(arrived.after, 303))
                hold(response, arrived.outcome.cookie)
            elif arrived.outcome is None:
                response = make_response(redirect(arrived.after, 303))
            else:
                response = signed_in(context, arrived.outcome, arrived.after)
        response.delete_cookie(EXTERNAL_COOKIE, samesite="Lax", **COOKIE_FLAGS)
        return response


def leave_for(
    context: AuthContext, provider: ExternalProvider, purpose: str, after: str, session: Session
) -> Response:
    """A page that leads to the provider: a form of ours may end at no other site, a link may."""
    try:
        journey = set_out(context, provider, purpose, after, session)
    except ExternalRefused as refusal:
        return _problem(context, refusal)
    response = session_page(
        "external.html", session, url=journey.url, provider=provider.settings.name, purpose=purpose
    )
    response.set_cookie(EXTERNAL_COOKIE, journey.cookie, samesite="Lax", **COOKIE_FLAGS)
    return response


def _problem(context: AuthContext, refusal: ExternalRefused) -> Response:
    return session_page(
        "external_refused.html", current_session(context), 403, text=str(refusal), subject=refusal.subject
    )
