"""Browsers of other origins may use what is open to programs anyway: FHIR, discovery and the token endpoint.

Bearer tokens are sent by the caller itself, never by the browser on its own, so every origin is allowed and
credentials never are.
Sources: fetch.spec.whatwg.org (CORS), hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

_OPEN = (
    "/fhir",
    "/.well-known/",
    "/oauth2/token",
    "/oauth2/launch",
    "/oauth2/jwks",
    "/oauth2/introspect",
    "/oauth2/revoke",
    "/oauth2/register",
    "/oauth2/smart-style.json",
)
_EXPOSED = (
    "ETag, Location, Content-Location, Link, Last-Modified, Preference-Applied, X-Progress, X-Request-Id, "
    "Retry-After, WWW-Authenticate"
)
_ACCEPTED = (
    "Accept, Authorization, Content-Encoding, Content-Type, If-Match, If-Modified-Since, If-None-Exist, "
    "If-None-Match, Prefer, X-Request-Id"
)


def is_open(path: str) -> bool:
    """Whether pages of other origins may call this path."""
    return any(path == start.rstrip("/") or path.startswith(start.rstrip("/") + "/") for start in _OPEN)


def is_preflight(method: str, origin: str, requested_method: str) -> bool:
    """Whether a request only asks whether another one would be allowed."""
    return method == "OPTIONS" and bool(origin) and bool(requested_method)


# Sent with every answer to another origin, and with the answer to a preflight.
ANSWER_HEADERS = [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", _EXPOSED)]
PREFLIGHT_HEADERS = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    ("Access-Control-Allow-Headers", _ACCEPTED),
    ("Access-Control-Max-Age", "600"),
]
