"""The reconciliation board: show it, and keep its draft decision by decision."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from flask import jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, ngettext

from smart_app import board, drafts, gate
from smart_app.problems import ProblemError
from smart_app.reconciliation.records import Decision, DecisionKind, Difference, DifferenceKind, Side
from smart_app.session import ChartContext
from smart_app.view_records import Board, DraftConflict, DraftSaved, SourcesChanged
from smart_app.views import words
from smart_app.views.cards import Card, board_cards, element_id
from smart_app.views.conflict import conflict_panel
from smart_app.views.dates import Here
from smart_app.views.decision_form import decision_of, fields_for, fields_of
from smart_app.views.evidence import Chip, evidence_of
from smart_app.views.keys import DECISION_KEYS, key_table
from smart_app.views.progress import progress_of


def reconciliation() -> ResponseReturnValue:
    """The board of the discharge that is open, else of the newest one."""
    context = gate.current_context()
    return board_page(context, board.load_board(context, context.encounter))


def decide() -> ResponseReturnValue:
    """Save one decision in the draft, or open the line again. JSON for the script, else back to the board."""
    decision = decision_of(request.form)
    return _save([decision] if decision else [], [] if decision else [request.form["group"]])


def accept_same() -> ResponseReturnValue:
    """Accept together what is the same and still open; with `remove`, open those lines again (undo)."""
    if removed := request.form.getlist("remove"):
        return _save([], removed)
    context = gate.current_context()
    cards = board_cards(board.load_board(context, encounter_of_form()))
    return _save(
        [Decision(group_key=card.key, kind=DecisionKind.CONTINUE, bulk=True) for card in cards.bulk_open], []
    )


def board_page(
    context: ChartContext, seen: Board, interrupted: DraftConflict | SourcesChanged | None = None
) -> str:
    """The board as a page; `interrupted` says why a save or a signing came back to it."""
    here = here_of(context)
    cards = board_cards(seen)
    fills_known = any(item.source.side is Side.EVIDENCE for item in seen.collected.evidence)

    def evidence(card: Card) -> tuple[Chip, ...]:
        return evidence_of(card, here, fills_known=fills_known)

    return render_template(
        "reconciliation/board.html",
        **frame(seen),
        cards=cards,
        progress=progress_of(seen.draft, seen.completeness, here),
        interrupted=interrupted if isinstance(interrupted, SourcesChanged) else None,
        conflict=conflict_panel(seen, interrupted, here) if isinstance(interrupted, DraftConflict) else None,
        evidence_of=evidence,
        fields_of=fields_of,
        fields_for=fields_for,
        same_words=_same_words,
        button_words=words.button_words,
        bulk_words=bulk_words,
        keys=DECISION_KEYS,
        key_table=key_table(),
        reasons=words.REASONS,
        source_groups=source_groups(seen),
        left_out_reasons=Counter(left.why for left in seen.collected.left_out).most_common(),
        board_data=_board_data(),
    )


def frame(seen: Board) -> dict[str, Any]:
    """What every page about one discharge shows around its content."""
    return {"view": "reconciliation", "banner": seen.banner, "board": seen}


def here_of(context: ChartContext) -> Here:
    return Here(context.runtime.settings.zone, context.runtime.clock())


def encounter_of_form() -> str:
    """The discharge that a form is about. Raises: ProblemError `bad-request` without one."""
    encounter = request.form.get("encounter", "")
    if not encounter:
        raise ProblemError("bad-request", what="encounter")
    return encounter


def bulk_words(count: int) -> str:
    if not count:
        return str(gettext("All accepted"))
    return str(ngettext("Accept the one that is the same", "Accept all %(num)d that are the same", count))


@dataclass(frozen=True, slots=True)
class SourceChip:
    """One list that was read: its name, newest date and number of lines."""

    label: str
    date: str
    count: int


def source_groups(seen: Board) -> list[tuple[str, str, list[SourceChip]]]:
    """(side, its name, the lists on it), in the order of the board."""
    names = (
        (Side.BEFORE, gettext("Before"), seen.collected.before),
        (Side.AFTER, gettext("After"), seen.collected.after),
        (Side.EVIDENCE, gettext("Evidence"), seen.collected.evidence),
    )
    groups = []
    for side, name, items in names:
        chips = []
        for label in dict.fromkeys(item.source.label for item in items):
            own = [item for item in items if item.source.label == label]
            newest = max((item.source.date or "" for item in own), default="")
            chips.append(SourceChip(label, newest, len(own)))
        groups.append((str(side), name, chips))
    return groups


def _same_words(difference: Difference) -> str:
    """What differs although the line is the same: a brand says which."""
    if difference.kind is DifferenceKind.BRAND:
        return str(gettext("brand / generic"))
    return words.say(words.DIFFERENCES, difference.kind)


def _save(changes: list[Decision], removed: list[str]) -> ResponseReturnValue:
    context = gate.current_context()
    encounter = encounter_of_form()
    outcome = drafts.save_decisions(context, encounter, changes, removed, request.form.get("version", ""))
    scripted = request.accept_mimetypes.best == "application/json"
    if isinstance(outcome, DraftSaved):
        if scripted:
            return jsonify(_saved(outcome, changes, here_of(context)))
        keys = [*(change.group_key for change in changes), *removed]
        return redirect(
            url_for("pages.reconciliation", _anchor=element_id(keys[0]) if len(keys) == 1 else None), 303
        )
    current = board.load_board(context, encounter)
    if not scripted:
        return board_page(context, current, outcome), 409
    panel = render_template(
        "reconciliation/conflict.html", conflict=conflict_panel(current, outcome, here_of(context))
    )
    return jsonify(version=outcome.draft.version or "", panel=panel), 409


def _saved(outcome: DraftSaved, changes: list[Decision], here: Here) -> dict[str, Any]:
    """What board.js needs to bring the page up to date; every word comes from here."""
    progress = progress_of(outcome.draft, outcome.completeness, here)
    others = len(outcome.taken_over)
    return {
        "version": outcome.draft.version or "",
        "count": progress.count,
        "decided": progress.decided,
        "total": progress.total,
        "saved": progress.saved,
        "complete": progress.complete,
        "why": progress.why,
        "open": [element_id(key) for key in outcome.completeness.open],
        "faults": {element_id(key): gettext(text) for key, text in outcome.completeness.faults},
        "accepted": {element_id(change.group_key): str(change.kind) for change in changes if change.bulk},
        "taken_over": ngettext(
            "Somebody else decided %(num)d line meanwhile.",
            "Somebody else decided %(num)d lines meanwhile.",
            others,
        )
        if others
        else "",
    }


def _board_data() -> dict[str, Any]:
    """What board.js knows about decisions: labels and keys by kind, and its own words."""
    return {
        "labels": {kind: gettext(text) for kind, text in words.REASON_LABELS.items()},
        "keys": DECISION_KEYS,
        "states": {code: gettext(text) for code, text in words.CARD_STATES.items()},
        "words": {
            "saving": gettext("Saving"),
            "unsaved": gettext("Not saved"),
            "offline": gettext(
                "The app cannot reach its server. Your last decisions are kept in this page and saved "
                "as soon as it answers; do not close it."
            ),
            "reopened": gettext("open again"),
            "theirs": gettext("The board shows the other decision."),
            "nothing_to_undo": gettext("Nothing to undo in this page."),
            "nothing_open": gettext("Every line is decided."),
            "all_accepted": bulk_words(0),
            "accept_one": bulk_words(1),
            "accept_many": bulk_words(99).replace("99", "{count}"),
        },
    }
