"""The way past Flask for FHIR requests: the same function answers, without the framework's routing.

Flask's own work is about half of a read. `create_app(dispatch=False)` leaves this out; a test asserts that both
ways answer byte for byte alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from server.api.fhir import PREFIX, Respond

_BELOW = f"{PREFIX}/"
_DISCOVERY = f"{PREFIX}/.well-known/"


def dispatched(application: WSGIApplication, respond: Respond) -> WSGIApplication:
    """The application with everything below /fhir, apart from discovery, answered before it."""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not (path.startswith(_BELOW) or path == PREFIX) or path.startswith(_DISCOVERY):
            return application(environ, start_response)
        line, headers, body = respond(environ)
        start_response(line, headers)
        return (body,)

    return serve
