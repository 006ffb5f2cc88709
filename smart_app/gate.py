"""The door of every page: whose context a request belongs to, and whether it came from our own pages.

Every address under `/c/<launch>/` passes here before its view runs, so no view can forget it. What
opens a context is the browser's cookie or, where cookies are refused, the secret of the tab in the
header `X-Baton-Tab`. docs/explanation/app-sessions.md has the contract with the pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, g, redirect, request
from flask.typing import ResponseReturnValue

from smart_app.issuers import Issuers
from smart_app.problems import ProblemError
from smart_app.session import ChartContext, Sessions
from smart_app.settings import Settings

SESSION_COOKIE = "__Host-baton-app"
TAB_HEADER = "X-Baton-Tab"
CSRF_HEADER = "X-Baton-CSRF"
CSRF_FIELD = "csrf_token"
POLL_HEADER = "X-Baton-Poll"
SECRET_LENGTH = 43  # 256 bits in base64url; a shorter cookie is none of ours
# A key of the WSGI environment: (kind, text) of what the server in front has already turned away.
REFUSAL = "baton.refusal"
_OTHER_HOST = "baton.other_host"
_REFUSED = {
    "headers-too-large": "headers-too-large",
    "request-timeout": "too-slow",
    "throttled": "too-busy",
    "too-large": "too-large",
}
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors "
)


def current_context() -> ChartContext:
    """The context of the running request; only under `/c/<launch>/`."""
    context: ChartContext = g.context
    return context


def found_context() -> ChartContext | None:
    """The context, or None on a page outside of any."""
    return g.get("context")


def session_cookie() -> str:
    """The browser's secret as it was sent, "" without one."""
    value = request.cookies.get(SESSION_COOKIE, "")
    return value if len(value) >= SECRET_LENGTH else ""


def is_framed() -> bool:
    """Whether the browser says that it shows the answer in a frame."""
    return request.headers.get("Sec-Fetch-Dest") in ("iframe", "frame")


def set_secret_cookie(response: Response, name: str, value: str, *, seconds: int | None = None) -> None:
    """A cookie for this origin alone, sent also inside another site's frame, in that site's jar."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=True,
        httponly=True,
        samesite="None",
        partitioned=True,
    )


def may_be_framed_by(*origins: str) -> None:
    """Name the origins that may show this answer in a frame; otherwise all registered EHRs may."""
    g.frame_ancestors = origins


def install(app: Flask, settings: Settings, sessions: Sessions, issuers: Issuers) -> None:
    """Put the door in front of an app."""
    https = settings.app_url.startswith("https:")
    app.wsgi_app = _under_its_name(app.wsgi_app, settings.app_url)  # type: ignore[method-assign, assignment]

    @app.url_value_preprocessor
    def take_launch(endpoint: str | None, values: dict[str, Any] | None) -> None:
        g.launch = values.pop("launch", None) if values else None

    @app.url_defaults
    def give_launch(endpoint: str, values: dict[str, Any]) -> None:
        launch = g.get("launch")
        if launch and "launch" not in values and app.url_map.is_endpoint_expecting(endpoint, "launch"):
            values["launch"] = launch

    @app.before_request
    def check() -> ResponseReturnValue | None:
        if refusal := request.environ.get(REFUSAL):
            kind, text = refusal
            raise ProblemError(_REFUSED.get(kind, "bad-request"), what="request", log=text)
        if request.path == "/healthz":
            return None
        if _OTHER_HOST in request.environ:
            if request.method in SAFE_METHODS:
                query = quote(request.query_string, safe="/?:@!$&'()*+,;=-._~%")
                path = quote(request.path, safe="/:@!$&'()*+,;=-._~")
                return redirect(settings.app_url + path + ("?" + query if query else ""), 308)
            raise ProblemError("misdirected")
        if request.method not in SAFE_METHODS and not _is_same_origin(settings.app_url):
            raise ProblemError("form-expired")
        if g.launch is not None:
            _enter(g.launch, sessions)
        return None

    @app.after_request
    def protect(response: Response) -> Response:
        headers = response.headers
        if request.endpoint != "static":
            headers["Cache-Control"] = "no-store"
        ancestors = g.get("frame_ancestors") or _ancestors(issuers)
        headers["Content-Security-Policy"] = CONTENT_POLICY + (" ".join(ancestors) or "'none'")
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
        # Nothing of ours is part of another site's page; an EHR shows it in a frame, which this allows.
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        if https:
            headers["Strict-Transport-Security"] = "max-age=31536000"
        return response


def _under_its_name(application: WSGIApplication, app_url: str) -> WSGIApplication:
    """The application, told of another host name in the request but not which: some cannot even be parsed."""
    own = urlsplit(app_url).netloc.lower()
    default_port = ":443" if app_url.startswith("https:") else ":80"

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("HTTP_HOST", "").lower().removesuffix(default_port) != own.removesuffix(default_port):
            environ[_OTHER_HOST] = True
        environ["HTTP_HOST"] = own
        return application(environ, start_response)

    return serve


def _enter(launch: str, sessions: Sessions) -> None:
    if issuer := sessions.issuer_of(launch):
        may_be_framed_by(*issuer.ancestors)
    context = sessions.find(
        launch,
        browser=session_cookie(),
        tab=request.headers.get(TAB_HEADER, ""),
        background=request.headers.get(POLL_HEADER) == "1",
    )
    if request.method not in SAFE_METHODS:
        given = request.headers.get(CSRF_HEADER) or request.form.get(CSRF_FIELD, "")
        if not sessions.is_csrf_token(context, given):
            raise ProblemError("form-expired")
    g.context = context


def _is_same_origin(app_url: str) -> bool:
    """Whether one of our own pages sent the request.

    Sec-Fetch-Site first: under `no-referrer` browsers send `Origin: null` with a form of our own.
    """
    site = request.headers.get("Sec-Fetch-Site")
    return site == "same-origin" if site else request.headers.get("Origin") == app_url


def _ancestors(issuers: Issuers) -> tuple[str, ...]:
    return tuple(dict.fromkeys(origin for issuer in issuers.all() for origin in issuer.ancestors))
