"""Two people decided the same line: who, which lines, and what each of them wants. For the panel."""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import gettext

from smart_app.reconciliation.decide import decision_rules
from smart_app.reconciliation.records import Decision, Group
from smart_app.view_records import Board, DraftConflict
from smart_app.views.dates import Here, show_moment
from smart_app.views.drug_names import show_drug
from smart_app.views.words import button_words


@dataclass(frozen=True, slots=True)
class ConflictLine:
    name: str
    mine: str
    theirs: str


@dataclass(frozen=True, slots=True)
class ConflictPanel:
    by: str
    at: str
    lines: tuple[ConflictLine, ...]


def conflict_panel(board: Board, conflict: DraftConflict, here: Here) -> ConflictPanel:
    """The conflict in words; a line that is no longer on the board is left out."""
    groups = {group.key: group for group in board.reconciliation.groups}
    return ConflictPanel(
        by=conflict.draft.saved_by or gettext("Somebody else"),
        at=show_moment(conflict.draft.saved_at, here),
        lines=tuple(
            ConflictLine(
                name=_name(groups[line.group_key]),
                mine=_words(groups[line.group_key], line.mine),
                theirs=_words(groups[line.group_key], line.theirs),
            )
            for line in conflict.conflicts
            if line.group_key in groups
        ),
    )


def _name(group: Group) -> str:
    return show_drug((group.after or group.before)[0].medication.name)


def _words(group: Group, decision: Decision | None) -> str:
    if decision is None:
        return gettext("open")
    words = button_words(group, decision_rules()[decision.kind])
    return f"{words} ({decision.reason})" if decision.reason else words
