"""Which rows answer a clause: quantities in base units, composites by a token's entry, unions by their parts.

Covers server/fhir/search_rows.py; hl7.org/fhir/R4/search.html#quantity, #number.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fhir import hashing
from server.fhir.criteria import indexed, matches
from server.fhir.search_parameters import parameter
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import Amount, AmountPair, Clause, SearchQuery
from server.fhir.search_rows import asks_new_rows, row_clauses

UCUM = "http://unitsofmeasure.org"


def query(resource_type: str, *pairs: tuple[str, str]) -> SearchQuery:
    return parse_search(resource_type, pairs)


def asked(code: str, value: str, resource_type: str = "Observation") -> tuple[Clause, ...]:
    (clause,) = query(resource_type, (code, value)).conditions
    assert isinstance(clause, Clause)
    return row_clauses(clause)


def number(code: str, resource_type: str = "Observation") -> int:
    found = parameter(resource_type, code)
    assert found is not None
    return found.number


def test_a_number_with_a_system_is_asked_in_base_units() -> None:
    (clause,) = asked("value-quantity", f"5.4|{UCUM}|mg")
    assert clause.parameter.number == hashing.canonical_number(number("value-quantity"))
    assert clause.values == (Amount("eq", 0.0054, 0.00535, 0.00545, hashing.dimension_hash("g")),)


def test_a_number_without_a_system_is_asked_as_written() -> None:
    (clause,) = asked("value-quantity", "5.4||mg,5")
    assert clause.parameter.number == number("value-quantity")
    assert [value.unit for value in clause.values if isinstance(value, Amount)] == [
        hashing.unit_hash(None, "mg"),
        None,
    ]


def test_what_two_parameters_select_together_is_asked_of_both() -> None:
    clauses = asked("combo-value-quantity", "5")
    assert {clause.parameter.number for clause in clauses} == {
        number("value-quantity"),
        number("component-value-quantity"),
    }
    codes = asked("combo-code", "x,y")
    assert {clause.parameter.number for clause in codes} == {number("code"), number("component-code")}
    assert {len(clause.values) for clause in codes} == {2}


def test_values_beside_one_token_are_asked_together() -> None:
    clauses = asked("code-value-quantity", "x$5,x$7,y$5")
    beside_x, beside_y = (hashing.code_hash(number("code-value-quantity"), code) for code in ("x", "y"))
    assert {clause.parameter.number: len(clause.values) for clause in clauses} == {beside_x: 2, beside_y: 1}


def test_two_numbers_beside_a_token_are_one_pair() -> None:
    (clause,) = asked("chromosome-window-coordinate", "1$ge100$lt200", "MolecularSequence")
    (pair,) = clause.values
    assert isinstance(pair, AmountPair)
    assert (pair.first.prefix, pair.second.prefix) == ("ge", "lt")


@pytest.mark.parametrize(
    "value", ["0", "0.00", "1e-200", "5.4", "-7", "1" + "0" * 60, "123456789.123456789012345"]
)
@pytest.mark.parametrize("unit", ["mg", "Cel", "[degF]", "mm[Hg]", "10*9/L"])
@pytest.mark.parametrize("prefix", ["", "eq", "ap"])
def test_a_stored_number_is_found_as_it_was_written_however_it_is_rounded(
    value: str, unit: str, prefix: str
) -> None:
    quantity = {"value": Decimal(value), "unit": unit, "system": UCUM, "code": unit}
    resource = {"resourceType": "Observation", "valueQuantity": quantity}
    for text in (f"{prefix}{value}|{UCUM}|{unit}", f"{prefix}{value}||{unit}", f"{prefix}{value}"):
        assert matches(indexed(resource), query("Observation", ("value-quantity", text))), text


EQUAL = [("mg", Decimal(1)), ("g", Decimal("0.001")), ("ug", Decimal(1000)), ("kg", Decimal("0.000001"))]
amounts = st.decimals(-1000, 1000, places=3, allow_nan=False, allow_infinity=False)
prefixes = st.sampled_from(["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"])


@given(amounts, st.sampled_from(EQUAL), amounts, st.sampled_from(EQUAL), prefixes)
def test_comparing_in_two_units_is_arithmetic(
    stored: Decimal, of_stored: tuple[str, Decimal], asked: Decimal, of_asked: tuple[str, Decimal], prefix: str
) -> None:
    quantity = {"value": stored * of_stored[1], "system": UCUM, "code": of_stored[0]}
    resource = {"resourceType": "Observation", "valueQuantity": quantity}
    written = asked * of_asked[1]
    exponent = written.as_tuple().exponent
    assert isinstance(exponent, int)
    margin = Decimal(5).scaleb(exponent - 1) / of_asked[1]  # half of the last digit, in mg
    expected = {
        "eq": asked - margin <= stored < asked + margin,
        "ne": not asked - margin <= stored < asked + margin,
        "gt": stored > asked,
        "sa": stored > asked,
        "lt": stored < asked,
        "eb": stored < asked,
        "ge": stored >= asked,
        "le": stored <= asked,
    }[prefix]
    text = f"{prefix}{written:f}|{UCUM}|{of_asked[0]}"
    assert matches(indexed(resource), query("Observation", ("value-quantity", text))) is expected


@pytest.mark.parametrize(
    ("comparator", "value", "expected"),
    [
        ("<", "lt5", True), ("<", "le5", True), ("<", "ge5", False), ("<", "gt5", False), ("<", "eb5", True),
        ("<", "sa4", False), ("<", "ap5", True), ("<", "5", False), ("<", "ne5", True), ("<", "eb4", False),
        ("<=", "ge5", True), ("<=", "gt5", False), ("<=", "eb5", False),
        (">", "gt5", True), (">", "ge5", True), (">", "le5", False), (">", "lt5", False), (">", "sa5", True),
        (">", "eb9", False), (">", "ap5", True), (">", "5", False), (">", "ne5", True), (">", "sa6", False),
        (">=", "le5", True), (">=", "lt5", False), (">=", "sa5", False),
    ],
)  # fmt: skip
def test_a_comparator_stands_for_all_numbers_on_its_side(comparator: str, value: str, expected: bool) -> None:
    quantity = {"value": 5, "comparator": comparator, "system": UCUM, "code": "mg"}
    resource = {"resourceType": "Observation", "valueQuantity": quantity}
    for unit in ("", "||mg", f"|{UCUM}|mg"):
        assert matches(indexed(resource), query("Observation", ("value-quantity", value + unit))) is expected


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("value-quantity", f"5|{UCUM}|mg")], "value-quantity"),
        ([("code-value-quantity", "x$5")], "code-value-quantity"),
        ([("patient.name", "x"), ("value-quantity", "5||mg")], None),
        ([("_has:Task:focus:due", "2026")], "due"),
        ([("subject:Patient._has:Task:patient:due", "2026")], "due"),
        ([("combo-code-value-quantity:missing", "true")], "combo-code-value-quantity"),
        ([("code", "x"), ("date", "2026"), ("_sort", "-date")], None),
    ],
)
def test_searches_that_need_the_rows_of_schema_5_are_known(
    pairs: list[tuple[str, str]], expected: str | None
) -> None:
    found = asks_new_rows(query("Observation", *pairs))
    assert (found and found.code) == expected


def test_sorting_tasks_by_what_is_due_needs_them_too() -> None:
    found = asks_new_rows(query("Task", ("_sort", "due")))
    assert found is not None
    assert found.code == "due"
    assert asks_new_rows(replace(query("Task", ("_sort", "authored-on")))) is None
