"""The FHIR API as a Flask blueprint: it hands every request below /fhir to `exchange` and the answer back."""

from __future__ import annotations

from flask import Blueprint, Response, request

from server.api.exchange import Authenticate, Exchange, answer
from server.api.observability import note_route, request_id
from server.interactions.request import Context

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def fhir_blueprint(context: Context, authenticate: Authenticate) -> Blueprint:
    """All of `[base]`; `[base]` and `[base]/` are one, and nothing here redirects.

    The route table is `interactions.routes`; discovery (`.well-known`) has rules of its own, which win.
    """
    blueprint = Blueprint("fhir", __name__, url_prefix="/fhir")

    def fhir(path: str = "") -> Response:
        headers = request.headers
        given = answer(
            context,
            authenticate,
            Exchange(
                method=request.method,
                path=path,
                query=request.query_string.decode("latin-1"),
                header=lambda name: headers.get(name, ""),
                read_body=_read_body,
                request_id=request_id(request.environ),
            ),
        )
        note_route(request.environ, f"/fhir/{given.template}", given.client_id)
        return Response(given.body, given.status, given.headers)

    for rule in ("", "/", "/<path:path>"):
        blueprint.add_url_rule(
            rule, view_func=fhir, methods=_METHODS, strict_slashes=True, provide_automatic_options=False
        )
    return blueprint


def _read_body(most: int) -> bytes | None:
    length = request.content_length
    if length is not None and length > most:
        return None
    body = request.stream.read(most + 1)
    return body if len(body) <= most else None
