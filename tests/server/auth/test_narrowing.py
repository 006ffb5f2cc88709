"""What a person may choose in place of a scope, and what is granted then.

Covers hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (wildcard and granular scopes) and
hl7.org/fhir/us/core/STU7/scopes.html
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth.narrowing import Option, granted, options
from server.auth.scopes import parse_scope, parse_scopes

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
LAB = f"patient/Observation.rs?category={CATEGORY}|laboratory"
VITAL = f"patient/Observation.rs?category={CATEGORY}|vital-signs"
PROBLEMS = (
    "patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item"
)
ASKED = (
    "openid",
    "launch/patient",
    "offline_access",
    "patient/*.rs",
    "patient/*.read",
    "patient/*.cruds",
    "patient/Patient.read",
    "patient/Patient.rs",
    "patient/Condition.rs",
    "patient/Observation.rs",
    "patient/Observation.r",
    "patient/Observation.write",
    "patient/Practitioner.rs",
    "user/*.rs",
    "user/Observation.cruds",
    LAB,
    "patient/Observation.rs?status=final",
)


def every(among: tuple[Option, ...]) -> Iterator[Option]:
    for option in among:
        yield option
        yield from every(option.narrower)


def written(among: tuple[Option, ...]) -> list[str]:
    return [option.scope.written for option in among]


@st.composite
def decisions(draw: st.DrawFn) -> tuple[str, set[str]]:
    """An asked scope and boxes ticked of those offered for it, and some that were not offered."""
    asked = " ".join(draw(st.lists(st.sampled_from(ASKED), min_size=1, unique=True)))
    offered = [option.scope.written for option in every(options(asked))]
    boxes = st.sampled_from([*offered, "user/*.cruds", "system/*.rs", "nonsense"])
    return asked, draw(st.sets(boxes, max_size=6))


@given(decisions())
def test_nothing_is_granted_that_was_not_asked_for(decision: tuple[str, set[str]]) -> None:
    asked, chosen = decision
    held = parse_scopes(asked)
    for word in granted(asked, chosen).split():
        scope = parse_scope(word)
        assert word in asked.split() if scope is None else any(other.covers(scope) for other in held)


@given(decisions())
def test_only_what_was_chosen_is_granted_and_nothing_wider(decision: tuple[str, set[str]]) -> None:
    asked, chosen = decision
    picked = [scope for word in chosen if (scope := parse_scope(word))]
    for scope in parse_scopes(granted(asked, chosen)):
        assert any(other.covers(scope) for other in picked), scope.written


@given(decisions())
def test_a_scope_is_never_granted_beside_what_was_chosen_in_its_place(decision: tuple[str, set[str]]) -> None:
    asked, chosen = decision
    words = granted(asked, chosen).split()
    for option in every(options(asked)):
        inner = {each.scope.written for each in every(option.narrower)}
        if option.scope.written in words and option in options(asked):
            assert not inner & chosen, option.scope.written


@given(st.lists(st.sampled_from(ASKED), min_size=1, unique=True))
def test_everything_left_ticked_is_everything_that_was_asked(asked: list[str]) -> None:
    text = " ".join(asked)
    assert granted(text, set(written(options(text)))) == text


@given(st.lists(st.sampled_from(ASKED), min_size=1, unique=True))
def test_nothing_ticked_is_nothing_where_there_was_something_to_tick(asked: list[str]) -> None:
    text = " ".join(asked)
    assert granted(text, set()) == ("" if options(text) else text)


@pytest.mark.requirement("A6")
def test_kinds_replace_the_scope_of_their_type() -> None:
    asked = "launch/patient patient/Patient.rs patient/Condition.rs patient/Observation.rs"
    chosen = {*written(options(asked)), LAB, VITAL, PROBLEMS}
    assert granted(asked, chosen).split() == ["launch/patient", "patient/Patient.rs", PROBLEMS, LAB, VITAL]


def test_kinds_count_also_where_the_box_of_their_type_was_left_out() -> None:
    assert granted("patient/Observation.rs", {LAB}) == LAB


@pytest.mark.requirement("A5")
def test_a_wildcard_is_narrowed_to_types_and_to_kinds_of_them() -> None:
    chosen = {"patient/*.rs", "patient/Patient.rs", "patient/Observation.rs", LAB}
    assert granted("openid patient/*.rs", chosen).split() == ["openid", LAB, "patient/Patient.rs"]


@pytest.mark.requirement("A7")
def test_version_1_stays_version_1_where_it_can_say_it() -> None:
    asked = "patient/*.read"
    assert "patient/Condition.read" in [option.scope.written for option in every(options(asked))]
    assert granted(asked, {"patient/Patient.read", LAB}).split() == [LAB, "patient/Patient.read"]


def test_what_another_scope_covers_is_no_choice_of_its_own_and_goes_with_it() -> None:
    asked = "patient/Patient.read patient/*.rs patient/Observation.rs?status=final"
    assert written(options(asked)) == ["patient/*.rs"]
    assert granted(asked, {"patient/Patient.rs"}).split() == ["patient/Patient.read", "patient/Patient.rs"]
    assert granted(asked, {"patient/*.rs"}) == asked
    assert granted(asked, {LAB}) == LAB


def test_nobodys_chart_is_offered_for_reading_alone() -> None:
    offered = written(options("patient/*.cruds")[0].narrower)
    assert "patient/Practitioner.rs" in offered
    assert "patient/Observation.cruds" in offered
    assert "patient/Practitioner.cruds" not in offered
    assert not any("Practitioner" in word for word in written(options("patient/*.cud")[0].narrower))


def test_a_granular_scope_is_as_narrow_as_it_gets() -> None:
    assert options(LAB)[0].narrower == ()
