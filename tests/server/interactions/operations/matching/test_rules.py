"""The rules that judge two people: what agrees, what a slip is, and that nobody else is certain.

Covers server/interactions/operations/matching. All people are synthetic.
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.interactions.operations.matching.candidates import searches, slips_of, spellings
from server.interactions.operations.matching.compare import compare, is_typing_error, slips
from server.interactions.operations.matching.grade import GRADES, judge
from server.interactions.operations.matching.model import model
from server.interactions.operations.matching.person import person

MODEL = model()


def outcomes(one: dict[str, Any], other: dict[str, Any]) -> dict[str, str]:
    return {r.element: r.outcome for r in compare(person(one, MODEL), person(other, MODEL))}


def grade(one: dict[str, Any], other: dict[str, Any]) -> str:
    return judge(compare(person(one, MODEL), person(other, MODEL)), MODEL).grade


# -- slips


@pytest.mark.parametrize(
    ("one", "other", "number"),
    [
        ("smith", "smith", 0),
        ("smith", "smyth", 1),
        ("smith", "simth", 1),
        ("smith", "smit", 1),
        ("smith", "ssmith", 1),
        ("smith", "schmidt", 4),
        ("abc", "cba", 2),
        ("", "ab", 2),
    ],
)
def test_slips_are_letters_missing_added_replaced_or_swapped(one: str, other: str, number: int) -> None:
    assert slips(one, other, 5) == slips(other, one, 5) == number
    assert slips(one, other, 1) == min(number, 2)


@given(st.text("abc", max_size=6), st.text("abc", max_size=6), st.integers(0, 4))
def test_the_number_of_slips_is_that_of_a_plain_calculation(one: str, other: str, most: int) -> None:
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, j in itertools.product(range(len(one) + 1), range(len(other) + 1)):
        ways = [i + j]
        if i:
            ways.append(table[i - 1][j] + 1)
        if j:
            ways.append(table[i][j - 1] + 1)
        if i and j:
            ways.append(table[i - 1][j - 1] + (one[i - 1] != other[j - 1]))
        if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
            ways.append(table[i - 2][j - 2] + 1)
        table[i][j] = min(ways) if i or j else 0
    assert slips(one, other, most) == min(table[-1][-1], most + 1)


def test_short_words_differ_by_more_than_a_slip() -> None:
    assert not is_typing_error("lee", "leo")
    assert is_typing_error("anna", "anne")
    assert not is_typing_error("garcia", "garzzia")
    assert is_typing_error("rodriguez", "rodrigezz")
    assert not is_typing_error("anna", "anna")


@given(st.dates())
def test_the_slips_of_a_date_are_dates_that_are_nearly_it(day: Any) -> None:
    written = day.isoformat()
    made = slips_of(written)
    assert written not in made
    assert len(made) == len(set(made)) <= 80
    for other in made:
        assert outcomes({"birthDate": written}, {"birthDate": other}) in ({"birthDate": "nearly"}, {})


@given(st.integers(10**9, 10**10 - 1).map(str))
def test_every_spelling_of_a_number_is_the_same_number(phone: str) -> None:
    for spelling in spellings(phone):
        found = person({"telecom": [{"system": "phone", "value": spelling}]}, MODEL).phones
        assert found == ({phone} if len(set(phone)) > 1 else set())


# -- outcomes


def name(family: str, *given: str, **more: Any) -> dict[str, Any]:
    return {"name": [{"family": family, "given": list(given)} | more]}


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        (name("Müller", "Ana"), name("MULLER", "Àna"), {"family": "agrees", "given": "agrees"}),
        (name("O'Brien", "Ana"), name("OBrien", "Ana"), {"family": "agrees", "given": "agrees"}),
        (name("Smith-Jones", "Ana"), name("Smith Jones", "Ana"), {"family": "agrees", "given": "agrees"}),
        (name("Smith-Jones", "Ana"), name("Jones", "Ana"), {"family": "nearly", "given": "agrees"}),
        (
            name("Testfall", "Ana", "M."),
            name("Testfall", "Ana", "Maria"),
            {"family": "agrees", "given": "agrees"},
        ),
        (
            name("Testfall", "Ana", "Luz"),
            name("Testfall", "Ana", "Maria"),
            {"family": "agrees", "given": "nearly"},
        ),
        (name("Testfall", "A"), name("Testfall", "Ana"), {"family": "agrees", "given": "nearly"}),
        (name("Testfall", "Maria"), name("Testfall", "Ana", "Maria"), {"family": "agrees", "given": "nearly"}),
        (name("Ana", "Testfall"), name("Testfall", "Ana"), {"family": "nearly", "given": "nearly"}),
        (name("Testfall", "Ana"), name("Testfall", "Eva"), {"family": "agrees", "given": "differs"}),
        (name("Testfall"), name("Testfall", "Eva"), {"family": "agrees"}),
        (name("Unknown", "Baby Boy"), name("Unknown", "Baby Boy"), {}),
        (
            name("Testfall", "Karl", suffix=["Jr."]),
            name("Testfall Sr", "Karl"),
            {"family": "agrees", "given": "agrees", "suffix": "differs"},
        ),
        (
            name("Testfall", "Karl", suffix=["II"]),
            name("Testfall", "Karl", suffix=["Junior"]),
            {"family": "agrees", "given": "agrees", "suffix": "agrees"},
        ),
        (
            {"name": [{"text": "Testfall, Ana"}]},
            {"name": [{"text": "Ana Testfall"}]},
            {"family": "agrees", "given": "agrees"},
        ),
    ],
)
def test_names(one: dict[str, Any], other: dict[str, Any], wanted: dict[str, str]) -> None:
    assert outcomes(one, other) == outcomes(other, one) == wanted


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ("1950-03-12", "1950-03-12", "agrees"),
        ("1950-03-12", "1950-12-03", "nearly"),
        ("1950-03-12", "1950-03-21", "nearly"),
        ("1950-03-12", "1959-03-12", "nearly"),
        ("1950-03-12", "1950-03", "partly"),
        ("1950", "1950", "partly"),
        ("1950-03-12", "1951", "differs"),
        ("1950-03-12", "1952-04-12", "differs"),
        ("1900-01-01", "1900-01-01", None),
    ],
)
def test_birth_dates(one: str, other: str, wanted: str | None) -> None:
    expected = {"birthDate": wanted} if wanted else {}
    assert outcomes({"birthDate": one}, {"birthDate": other}) == expected
    assert outcomes({"birthDate": other}, {"birthDate": one}) == expected


def test_identifiers_agree_by_system_and_differ_within_one() -> None:
    def numbers(*pairs: tuple[str, str]) -> dict[str, Any]:
        return {"identifier": [{"system": system, "value": value} for system, value in pairs]}

    assert outcomes(numbers(("a", "77-12")), numbers(("a", "7712"))) == {"identifier": "agrees"}
    assert outcomes(numbers(("a", "7712")), numbers(("b", "7712"))) == {}
    assert outcomes(numbers(("a", "7712")), numbers(("a", "7713"))) == {"identifier": "differs"}
    both = compare(
        person(numbers(("a", "7712"), ("b", "8855")), MODEL),
        person(numbers(("a", "7712"), ("b", "8856")), MODEL),
    )
    assert [r.outcome for r in both] == ["agrees", "differs"]
    assert outcomes({"identifier": [{"value": "7712"}]}, {"identifier": [{"value": "7712"}]}) == {}


# -- grades

ELEMENTS: dict[str, st.SearchStrategy[Any]] = {
    "identifier": st.lists(
        st.fixed_dictionaries({"system": st.sampled_from("ab"), "value": st.sampled_from(("7712", "7713"))}),
        max_size=2,
    ),
    "name": st.lists(
        st.fixed_dictionaries(
            {
                "family": st.sampled_from(("Testfall", "Testfal", "Else")),
                "given": st.lists(st.sampled_from(("Anna", "Anne", "A", "Karl")), min_size=1, max_size=2),
                "suffix": st.lists(st.sampled_from(("Jr", "Sr")), max_size=1),
            }
        ),
        max_size=2,
    ),
    "birthDate": st.sampled_from(("1950-03-12", "1950-12-03", "1975-03-12", "1950")),
    "gender": st.sampled_from(("male", "female", "unknown")),
    "multipleBirthInteger": st.integers(1, 2),
    "telecom": st.lists(
        st.fixed_dictionaries(
            {"system": st.just("phone"), "value": st.sampled_from(("5553104587", "5553104588"))}
        ),
        max_size=1,
    ),
    "address": st.lists(
        st.fixed_dictionaries(
            {"postalCode": st.just("02139"), "line": st.sampled_from((["1 Road"], ["2 Road"]))}
        ),
        max_size=1,
    ),
}
PEOPLE = st.fixed_dictionaries({}, optional=ELEMENTS)


@given(PEOPLE, PEOPLE)
@example(
    {"name": [{"family": "Testfal", "given": ["Anna"]}, {"family": "Testfall", "given": ["Anna", "A"]}]},
    {"name": [{"family": "Else", "given": ["Anna", "A"]}, {"family": "Testfal", "given": ["Karl"]}]},
)
def test_judging_is_symmetric_and_within_its_bounds(one: dict[str, Any], other: dict[str, Any]) -> None:
    there = judge(compare(person(one, MODEL), person(other, MODEL)), MODEL)
    back = judge(compare(person(other, MODEL), person(one, MODEL)), MODEL)
    assert (there.grade, there.score) == (back.grade, back.score)
    assert there.grade in GRADES
    assert 0 <= there.score <= 1


@given(PEOPLE, PEOPLE)
def test_certain_needs_the_birth_date_the_first_name_and_nothing_against_it(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    if grade(one, other) != "certain":
        return
    assert one["birthDate"] == other["birthDate"] == "1950-03-12" or one["birthDate"] != "1950"
    reasons = compare(person(one, MODEL), person(other, MODEL))
    assert "differs" not in {reason.outcome for reason in reasons}
    assert {"birthDate", "given", "family"} <= {reason.element for reason in reasons}
    firsts = [{each["given"][0].casefold() for each in every["name"]} for every in (one, other)]
    assert firsts[0] & firsts[1]


@given(PEOPLE, PEOPLE, st.sampled_from(("birthDate", "given", "suffix", "multipleBirth")))
def test_what_differs_caps_the_grade(one: dict[str, Any], other: dict[str, Any], element: str) -> None:
    if outcomes(one, other).get(element) == "differs":
        assert grade(one, other) in ("possible", "certainly-not")


def test_every_outcome_has_its_weight_and_each_step_down_weighs_less() -> None:
    for weights in MODEL.weights.values():
        assert weights["agrees"] > 0 > weights["differs"]
        for between in {"nearly", "partly"} & set(weights):
            assert weights["differs"] < weights[between] < weights["agrees"]
    assert set(MODEL.weights) >= MODEL.household | MODEL.at_most_possible | MODEL.at_most_probable


# -- candidates


def test_too_little_asks_nothing() -> None:
    for patient in (
        {},
        {"gender": "male"},
        {"birthDate": "1950-03-12"},
        name("Testfall"),
        {"identifier": [{"value": "1"}]},
    ):
        assert searches(patient, person(patient, MODEL), MODEL) == ()


def test_values_are_written_as_a_search_reads_them() -> None:
    patient = {"identifier": [{"system": "urn:a,b", "value": "7|7,12$"}]}
    assert searches(patient, person(patient, MODEL), MODEL) == ((("identifier", "urn:a\\,b|7\\|7\\,12\\$"),),)


@given(PEOPLE)
def test_no_search_is_of_a_birth_date_or_a_name_alone(patient: dict[str, Any]) -> None:
    for pairs in searches(patient, person(patient, MODEL), MODEL):
        assert pairs[0][0] == "identifier" or len(pairs) > 1


def test_a_score_is_written_with_at_most_four_digits() -> None:
    judged = judge(
        compare(person(name("Testfall", "Anna"), MODEL), person(name("Testfall", "Anna"), MODEL)), MODEL
    )
    assert -Decimal(str(judged.score)).as_tuple().exponent <= 4  # type: ignore[operator]
