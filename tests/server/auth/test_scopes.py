"""SMART scopes: syntax, order and negotiation.

Covers hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (resource scopes, v1 compatibility,
granular scopes, launch scopes).
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth.scopes import CONTEXT_SCOPES, Scope, format_scope, meet, negotiate, parse_scope, parse_scopes

TYPES = ("Patient", "Observation", "Encounter", "Practitioner")
LEVELS = ("patient", "user", "system")
CRITERIA = st.lists(
    st.tuples(st.sampled_from(("category", "status", "code:in")), st.text(min_size=1, max_size=6)),
    max_size=2,
    unique=True,
).filter(lambda pairs: all("\x00" not in value and value.isprintable() for _, value in pairs))


@st.composite
def scopes(draw: st.DrawFn) -> Scope:
    level = draw(st.sampled_from(LEVELS))
    resource_type = draw(st.sampled_from(("*", *TYPES)))
    letters = draw(st.sets(st.sampled_from("cruds"), min_size=1))
    permissions = "".join(letter for letter in "cruds" if letter in letters)
    criteria = tuple(sorted(draw(CRITERIA)))
    return Scope(
        level,
        resource_type,
        permissions,
        criteria,
        format_scope(level, resource_type, permissions, criteria),
    )


def points(scope: Scope) -> set[tuple[str, str, str, frozenset[str]]]:
    """What a scope allows, on a small model: a resource fulfils a set of the criteria there are."""
    names = ("category", "status", "code:in")
    needed = {name for name, _ in scope.criteria}
    return {
        (scope.level, resource_type, letter, frozenset(held))
        for resource_type in TYPES
        for letter in scope.permissions
        for size in range(len(names) + 1)
        for held in itertools.combinations(names, size)
        if scope.resource_type in ("*", resource_type) and needed <= set(held)
    }


@given(scopes())
def test_a_formatted_scope_parses_to_itself(scope: Scope) -> None:
    assert parse_scope(scope.written) == scope


@given(scopes(), scopes())
def test_the_meet_is_covered_by_both_and_is_the_same_either_way(one: Scope, other: Scope) -> None:
    found, mirrored = meet(one, other), meet(other, one)
    assert (found is None) == (mirrored is None)
    if found is not None and mirrored is not None:
        assert one.covers(found)
        assert other.covers(found)
        assert found.covers(mirrored)
        assert mirrored.covers(found)


@given(scopes(), scopes())
def test_a_scope_covers_another_exactly_when_it_allows_all_of_it(one: Scope, other: Scope) -> None:
    single_valued = len({*one.criteria, *other.criteria}) == len(
        {n for n, _ in (*one.criteria, *other.criteria)}
    )
    if single_valued and other.resource_type != "*":
        assert one.covers(other) == (points(other) <= points(one))


@given(
    st.lists(scopes(), max_size=5), st.lists(scopes(), max_size=5), st.sets(st.sampled_from(LEVELS), min_size=1)
)
def test_what_is_granted_is_within_what_was_asked_and_what_is_allowed(
    asked: list[Scope], allowed: list[Scope], levels: set[str]
) -> None:
    granted = parse_scopes(
        negotiate(
            " ".join(scope.written for scope in asked),
            " ".join(scope.written for scope in allowed),
            levels,
            TYPES,
        )
    )
    for scope in granted:
        assert scope.level in levels
        assert any(other.covers(scope) for other in asked)
        assert any(other.covers(scope) for other in allowed)


@given(st.lists(scopes(), min_size=1, max_size=5))
def test_everything_asked_is_granted_when_the_same_is_allowed(asked: list[Scope]) -> None:
    written = " ".join(scope.written for scope in asked)
    granted = parse_scopes(negotiate(written, written, LEVELS, TYPES))
    for scope in asked:
        assert any(other.covers(scope) for other in granted)


@given(st.text(max_size=60))
def test_no_text_makes_parsing_fail(text: str) -> None:
    parse_scopes(text)
    negotiate(text, "patient/*.cruds openid", LEVELS, TYPES)


@pytest.mark.requirement("A7")
@pytest.mark.parametrize(
    ("written", "permissions"),
    [
        ("patient/Observation.read", "rs"),
        ("patient/Observation.write", "cud"),
        ("patient/Observation.*", "cruds"),
        ("patient/*.*", "cruds"),
    ],
)
def test_version_1_scopes_are_read_as_version_2_and_keep_their_writing(written: str, permissions: str) -> None:
    scope = parse_scope(written)
    assert scope is not None
    assert scope.permissions == permissions
    assert scope.written == written
    assert negotiate(written, "patient/*.cruds", ("patient",), TYPES) == written


@pytest.mark.parametrize(
    "written",
    [
        "patient/Observation.",
        "patient/Observation.sr",
        "patient/Observation.rr",
        "patient/Observation.x",
        "patient/observation.rs",
        "patient/Observation.rs?",
        "patient/Observation.rs?category",
        "patient/Observation.rs?category=",
        "patient/Observation.rs?category=a&",
        "patient/Observation.rs?subject:Patient.name=a",
        "patient/Observation.rs?_has:Task:focus:code=a",
        "patient/Observation.read?category=a",
        "Patient/Observation.rs",
        "*/Observation.rs",
        "patient/Observation.rs\\",
        "patient\u0000/Observation.rs",
        "openid",
        "launch/patient",
        "",
    ],
)
def test_other_words_are_no_resource_scopes(written: str) -> None:
    assert parse_scope(written) is None


def test_a_granular_scope_keeps_its_criteria() -> None:
    scope = parse_scope(
        "patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|encounter-diagnosis"
    )
    assert scope is not None
    assert scope.criteria == (
        ("category", "http://terminology.hl7.org/CodeSystem/condition-category|encounter-diagnosis"),
    )


@pytest.mark.parametrize(
    ("asked", "allowed", "levels", "granted"),
    [
        # asked, allowed to the client, levels of the grant, granted
        ("openid fhirUser", "openid", ("patient", "user"), "openid"),
        ("patient/Foo.rs openid", "patient/*.rs openid", ("patient",), "openid"),
        ("nonsense patient/Patient.rs", "patient/*.rs", ("patient",), "patient/Patient.rs"),
        (
            "patient/*.cruds",
            "patient/Patient.rs patient/Task.rs",
            ("patient",),
            "patient/Patient.rs patient/Task.rs",
        ),
        ("patient/Observation.cruds", "patient/*.rs", ("patient",), "patient/Observation.rs"),
        ("system/*.rs", "system/*.rs", ("patient", "user"), ""),
        ("system/*.rs openid launch", "system/*.rs openid launch", ("system",), "system/*.rs"),
        ("user/Patient.rs user/Patient.rs", "user/*.rs", ("user",), "user/Patient.rs"),
        (
            "patient/Observation.rs",
            "patient/Observation.rs?category=a patient/Observation.rs?category=b",
            ("patient",),
            "patient/Observation.rs?category=a patient/Observation.rs?category=b",
        ),
        ("", "patient/*.rs", ("patient",), ""),
    ],
)
def test_negotiation_grants(asked: str, allowed: str, levels: tuple[str, ...], granted: str) -> None:
    assert negotiate(asked, allowed, levels, {"Patient", "Observation"}) == granted


def test_context_scopes_are_no_resource_scopes() -> None:
    assert parse_scopes(" ".join(CONTEXT_SCOPES)) == ()
