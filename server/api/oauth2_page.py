"""How a page of the authorization server is answered: template, session, and the headers of all of them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from flask import Response, make_response, render_template, request

from server.api.browser_words import browser_words
from server.auth.authorization_server import NO_STORE
from server.auth.context import AuthContext, record
from server.auth.sessions import COOKIE, Session, session_of
from server.auth.sign_in import Place
from server.auth.throttle import Throttled
from server.origin import address_key

COOKIE_FLAGS: dict[str, Any] = {"secure": True, "httponly": True, "path": "/"}
# What may stand in a CSP source: nothing that could end the directive.
_SOURCE = re.compile(r"[a-z][a-z0-9+.-]*:(//[A-Za-z0-9.:\[\]-]+)?")


def page(
    template: str,
    status: int = 200,
    *,
    target: str = "",
    frame_ancestors: tuple[str, ...] = (),
    session: Session | None = None,
    **values: Any,
) -> Response:
    """A page of ours.

    target: CSP source that a form of the page may end up at by redirect. frame_ancestors: who may frame it.
    """
    response = make_response(render_template(f"oauth2/{template}", session=session, **values), status)
    response.headers.update(NO_STORE)
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'self' " + f"{target}; {framing(frame_ancestors)}"
    )
    # Forms of the same origin then carry their Origin header; nothing reaches other sites.
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def session_page(template: str, session: Session | None, status: int = 200, **values: Any) -> Response:
    """A page that knows who is signed in."""
    return page(template, status, session=session, csrf=session.csrf if session else "", **values)


def current_session(context: AuthContext) -> Session | None:
    """The session of the request's cookie."""
    return session_of(context, request.cookies.get(COOKIE))


def place() -> Place:
    """Where the request comes from, for signing in."""
    return Place(address_key(request.remote_addr or ""), browser_words(request.headers.get("User-Agent", "")))


def expired_page(context: AuthContext) -> Response:
    """A form that did not come from a page of the session; audited where there is one."""
    session = current_session(context)
    if session is not None:
        record(
            context,
            "form-refused",
            403,
            principal=session.fhir_user or f"User/{session.username}",
            username=session.username,
            detail=request.endpoint or "",
        )
    return session_page(
        "error.html",
        session,
        403,
        heading="This page has expired",
        text="Go back, reload the page and try again.",
    )


def told_to_wait(response: Response, error: Throttled) -> Response:
    """The answer to too many failed attempts."""
    response.headers["Retry-After"] = str(error.seconds)
    return response


def waiting_words(error: Throttled) -> str:
    """What a page says of it."""
    minutes = -(-error.seconds // 60)
    wait = f"{error.seconds} seconds" if error.seconds < 90 else f"{minutes} minutes"
    return f"Too many failed attempts. Wait {wait}, then try again."


def framing(frame_ancestors: tuple[str, ...]) -> str:
    """CSP's frame-ancestors for these origins, for nobody when there are none."""
    return "frame-ancestors " + (" ".join(frame_ancestors) or "'none'")


def form_target(redirect_uri: str) -> str:
    """The CSP source of a redirect URI, for forms whose answer redirects there; "" where it cannot be one."""
    try:
        parts = urlsplit(redirect_uri)
    except ValueError:
        return ""
    source = f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else f"{parts.scheme}:"
    return source if _SOURCE.fullmatch(source) else ""
