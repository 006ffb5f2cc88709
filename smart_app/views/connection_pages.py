"""Connecting the chart of another EHR with the store: why, where a person compares, and asking again."""

from __future__ import annotations

from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from smart_app import gate
from smart_app.messages import N_
from smart_app.problems import ProblemError
from smart_app.session import ChartContext, require_patient
from smart_app.store_exchange import FAULTS
from smart_app.token_endpoint import TokenRefused

NOT_YET = N_(
    "The store does not know of a confirmed connection yet. Both you and the patient must be confirmed."
)


def connection() -> ResponseReturnValue:
    """What is missing, and what to do."""
    context = gate.current_context()
    if context.connection in ("own", "connected"):
        return redirect(url_for("pages.reconciliation"), 303)
    return _page(context)


def compare() -> ResponseReturnValue:
    """Ask the store for the page where a person compares this chart's patient with its own."""
    context = gate.current_context()
    patient = context.chart.read("Patient", require_patient(context))
    try:
        address = context.sessions.comparison(context, patient)
    except TokenRefused:
        raise ProblemError("store-ended", issuer=context.issuer_label) from None
    except FAULTS as fault:
        raise ProblemError("store-unavailable", log=str(fault)) from None
    if not address:
        raise ProblemError("store-ended", issuer=context.issuer_label)
    return _page(context, address=address)


def connect() -> ResponseReturnValue:
    """Ask the store again: somebody may have confirmed."""
    context = gate.current_context()
    try:
        connected = context.sessions.connect(context)
    except TokenRefused:
        raise ProblemError("session-expired") from None
    except FAULTS as fault:
        raise ProblemError("store-unavailable", log=str(fault)) from None
    if connected:
        return redirect(url_for("pages.reconciliation"), 303)
    return _page(context, told=NOT_YET)


def _page(context: ChartContext, *, address: str = "", told: str = "") -> ResponseReturnValue:
    if context.connection == "none":
        raise ProblemError("store-not-connected")
    return render_template("connection.html", view="reconciliation", address=address, told=told)
