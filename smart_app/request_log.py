"""One log line a request, and the number under which a person can ask about it.

The line names the endpoint, not the path: a path holds a launch id. Nothing of query, form or answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from flask import Flask, Response, g, request

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"
QUIET = frozenset(("static", "entrance.healthz"))


def request_id() -> str:
    """The number of the running request."""
    number: str = g.request_id
    return number


def install(app: Flask, new_id: Callable[[], str]) -> None:
    """Number and log every request of an app."""

    @app.before_request
    def begin() -> None:
        g.request_id = new_id()[:16]
        g.began = time.monotonic()

    @app.after_request
    def end(response: Response) -> Response:
        response.headers[HEADER] = request_id()
        level = logging.DEBUG if request.endpoint in QUIET else logging.INFO
        fields = {
            "request_id": request_id(),
            "method": request.method,
            "endpoint": request.endpoint or "",
            "status": response.status_code,
            "milliseconds": round((time.monotonic() - g.began) * 1000, 1),
        }
        log.log(level, "request", extra={"fields": fields})
        return response
