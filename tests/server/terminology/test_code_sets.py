"""Sets of codes obey the laws of sets, also where a system's codes cannot be listed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.terminology.code_sets import CodeSet, listed, union

SYSTEMS, CODES = ("urn:x", "urn:y"), ("a", "b", "c")

listings = st.builds(listed, st.sampled_from(SYSTEMS), st.lists(st.sampled_from(CODES), max_size=3))
wholes = st.builds(lambda system: CodeSet(whole=frozenset({system})), st.sampled_from(SYSTEMS))
sets = st.lists(st.one_of(listings, wholes), max_size=4).map(union)

# Every pair that can be told apart; "other" is a code that nobody lists.
PAIRS = [(system, code) for system in SYSTEMS for code in (*CODES, "other")]


def members(codes: CodeSet) -> set[tuple[str, str]]:
    return {pair for pair in PAIRS if codes.has(*pair)}


@given(sets, sets)
def test_union_and_intersection_are_those_of_their_members(one: CodeSet, two: CodeSet) -> None:
    assert members(union([one, two])) == members(one) | members(two)
    assert members(one.intersection(two)) == members(one) & members(two)


@given(sets, sets)
def test_no_set_lists_codes_of_a_system_that_is_whole_or_has_none(one: CodeSet, two: CodeSet) -> None:
    for found in (one, union([one, two]), one.intersection(two)):
        assert found.whole.isdisjoint(found.codes)
        assert all(found.codes.values())
        assert len(found) == sum(map(len, found.codes.values()))
