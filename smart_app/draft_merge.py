"""Merges decisions that several people make on one board, line by line (pure).

A line that only one side touched takes that side; a line that both decided differently is a conflict,
which a person settles. Free text is never merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smart_app.reconciliation.records import Decision
from smart_app.view_records import LineConflict


@dataclass(frozen=True, slots=True)
class Merged:
    """decisions: the draft to save. taken_over: lines that somebody else decided meanwhile.
    conflicts: where it is not empty, nothing may be saved."""

    decisions: tuple[Decision, ...]
    taken_over: tuple[str, ...]
    conflicts: tuple[LineConflict, ...]


def merge(
    base: Sequence[Decision],
    theirs: Sequence[Decision],
    changes: Sequence[Decision],
    removed: Sequence[str],
) -> Merged:
    """base: the draft that the page showed. theirs: the draft as it is now. changes, removed: what the
    person did on the page, by line; a line named in both is changed."""
    was, now = _by_line(base), _by_line(theirs)
    mine: Mapping[str, Decision | None] = {**dict.fromkeys(removed), **_by_line(changes)}
    conflicts = tuple(
        LineConflict(key, decision, now.get(key))
        for key, decision in mine.items()
        if now.get(key) != was.get(key) and now.get(key) != decision
    )
    merged = {key: decision for key, decision in {**now, **mine}.items() if decision is not None}
    taken_over = tuple(
        key for key in dict.fromkeys((*now, *was)) if key not in mine and now.get(key) != was.get(key)
    )
    return Merged(tuple(merged.values()), taken_over, conflicts)


def _by_line(decisions: Sequence[Decision]) -> dict[str, Decision]:
    return {decision.group_key: decision for decision in decisions}
