"""How far a board is, in words: for the page and for the answer to a save alike."""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import gettext, ngettext

from smart_app.reconciliation.decide import Completeness
from smart_app.view_records import DraftState
from smart_app.views.dates import Here, show_moment


@dataclass(frozen=True, slots=True)
class Progress:
    """count: "8 of 11 decided"; saved: "Saved 14:02", "" before the first; why: what hinders signing."""

    decided: int
    total: int
    count: str
    saved: str
    complete: bool
    why: str


def progress_of(draft: DraftState, completeness: Completeness, here: Here) -> Progress:
    saved = gettext("Saved %(time)s", time=show_moment(draft.saved_at, here)) if draft.saved_at else ""
    if saved and draft.saved_by:
        saved = f"{saved} · {draft.saved_by}"
    why = []
    if completeness.open:
        count = len(completeness.open)
        why.append(ngettext("%(num)d line is still open.", "%(num)d lines are still open.", count))
    if completeness.faults:
        count = len(completeness.faults)
        why.append(ngettext("%(num)d decision needs more.", "%(num)d decisions need more.", count))
    return Progress(
        decided=completeness.decided,
        total=completeness.total,
        count=gettext(
            "%(decided)s of %(total)s decided", decided=completeness.decided, total=completeness.total
        ),
        saved=saved,
        complete=completeness.is_complete,
        why=" ".join(why),
    )
