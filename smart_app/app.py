"""Joins the parts of the app: read `create_app` from top to bottom as the list of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from flask import Flask, render_template
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from smart_app import gate, request_log
from smart_app.entrance import end_session, entrance
from smart_app.fhir_client import FhirFault, Forbidden, NotFound, Unauthorized, Unavailable
from smart_app.issuers import Issuers
from smart_app.joining import join, new_secret, outside, utc_now
from smart_app.keys import AppKeys
from smart_app.outbound_http import OutboundHttp
from smart_app.problems import ProblemError
from smart_app.reconciliation.records import DrugLookup
from smart_app.runtime import Runtime
from smart_app.session_store import SessionsUnavailable
from smart_app.settings import MAXIMUM_BODY, Settings
from smart_app.smart_configuration import Clock
from smart_app.views import blueprint

log = logging.getLogger(__name__)

_HTTP_PROBLEMS = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}


def create_app(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    http: OutboundHttp | None = None,
    keys: AppKeys | None = None,
    issuers: Issuers | None = None,
    terminology: DrugLookup | None = None,
    pool: Executor | None = None,
    secret_source: Callable[[], str] = new_secret,
) -> Flask:
    """The app. Everything that reaches outside can be given; nothing happens at import."""
    given = outside(
        settings,
        clock=clock,
        http=http,
        keys=keys,
        issuers=issuers,
        terminology=terminology,
        pool=pool,
        secret_source=secret_source,
    )
    joined = join(settings, given)
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=MAXIMUM_BODY, MAX_FORM_MEMORY_SIZE=MAXIMUM_BODY)
    request_log.install(app, secret_source)
    gate.install(app, settings, joined.sessions, joined.issuers)
    app.register_blueprint(entrance(joined.launcher, joined.issuers, joined.store, secret_source))
    app.register_blueprint(blueprint)
    app.add_url_rule("/c/<launch>/end", "end_session", end_session, methods=["POST"])
    _install_pages(app, joined.runtime)
    return app


def _install_pages(app: Flask, runtime: Runtime) -> None:
    """What every template gets, and a page for every way a request may fail."""

    @app.context_processor
    def common() -> dict[str, Any]:
        context = gate.found_context()
        return {
            "context": context,
            "csrf_token": context.csrf_token if context else "",
            "time_zone": runtime.settings.time_zone,
            "now": runtime.clock().astimezone(runtime.settings.zone),
            "demonstration": runtime.settings.demo,
        }

    @app.errorhandler(ProblemError)
    def problem_page(error: ProblemError) -> ResponseReturnValue:
        problem = error.problem
        if error.log:
            log.warning("%s %s: %s", request_log.request_id(), problem.kind, error.log)
        return render_template("problem.html", problem=problem), problem.status

    @app.errorhandler(FhirFault)
    def fhir_page(fault: FhirFault) -> ResponseReturnValue:
        return problem_page(problem_of(fault, _issuer_label()))

    @app.errorhandler(SessionsUnavailable)
    def sessions_page(fault: SessionsUnavailable) -> ResponseReturnValue:
        return problem_page(ProblemError("sessions-unavailable", log=str(fault)))

    @app.errorhandler(HTTPException)
    def http_page(error: HTTPException) -> ResponseReturnValue:
        if error.code is not None and error.code < 400:
            return error
        kind = _HTTP_PROBLEMS.get(error.code or 500, "bad-request")
        return problem_page(ProblemError(kind, what="request"))

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> ResponseReturnValue:
        reference = request_log.request_id()
        # The text of an unknown exception may quote a chart: its type and place must do.
        log.error("internal %s: %s", reference, _where(error))
        return problem_page(ProblemError("internal", reference=reference))


def problem_of(fault: FhirFault, issuer: str) -> ProblemError:
    """The problem page of a FHIR interaction that no view dealt with."""
    match fault:
        case Unavailable():
            return ProblemError("ehr-unavailable", issuer=issuer, log=fault.words)
        case Unauthorized():
            return ProblemError("session-expired", log=fault.words)
        case Forbidden():
            return ProblemError("forbidden", log=fault.words)
        case NotFound():
            return ProblemError("not-found", log=fault.words)
        case _:
            return ProblemError("ehr-refused", issuer=issuer, log=fault.words)


def _issuer_label() -> str:
    context = gate.found_context()
    return context.issuer_label if context else ""


def _where(error: BaseException) -> str:
    """Type of an exception and the line it came from, without its words."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} at {place}"
