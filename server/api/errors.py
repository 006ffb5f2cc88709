"""Errors that reach Flask, each answered in the form of its part: OperationOutcome below /fhir and at /hl7v2,
the RFC's JSON below /oauth2, a plain page elsewhere. Nothing of the request is repeated.
"""

from __future__ import annotations

from http import HTTPStatus

from flask import Flask, Response, request
from markupsafe import escape
from werkzeug.exceptions import HTTPException

from server.api.headers import FHIR_JSON, JSON
from server.api.observability import request_id
from server.errors import KINDS, FhirError, Issue, operation_outcome
from server.fhir.json_codec import encode
from server.logs import Log, describe

Parts = tuple[str, list[tuple[str, str]], bytes]

# HTTP errors of the web framework -> the kind whose issue code says it best.
_KIND_OF_STATUS = {kind.status: name for name, kind in reversed(KINDS.items())}
# What people see of the authorization server; the rest of it speaks with programs.
_OAUTH_PAGES = (
    "/oauth2/account",
    "/oauth2/authorize",
    "/oauth2/external/",
    "/oauth2/grants",
    "/oauth2/links/",
    "/oauth2/login",
    "/oauth2/logout",
    "/oauth2/proof",
    "/oauth2/second-factor",
    "/oauth2/static/",
)
# RFC 6749 section 5.2 has one code for what a client did; RFC 8628 the word for too often.
_OAUTH_ERRORS = {429: "slow_down", 503: "temporarily_unavailable", 507: "temporarily_unavailable"}


def register_errors(app: Flask, log: Log) -> None:
    """Answer FhirError, the framework's HTTP errors, and what nobody foresaw (500, logged without content)."""

    @app.errorhandler(FhirError)
    def fhir_error(error: FhirError) -> Response:
        return _answer(error.status, error.issues, error.headers)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        given = error.get_response(request.environ)
        if error.code is None or error.code < 400:
            return Response(given.get_data(), given.status_code, given.headers)
        kind = KINDS.get(_KIND_OF_STATUS.get(error.code, ""))
        code = kind.code if kind else ("processing" if error.code < 500 else "exception")
        headers = {
            name: value for name, value in given.headers if name in ("Allow", "Retry-After", "WWW-Authenticate")
        }
        return _answer(error.code, (Issue(code, _phrase(error.code)),), headers)

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Response:
        known = defect(error, request_id(request.environ), log)
        return _answer(known.status, known.issues, known.headers)


def defect(error: Exception, request_id: str, log: Log) -> FhirError:
    """Log an exception nobody foresaw, without its text; what the caller is told of it."""
    log("ERROR", "exception", request_id=request_id, **describe(error))
    return FhirError("internal", f"something went wrong here; it is logged under request id {request_id}")


def _answer(status: int, issues: tuple[Issue, ...], headers: dict[str, str]) -> Response:
    content_type, body = error_body(request.path, status, issues)
    return Response(body, status, headers, content_type=content_type)


def error_parts(path: str, error: FhirError) -> Parts:
    """The answer to an error outside of Flask: status line, headers, body."""
    content_type, body = error_body(path, error.status, error.issues)
    headers = [*error.headers.items(), ("Content-Type", content_type), ("Content-Length", str(len(body)))]
    return f"{error.status} {_phrase(error.status)}", headers, body


def error_body(path: str, status: int, issues: tuple[Issue, ...]) -> tuple[str, bytes]:
    """Content type and body of an error, in the form of the part that the path belongs to."""
    if path in ("/fhir", "/hl7v2") or path.startswith("/fhir/"):
        body, content_type = encode(operation_outcome(issues)), FHIR_JSON
    elif path.startswith(("/oauth2/", "/.well-known/")) and not path.startswith(_OAUTH_PAGES):
        error = _OAUTH_ERRORS.get(status, "invalid_request" if status < 500 else "server_error")
        body = encode({"error": error, "error_description": issues[0].diagnostics})
        content_type = JSON
    else:
        title = f"{status} {_phrase(status)}"
        text = escape(issues[0].diagnostics)
        body = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            f"<h1>{title}</h1><p>{text}</p></html>"
        ).encode()
        content_type = "text/html"
    return f"{content_type}; charset=utf-8", body


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
