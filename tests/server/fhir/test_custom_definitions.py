"""A SearchParameter as a definition: which expressions are read, where they lead, and that hostile ones are
cheap.

Covers server/fhir/custom_definitions.py, server/fhir/index_custom.py, server/fhir/index_functions.py.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import FhirError
from server.fhir import generate_search_code
from server.fhir.custom_definitions import definitions
from server.fhir.custom_parameters import CustomParameters
from server.fhir.index_functions import FUNCTIONS
from server.fhir.index_values import index_values
from server.fhir.search_parameters import all_answered, supported
from server.fhir.search_parsing import parse_search


def define(kind: str, expression: str, base: str = "Patient", **more: Any) -> Any:
    content = {"code": "x-code", "type": kind, "base": [base], "url": "urn:x", "expression": expression, **more}
    (found,) = definitions(content)
    return found


def defined(kind: str, expression: str, base: str = "Patient") -> Any:
    """The parameter, or why there is none."""
    try:
        return define(kind, expression, base)
    except FhirError as error:
        return error


@pytest.mark.parametrize(
    ("kind", "base", "expression", "datatypes"),
    [
        ("token", "Patient", "Patient.extension('urn:x').value.ofType(Coding)", ("Coding",)),
        ("token", "Patient", "Patient.extension.where(url = 'urn:x').value.as(boolean)", ("boolean",)),
        ("token", "Patient", "(Patient.deceased as boolean)", ("boolean",)),
        ("token", "Patient", "Patient.gender", ("code",)),
        ("token", "Patient", "Patient.contact.relationship.coding[0]", ("Coding",)),
        ("string", "Patient", "Patient.contact.name | Patient.contact.name.text", ("HumanName", "string")),
        ("string", "Patient", "Patient.name.where(use = 'official').family.first()", ("string",)),
        ("reference", "Patient", "Patient.link.other.where(resolve() is RelatedPerson)", ("Reference",)),
        (
            "reference",
            "Observation",
            "Observation.component.value.extension('u').value as Reference",
            ("Reference",),
        ),
        ("date", "Task", "Task.restriction.period", ("Period",)),
        ("number", "Observation", "Observation.component.value.ofType(integer)", ("integer",)),
        ("number", "Patient", "Patient.telecom.rank", ("integer",)),
        ("quantity", "Observation", "Observation.component.value as Quantity", ("Quantity",)),
        ("uri", "Patient", "Patient.extension.url", ("uri",)),
        ("uri", "Patient", "Patient.meta.profile", ("canonical",)),
    ],
)
def test_the_datatypes_of_an_expression_are_known_before_there_is_a_resource(
    kind: str, base: str, expression: str, datatypes: tuple[str, ...]
) -> None:
    assert define(kind, expression, base).datatypes == datatypes


def test_every_expression_of_r4_without_functions_of_its_own_is_read_as_the_generator_reads_it() -> None:
    """What R4 itself defines on these types leads to the same datatypes, or is refused with a reason."""
    read = refused = 0
    for base in ("Patient", "Observation", "MedicationRequest", "Encounter", "Task", "Condition"):
        for shipped in supported(base).values():
            if shipped.type not in FUNCTIONS or shipped.code.startswith("_") or not shipped.datatypes:
                continue
            own = defined(shipped.type, shipped.expression, base)
            if isinstance(own, FhirError):
                assert own.kind == "unprocessable"
                refused += 1
                continue
            assert set(own.datatypes) == set(shipped.datatypes), shipped
            read += 1
    assert read > 100
    assert refused < read / 10


def test_the_table_of_functions_is_that_of_the_generated_extractors() -> None:
    ours = {
        kind: {name: function.__name__ for name, function in rules.items()} for kind, rules in FUNCTIONS.items()
    }
    theirs = {kind: dict(rules) for kind, rules in generate_search_code._FUNCTIONS.items()}
    theirs["reference"].pop("Resource")  # a resource within a resource is not looked into
    assert ours == theirs


def test_its_rows_are_those_of_a_shipped_parameter_of_the_same_expression() -> None:
    from dataclasses import replace

    patient = {
        "resourceType": "Patient",
        "id": "p",
        "birthDate": "1950-02-03",
        "gender": "female",
        "name": [{"family": "Straße", "given": ["A", "B"]}],
        "identifier": [
            {"system": "urn:i", "value": "1", "type": {"coding": [{"system": "urn:t", "code": "MR"}]}}
        ],
        "generalPractitioner": [{"reference": "Practitioner/1"}, {"reference": "Organization/2"}],
        "deceasedDateTime": "2026-01-02T03:04:05Z",
        "maritalStatus": {"coding": [{"system": "urn:m", "code": "M"}], "text": "married"},
    }
    before = index_values(patient)
    for code in ("birthdate", "gender", "name", "identifier", "general-practitioner", "death-date", "family"):
        shipped = all_answered("Patient")[code]
        own = replace(define(shipped.type, shipped.expression), number=shipped.number)
        assert index_values(patient, custom=CustomParameters(0, {"Patient": {code: own}})) == before, code


def test_a_reference_puts_nothing_into_a_compartment_or_chart() -> None:
    own = define("reference", "Basic.extension('u').value.ofType(Reference)", "Basic")
    basic = {
        "resourceType": "Basic",
        "id": "b",
        "extension": [{"url": "u", "valueReference": {"reference": "Patient/a"}}],
    }
    rows = index_values(basic, custom=CustomParameters(7, {"Basic": {"x-code": own}}))
    assert (rows.compartments, rows.patient, rows.epoch) == ((), None, 7)
    assert len(rows.references) == 1


def test_an_expression_that_looks_at_too_much_is_refused_and_soon() -> None:
    expression = "Patient.name." + ".".join(
        ["where(given.where(given.exists() or $this.exists()).exists())"] * 12
    )
    own = define("string", expression + ".text")
    names = [{"given": ["x"] * 200, "text": "x"} for _ in range(200)]
    begun = time.monotonic()
    with pytest.raises(FhirError) as refused:
        index_values(
            {"resourceType": "Patient", "id": "p", "name": names},
            custom=CustomParameters(1, {"Patient": {"x-code": own}}),
        )
    assert refused.value.kind == "too-costly"
    assert "x-code" in refused.value.issues[0].diagnostics
    assert time.monotonic() - begun < 3


_SPOKEN = (
    "Patient name . ( ) ' ` | where extension('x') = and [0] ofType( as $this resolve() is repeat( \\ %resource"
    " @2020 1.5 é value HumanName \0"
)
WORDS = st.sampled_from([*_SPOKEN.split(" "), " "])


@given(st.lists(WORDS, max_size=60).map("".join), st.sampled_from([*FUNCTIONS, "composite"]))
def test_whatever_it_says_it_is_read_or_refused_with_the_element(expression: str, kind: str) -> None:
    found = defined(kind, expression)
    if isinstance(found, FhirError):
        assert found.kind == "unprocessable"
        assert found.issues[0].expression.startswith("SearchParameter.")
    else:
        assert found.datatypes
        patient = {"resourceType": "Patient", "id": "p", "name": [{"family": "x"}], "active": True}
        index_values(patient, custom=CustomParameters(1, {"Patient": {"x-code": found}}))


def test_a_search_by_shipped_parameters_does_not_ask_what_is_defined_here() -> None:
    def asked() -> CustomParameters:
        raise AssertionError("it was asked")

    pairs = [("name", "x"), ("general-practitioner:Practitioner.family", "x"), ("_sort", "-birthdate,_id")]
    pairs += [("_include", "Patient:organization"), ("_revinclude", "Observation:subject"), ("_include", "*")]
    pairs += [("_has:Observation:patient:code", "x"), ("birthdate:missing", "true")]
    assert parse_search("Patient", pairs, known=asked).conditions
    with pytest.raises(AssertionError, match="asked"):
        parse_search("Patient", [("x-code", "x")], known=asked)
