"""The worklist: recent discharges by the clock that runs out next; logging a call; opening a chart."""

from __future__ import annotations

from flask import Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from smart_app import gate
from smart_app import worklist as worklists
from smart_app.reconciliation.decide import role_rule
from smart_app.session import ChartContext, require_patient
from smart_app.session import open_chart as open_context
from smart_app.transitions import contact
from smart_app.view_records import Clock, ContactConflict, Worklist, WorklistRow
from smart_app.worklist import ContactForm


def worklist() -> ResponseReturnValue:
    """The list; 304 where the page already shows it."""
    context = gate.current_context()
    seen = worklists.load_worklist(context)
    if request.if_none_match.contains(seen.etag):
        return Response(status=304)
    response = make_response(render_template("worklist.html", **_list(seen)))
    response.set_etag(seen.etag)
    return response


def contact_form(task: str) -> ResponseReturnValue:
    """The form that logs a call: a row for the script, else a page of its own."""
    context = gate.current_context()
    return _form(context, worklists.load_row(context, task))


def log_contact(task: str) -> ResponseReturnValue:
    """Log a contact or a failed attempt. Sending the same form twice writes once."""
    context = gate.current_context()
    form = request.form
    note = form.get("note", "").strip()
    given = ContactForm(
        task_id=task,
        task_version=form.get("task_version", ""),
        form_id=form.get("form_id", ""),
        outcome=form.get("outcome", ""),
        mode=form.get("mode", ""),
        note=note,
    )
    logged = worklists.log_contact(context, given)
    if isinstance(logged, ContactConflict):
        return _form(context, worklists.load_row(context, task), conflict=logged, note=note), 409
    if _is_partial():
        return render_template("parts/worklist.html", **_list(worklists.load_worklist(context)))
    return redirect(url_for("pages.worklist", _anchor=f"row-{task}"), 303)


def open_chart() -> ResponseReturnValue:
    """Open a discharge on the board: of this patient, or of another one from the worklist."""
    context = gate.current_context()
    patient = request.form.get("patient") or require_patient(context)
    launch = open_context(context, patient, request.form.get("encounter") or None)
    return redirect(url_for("pages.reconciliation", launch=launch), 303)


def _list(seen: Worklist) -> dict[str, object]:
    return {
        "view": "worklist",
        "worklist": seen,
        "open_count": sum(1 for row in seen.rows if _is_open(row)),
        "is_open": _is_open,
        "may_log": role_rule(gate.current_context().user.role).may_draft,
        "contact_clock": _contact_clock,
    }


def _is_open(row: WorklistRow) -> bool:
    """Whether somebody still has to be reached."""
    return row.task_status in contact.OPEN_STATUS


def _contact_clock(row: WorklistRow) -> Clock | None:
    return next((clock for clock in row.clocks if clock.kind == "contact"), None)


def _form(
    context: ChartContext, row: WorklistRow, *, conflict: ContactConflict | None = None, note: str = ""
) -> str:
    template = "parts/contact_form.html" if _is_partial() else "contact.html"
    return render_template(
        template,
        view="worklist",
        row=row,
        outcomes=contact.outcomes(),
        modes=contact.modes(),
        conflict=conflict,
        note=note,
    )


def _is_partial() -> bool:
    return request.headers.get("HX-Request") == "true"
