"""Regular expressions of value set filters agree with Python's own, and no pattern makes them slow.

Covers hl7.org/fhir/R4/codesystem-filter-operator.html (regex).
"""

from __future__ import annotations

import re
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.terminology.patterns import PATTERN_MAXIMUM, STATES_MAXIMUM, Pattern, UnsupportedPattern

atoms = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\.", "[a-c-]", r"[\d_]", r"\-"])
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds(lambda parts: "".join(parts), st.lists(inner, max_size=3)),
        st.builds(lambda one, two: f"({one}|{two})", inner, inner),
        st.builds(
            lambda one, times: f"(?:{one}){times}",
            inner,
            st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}"]),
        ),
    ),
    max_leaves=6,
)


@given(patterns, st.text("ab1._-", max_size=6))
def test_a_pattern_matches_what_pythons_own_matches(pattern: str, text: str) -> None:
    assert Pattern(pattern).matches(text) is (re.fullmatch(pattern, text) is not None)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("[A-Z]{2}", "DE", True),
        ("[A-Z]{2}", "DEU", False),  # the whole code, never a part of it
        ("^[A-Z]{2}$", "DE", True),
        (r"a\$", "a$", True),
        ("", "", True),
        ("a|", "", True),
        (r"\s\t", " \t", True),
    ],
)
def test_the_whole_text_must_match(pattern: str, text: str, expected: bool) -> None:
    assert Pattern(pattern).matches(text) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "[",
        "[b-a]",
        "*",
        "a{",
        "a{2,1}",
        "a{x}",
        r"\p{L}",
        "(?=a)",
        "(?P<n>a)",
        r"\1",
        "a" * (PATTERN_MAXIMUM + 1),
        "(" * 60 + ")" * 60,
        "a{1000}{1000}",
        r"[\D]",
        "\\",
    ],
)
def test_a_pattern_that_is_not_known_is_refused(pattern: str) -> None:
    with pytest.raises(UnsupportedPattern):
        Pattern(pattern)


@given(st.text("ab()[]{}|*+?\\^$.-,0123:", max_size=30))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        pattern = Pattern(text)
    except UnsupportedPattern:
        return
    assert pattern.states <= STATES_MAXIMUM
    pattern.matches("ab01")


@pytest.mark.parametrize("pattern", ["(a*)*b", "(a|a)*b", "(a|aa)+b", "(.*a){20}"])
def test_no_pattern_takes_more_than_its_states_for_a_character(pattern: str) -> None:
    compiled = Pattern(pattern)
    begin = perf_counter()
    assert not compiled.matches("a" * 200 + "c")
    assert perf_counter() - begin < 2  # a backtracking matcher would not come back
