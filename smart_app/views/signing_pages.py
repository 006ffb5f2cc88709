"""Review, sign, and what was written: the result page and the list for the patient."""

from __future__ import annotations

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from smart_app import board, gate, signing
from smart_app.messages import N_
from smart_app.problems import ProblemError
from smart_app.session import ChartContext, require_store
from smart_app.view_records import Board, NotSigned, Signed
from smart_app.views import words
from smart_app.views.board_pages import board_page, encounter_of_form, frame
from smart_app.views.review import kept_alerts, review_sections, will_write
from smart_app.views.signed_list import read_signed_list

NOT_CONFIRMED = NotSigned(N_("Confirm that you have looked at the high alerts, then sign."))


def review() -> ResponseReturnValue:
    """What signing will write, for the last look. Nothing can be edited here."""
    context = gate.current_context()
    seen = board.load_board(context, context.encounter)
    if not (seen.completeness.is_complete and seen.may_sign):
        return redirect(url_for("pages.reconciliation"), 303)
    return _review_page(seen)


def sign() -> ResponseReturnValue:
    """Sign the draft as it was reviewed: on to the result, or back with what changed."""
    context = gate.current_context()
    encounter = encounter_of_form()
    if request.form.get("alerts") == "some" and request.form.get("confirmed") != "yes":
        return _review_page(board.load_board(context, encounter), NOT_CONFIRMED), 422
    outcome = signing.sign(
        context, encounter, request.form.get("seen", ""), request.form.get("version") or None
    )
    if isinstance(outcome, Signed):
        return redirect(url_for("pages.signed"), 303)
    current = board.load_board(context, encounter)
    if isinstance(outcome, NotSigned):
        return _review_page(current, outcome), 422
    return board_page(context, current, outcome), 409


def signed() -> ResponseReturnValue:
    """What was written: the list, the changes, the questions to the prescriber."""
    return _result(gate.current_context(), "reconciliation/signed.html")


def take_home() -> ResponseReturnValue:
    """The signed list in plain words for the patient, made for paper."""
    return _result(gate.current_context(), "reconciliation/take_home.html")


def _result(context: ChartContext, template: str) -> ResponseReturnValue:
    seen = board.load_board(context, context.encounter)
    if seen.signed is None:
        raise ProblemError("not-found")
    written = read_signed_list(require_store(context), seen.signed, _names(seen))
    return render_template(template, **frame(seen), written=written)


def _names(seen: Board) -> dict[str, str]:
    """Names of prescribers by reference, as the chart's orders give them."""
    requesters = [item.resource.get("requester") for item in (*seen.collected.before, *seen.collected.after)]
    return {
        str(each["reference"]): str(each["display"])
        for each in requesters
        if isinstance(each, dict) and "reference" in each and "display" in each
    }


def _review_page(seen: Board, refused: NotSigned | None = None) -> str:
    sections = review_sections(seen)
    return render_template(
        "reconciliation/review.html",
        **frame(seen),
        sections=sections,
        kept_alerts=kept_alerts(seen),
        will_write=will_write(sections),
        refused=refused,
        button_words=words.button_words,
    )
