"""Saves what people decide on the board, as they decide it; two people may work on one board."""

from __future__ import annotations

from collections.abc import Sequence

from smart_app import board
from smart_app.draft_merge import merge
from smart_app.draft_store import read_draft_state, read_version, write_draft
from smart_app.fhir_client import Conflict, FhirFault, Forbidden, Unauthorized, Unavailable, diagnostics
from smart_app.problems import ProblemError
from smart_app.reconciliation.decide import completeness
from smart_app.reconciliation.records import Decision
from smart_app.session import ChartContext
from smart_app.store_link import store_link
from smart_app.view_records import Board, DraftConflict, DraftSaved, DraftState

TRIES = 3
"""How often a save is merged again when somebody else saves at the same moment."""
MAXIMUM_TEXT = 2000


def save_decisions(
    context: ChartContext,
    encounter: str,
    changes: Sequence[Decision],
    removed: Sequence[str],
    seen_version: str | None,
) -> DraftSaved | DraftConflict:
    """Save decisions about lines, and take back those of the lines in `removed`.

    seen_version: the draft's version that the page showed, None or "" for none. What others saved
    since is merged in; a line that they decided differently is a conflict and nothing is saved.
    Raises: ProblemError.
    """
    shown = board.load_board(context, encounter)
    _check(shown, encounter, changes)
    link = store_link(context)
    base: tuple[Decision, ...] | None = None
    theirs = shown.draft
    try:
        for _ in range(TRIES):
            if base is None:
                same = theirs.version == (seen_version or None)
                base = theirs.decisions if same else read_version(link, encounter, seen_version)
            merged = merge(base, theirs.decisions, changes, removed)
            if merged.conflicts:
                return DraftConflict(theirs, merged.conflicts)
            if merged.decisions == theirs.decisions:
                return _saved(shown, theirs, merged.taken_over)
            try:
                saved = write_draft(
                    link,
                    encounter,
                    merged.decisions,
                    over=theirs.version,
                    author_display=context.user.name,
                    saved_at=context.runtime.clock(),
                )
            except Conflict:
                theirs = read_draft_state(link, encounter)
                continue
            return _saved(shown, saved, merged.taken_over)
    except FhirFault as fault:
        raise store_problem(fault) from None
    raise ProblemError("store-unavailable", log="the draft changes faster than it can be saved")


def store_problem(fault: FhirFault) -> ProblemError | FhirFault:
    """The problem page of a store that did not do what was asked."""
    match fault:
        case Unauthorized():
            return fault
        case Forbidden():
            return ProblemError("forbidden", log=fault.words)
        case Unavailable():
            return ProblemError("store-unavailable", log=fault.words)
        case _:
            words = "; ".join(
                text for severity, text in diagnostics(fault.outcome) if severity != "information"
            )
            return ProblemError("store-refused", answer=words or fault.words, log=fault.words)


def _check(shown: Board, encounter: str, changes: Sequence[Decision]) -> None:
    if shown.encounter is None or shown.encounter.id != encounter:
        raise ProblemError("bad-request", what="encounter")
    if shown.why_not_save:
        raise ProblemError("forbidden", log="a draft that may not be saved")
    known = {group.key for group in shown.reconciliation.groups}
    if any(change.group_key not in known for change in changes):
        raise ProblemError("bad-request", what="line")
    texts = [text for change in changes for text in (change.reason, change.regimen, change.survivor) if text]
    if any(len(text) > MAXIMUM_TEXT for text in texts):
        raise ProblemError("too-large")


def _saved(shown: Board, draft: DraftState, taken_over: tuple[str, ...]) -> DraftSaved:
    return DraftSaved(draft, completeness(shown.reconciliation, draft.decisions), taken_over)
