"""Two people on one board: what is merged, what is a conflict.

Covers: domain 3.6 (draft autosaved, concurrent work), 4.5 (three-way merge by key, free text never).
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smart_app.draft_merge import merge
from smart_app.reconciliation.records import Decision, DecisionKind

LINES = ("a", "b", "c")


def decision(line: str, kind: DecisionKind = DecisionKind.CONTINUE, reason: str | None = None) -> Decision:
    return Decision(group_key=line, kind=kind, reason=reason)


def drafts() -> st.SearchStrategy[tuple[Decision, ...]]:
    kinds = st.sampled_from([DecisionKind.CONTINUE, DecisionKind.STOP])
    chosen = st.dictionaries(st.sampled_from(LINES), kinds)
    return chosen.map(lambda found: tuple(decision(line, kind) for line, kind in found.items()))


def test_lines_of_two_people_come_together() -> None:
    merged = merge((), (decision("a"),), (decision("b"),), ())
    assert merged.decisions == (decision("a"), decision("b"))
    assert merged.taken_over == ("a",)
    assert merged.conflicts == ()


def test_one_line_decided_differently_is_a_conflict() -> None:
    stop = decision("a", DecisionKind.STOP, "bleeding")
    merged = merge((), (decision("a"),), (stop,), ())
    (conflict,) = merged.conflicts
    assert (conflict.group_key, conflict.mine, conflict.theirs) == ("a", stop, decision("a"))


def test_taking_back_what_another_changed_is_a_conflict() -> None:
    merged = merge((decision("a"),), (decision("a", DecisionKind.STOP),), (), ("a",))
    assert merged.conflicts[0].mine is None


def test_the_same_decision_twice_is_none() -> None:
    assert merge((), (decision("a"),), (decision("a"),), ()).conflicts == ()


@given(drafts(), drafts())
def test_without_others_mine_is_what_is_saved(base: tuple[Decision, ...], mine: tuple[Decision, ...]) -> None:
    merged = merge(base, base, mine, ())
    assert merged.conflicts == ()
    assert merged.taken_over == ()
    expected = {each.group_key: each for each in (*base, *mine)}
    assert {each.group_key: each for each in merged.decisions} == expected


@given(drafts(), drafts(), drafts(), st.sets(st.sampled_from(LINES)))
def test_nothing_of_theirs_is_lost_without_a_conflict(
    base: tuple[Decision, ...], theirs: tuple[Decision, ...], mine: tuple[Decision, ...], removed: set[str]
) -> None:
    merged = merge(base, theirs, mine, tuple(sorted(removed)))
    touched = {each.group_key for each in mine} | removed
    before = {each.group_key: each for each in base}
    conflicts = {conflict.group_key for conflict in merged.conflicts}
    saved = {each.group_key: each for each in merged.decisions}
    for each in theirs:
        if each.group_key not in touched:
            assert saved[each.group_key] == each
        elif each != before.get(each.group_key) and saved.get(each.group_key) != each:
            assert each.group_key in conflicts


@given(drafts(), drafts(), drafts())
def test_saving_again_changes_nothing(
    base: tuple[Decision, ...], theirs: tuple[Decision, ...], mine: tuple[Decision, ...]
) -> None:
    once = merge(base, theirs, mine, ())
    again = merge(once.decisions, once.decisions, mine, ())
    assert {d.group_key: d for d in again.decisions} == {d.group_key: d for d in once.decisions}
