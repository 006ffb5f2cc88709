"""The keys of the board, as data: which letter makes which decision, and the list that `?` shows."""

from __future__ import annotations

from collections.abc import Mapping

from flask_babel import gettext

from smart_app.messages import N_
from smart_app.reconciliation.records import DecisionKind

DECISION_KEYS: Mapping[DecisionKind, str] = {
    DecisionKind.CONTINUE: "C",
    DecisionKind.STOP: "S",
    DecisionKind.CLARIFY: "Q",
    DecisionKind.NEW: "N",
    DecisionKind.MODIFY: "M",
    DecisionKind.HOLD: "H",
    DecisionKind.NOT_TAKING: "T",
    DecisionKind.SUBSTITUTE: "B",
    DecisionKind.DUPLICATE_MERGE: "G",
    DecisionKind.DEFER: "D",
}
"""The letter that decides while the focus is on the line."""

_TABLE = (
    (("↑", "↓"), N_("the line before, the line after")),
    (("←", "→"), N_("the column to the left, to the right")),
    (("O",), N_("the next open line")),
    (("Enter",), N_("open the line: its fields, else its original text")),
    (("Esc",), N_("back to the line")),
    (("C",), N_("continue; a new one: start")),
    (("S",), N_("stop")),
    (("Q",), N_("ask the prescriber")),
    (("M",), N_("change how it is taken")),
    (("H",), N_("hold")),
    (("T",), N_("not taking")),
    (("N",), N_("start")),
    (("B",), N_("replace by the other")),
    (("G",), N_("the same as another line")),
    (("D",), N_("decide later")),
    (("A",), N_("accept all that are the same")),
    (("U",), N_("undo your last change")),
    (("?",), N_("this list")),
)


def key_table() -> list[tuple[tuple[str, ...], str]]:
    """(keys, what they do), in the order of the help."""
    return [(shown, str(gettext(text))) for shown, text in _TABLE]
