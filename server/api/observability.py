"""What operators see: health, readiness, metrics, one log line a request. Never an id, a URL or a header.

Sources: prometheus.io/docs/instrumenting/exposition_formats, hl7.org/fhir/R4/http.html#custom (X-Request-Id)
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from time import perf_counter, time
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from server.api.exchange import Authenticate
from server.api.hl7v2_metrics import hl7v2_metrics
from server.api.queue_metrics import queue_metrics
from server.errors import FhirError
from server.logs import Log
from server.origin import set_origin
from server.storage.interface import Store

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
# Hexadecimal ids (UUIDs, trace ids) only: a caller's own words could name a patient, and ids stand in logs.
_REQUEST_ID = re.compile(r"[0-9A-Fa-f][0-9A-Fa-f-]{14,62}[0-9A-Fa-f]")
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counts and latencies by route template, method and status; summed over the processes of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._count = Counter(
            "baton_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._duration = Histogram(
            "baton_http_request_duration_seconds",
            "Time from the first byte of a request to the last of its answer.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._children: dict[tuple[str, str, str], tuple[Any, Any]] = {}

    def note(self, method: str, route: str, status: str, seconds: float) -> None:
        """Count one request."""
        key = (method, route, status)
        found = self._children.get(key)
        if found is None:
            found = (self._count.labels(method, route, status), self._duration.labels(method, route))
            self._children[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        # prometheus_client reads this variable when it is imported; `wsgi` sets it before.
        if MULTIPROCESS not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)


def request_id(environ: WSGIEnvironment) -> str:
    """The id of the request, as it stands in logs, audit rows and X-Request-Id."""
    return environ.get("baton.request_id", "")


def note_route(environ: WSGIEnvironment, template: str, client_id: str = "") -> None:
    """Tell which route answers, for metrics and logs; without it a request counts as "other"."""
    environ["baton.route"] = template
    environ["baton.client_id"] = client_id


def observed(application: WSGIApplication, metrics: Metrics, log: Log) -> WSGIApplication:
    """The application with a request id, a metric and a log line for every request."""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        own = given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        environ["baton.request_id"] = own
        set_origin(own, environ.get("REMOTE_ADDR", ""))
        status = "500"

        def start(line: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            nonlocal status
            status = line[:3]
            if not any(name == "X-Request-Id" for name, _ in headers):
                headers.append(("X-Request-Id", own))
            return start_response(line, headers, exc_info) if exc_info else start_response(line, headers)

        try:
            return application(environ, start)
        finally:
            seconds = perf_counter() - started
            method = environ["REQUEST_METHOD"]
            method = method if method in _KNOWN_METHODS else "other"
            route = environ.get("baton.route", "other")
            metrics.note(method, route, status, seconds)
            log(
                "INFO",
                "request",
                request_id=own,
                method=method,
                route=route,
                status=int(status),
                milliseconds=round(seconds * 1000, 2),
                client=environ.get("baton.client_id", ""),
            )

    return serve


def observability_blueprint(
    store: Store, metrics: Metrics, authenticate: Authenticate, beside: Callable[[], bytes]
) -> Blueprint:
    """/healthz (the process answers), /readyz (the database does too), /metrics (loopback or token).

    beside: what processes that answer no HTTP have to say, in Prometheus' text format.
    """
    blueprint = Blueprint("observability", __name__)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return _plain("ok")

    @blueprint.get("/readyz")
    def readyz() -> Response:
        return _plain("ready") if store.ready() else _plain("the database is not ready", 503)

    @blueprint.get("/metrics")
    def metrics_text() -> Response:
        if not _is_local(request.environ):
            principal = authenticate(request.headers.get("Authorization", ""))
            if not any(scope.level == "system" for scope in principal.scopes):
                raise FhirError("forbidden", "metrics need a token with a system scope")
        text = metrics.text() + queue_metrics(store) + hl7v2_metrics(store, time()) + beside()
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    return blueprint


def _is_local(environ: WSGIEnvironment) -> bool:
    # Behind a proxy on the same machine every caller comes from loopback; what the proxy adds gives it away.
    if any(name in environ for name in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")):
        return False
    try:
        return ip_address(environ.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _plain(text: str, status: int = 200) -> Response:
    return Response(text + "\n", status, content_type="text/plain; charset=utf-8")
