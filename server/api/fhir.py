"""The FHIR API on WSGI: every request below /fhir goes to `exchange`, and its answer back.

Two ways lead here, a Flask blueprint and the dispatcher in front of Flask; both pass on what `respond` returns
as it is, so that they answer byte for byte alike.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from wsgiref.types import WSGIEnvironment

from flask import Blueprint, Response, request
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.exceptions import ClientDisconnected
from werkzeug.routing import BaseConverter
from werkzeug.wsgi import get_input_stream

from server.api.content_coding import check_coding, unpacked
from server.api.errors import Parts, defect
from server.api.exchange import Authenticate, Exchange, answer, refusal
from server.api.observability import note_route, request_id
from server.api.rates import Rate
from server.errors import FhirError
from server.interactions.request import Context
from server.logs import Log
from server.origin import address_key

PREFIX = "/fhir"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_WITHOUT_BODY = frozenset({204, 304})

Respond = Callable[[WSGIEnvironment], Parts]


def respond(
    context: Context, authenticate: Authenticate, addresses: Rate, log: Log, environ: WSGIEnvironment
) -> Parts:
    """Status line, headers and body of the answer to a WSGI request below /fhir. Never raises.

    addresses: what one address may ask without a token in force.
    """
    path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")

    def header(name: str) -> str:
        value: str = environ.get(_ENVIRON_NAMES[name], "")
        return value

    def read_body(most: int) -> bytes | None:
        return _read_body(environ, most)

    own_id = request_id(environ)
    exchange = Exchange(
        method=environ["REQUEST_METHOD"],
        path=path[len(PREFIX) + 1 :],
        query=environ.get("QUERY_STRING", ""),
        header=header,
        read_body=read_body,
        request_id=own_id,
    )
    try:
        given = answer(context, authenticate, exchange)
        if not given.client_id:
            addresses.take(address_key(environ.get("REMOTE_ADDR", "")))
    except FhirError as error:
        given = refusal(error)
    except Exception as error:
        given = refusal(defect(error, own_id, log))
    note_route(environ, f"{PREFIX}/{given.template}".rstrip("/"), given.client_id)
    if given.status not in _WITHOUT_BODY:
        given.headers.append(("Content-Length", str(len(given.body))))
    return _LINES[given.status], given.headers, given.body


def fhir_blueprint(respond: Respond) -> Blueprint:
    """All of `[base]`; `[base]` and `[base]/` are one, and nothing here redirects.

    The route table is `interactions.routes`; discovery (`.well-known`) has rules of its own, which win.
    """
    blueprint = Blueprint("fhir", __name__, url_prefix=PREFIX)

    def fhir(path: str = "") -> Response:
        line, headers, body = respond(request.environ)
        response = Response(body, line)
        response.headers.clear()
        response.headers.extend(headers)
        response.automatically_set_content_length = False
        return response

    @blueprint.record_once
    def know_any_path(state: BlueprintSetupState) -> None:
        state.app.url_map.converters["any_path"] = _AnyPath

    for rule in ("", "/<any_path:path>"):
        options: dict[str, Any] = {"methods": _METHODS, "provide_automatic_options": False}
        blueprint.add_url_rule(rule, view_func=fhir, **options)
    return blueprint


class _AnyPath(BaseConverter):
    """Whatever follows, slashes and nothing at all included: `interactions.routes` decides what it is."""

    part_isolating = False
    regex = ".*?"


# The headers a FHIR exchange looks at, and what WSGI calls them.
_ENVIRON_NAMES = {
    "accept": "HTTP_ACCEPT",
    "authorization": "HTTP_AUTHORIZATION",
    "content-type": "CONTENT_TYPE",
    "if-match": "HTTP_IF_MATCH",
    "if-modified-since": "HTTP_IF_MODIFIED_SINCE",
    "if-none-exist": "HTTP_IF_NONE_EXIST",
    "if-none-match": "HTTP_IF_NONE_MATCH",
    "prefer": "HTTP_PREFER",
}


def _read_body(environ: WSGIEnvironment, most: int) -> bytes | None:
    """The body without its coding, None where it has more than `most` bytes with it or without it."""
    coding = environ.get("HTTP_CONTENT_ENCODING", "")
    check_coding(coding)
    length = environ.get("CONTENT_LENGTH", "")
    if length.isdigit() and int(length) > most:
        return None
    try:
        body: bytes = get_input_stream(environ).read(most + 1)
    except ClientDisconnected:
        raise FhirError("invalid-request", "the body ended before its Content-Length") from None
    return unpacked(body, coding, most) if len(body) <= most else None
