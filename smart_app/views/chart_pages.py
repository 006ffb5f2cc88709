"""The patient's page: what the chart says, newest first, and the discharge to reconcile."""

from __future__ import annotations

from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from smart_app import chart, gate

CURRENT = ("active", "on-hold", "draft", "intended", "unknown")
"""Medication statuses that people mean by "takes"; the rest is history."""
RECENT_ENCOUNTERS = 8
INACTIVE_CONDITIONS = ("inactive", "remission", "resolved")


def home() -> Response:
    """To the patient when one is open, else to the worklist."""
    context = gate.current_context()
    return redirect(url_for("pages.overview" if context.patient else "pages.worklist"), 303)


def overview() -> ResponseReturnValue:
    """Medications, allergies, encounters and problems; a recent discharge first."""
    context = gate.current_context()
    seen = chart.chart_overview(context)
    drugs = [line for line in seen.medications if line.kind != "fill"]
    discharge = next((line for line in seen.encounters if line.is_discharge), None)
    return render_template(
        "overview.html",
        view="overview",
        banner=seen.banner,
        overview=seen,
        unread={notice.values.get("what") for notice in seen.notices if notice.kind == "partial"},
        discharge=discharge,
        medications=[line for line in drugs if line.status in CURRENT],
        past_medications=[line for line in drugs if line.status not in CURRENT],
        fills=[line for line in seen.medications if line.kind == "fill"],
        encounters=seen.encounters[:RECENT_ENCOUNTERS],
        past_encounters=seen.encounters[RECENT_ENCOUNTERS:],
        conditions=[line for line in seen.conditions if line.clinical_status not in INACTIVE_CONDITIONS],
        past_conditions=[line for line in seen.conditions if line.clinical_status in INACTIVE_CONDITIONS],
    )
