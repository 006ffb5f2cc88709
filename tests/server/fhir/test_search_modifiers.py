"""Which modifiers a search parameter takes, and what their values are read as.

Covers hl7.org/fhir/R4/search.html#modifiers, #token, #reference, #versions, #recursive.
"""

from __future__ import annotations

from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.bindings import bound_codes, bound_systems, bound_value_sets
from server.fhir.hashing import of_type_hash
from server.fhir.hashing import probes as probes_of
from server.fhir.search_modifiers import modifiers
from server.fhir.search_parameters import parameter
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import (
    Clause,
    ConceptValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    TreeValue,
    ValueSetValue,
)
from server.fhir.search_rows import asks_new_rows

BASE = "http://server.example/fhir"
GENDER = "http://hl7.org/fhir/administrative-gender"


def known(resource_type: str, code: str) -> Any:
    found = parameter(resource_type, code)
    assert found is not None
    return found


def clause(resource_type: str, name: str, text: str) -> Clause:
    (condition,) = parse_search(resource_type, [(name, text)], base_url=BASE).conditions
    assert isinstance(condition, Clause)
    return condition


@pytest.mark.requirement("U2")
@pytest.mark.parametrize(
    ("resource_type", "code", "expected"),
    [
        ("Patient", "family", "contains exact missing"),
        ("Condition", "code", "above below in missing not not-in text"),
        ("Patient", "gender", "above below in missing not not-in"),
        ("Patient", "identifier", "missing not of-type text"),
        ("Patient", "active", "missing not"),
        ("DocumentReference", "contenttype", "below in missing not not-in"),
        ("Patient", "_tag", "above below in missing not not-in text"),
        ("Procedure", "location", "above below identifier missing"),
        ("Condition", "patient", "identifier missing"),
        ("PlanDefinition", "composed-of", "below missing"),
        ("ValueSet", "url", "above below missing"),
        ("Patient", "birthdate", "missing"),
        ("Patient", "_id", ""),
    ],
)
def test_a_parameter_offers_what_its_elements_can_answer(resource_type: str, code: str, expected: str) -> None:
    assert sorted(modifiers(known(resource_type, code))) == expected.split()


@pytest.mark.parametrize(
    ("resource_type", "name"),
    [
        ("Patient", "family:in"),
        ("Patient", "active:text"),
        ("Patient", "birthdate:below"),
        ("Condition", "code:of-type"),
        ("Condition", "patient:below"),
        ("PlanDefinition", "composed-of:identifier"),
        ("Patient", "identifier:in"),
        ("Patient", "gender:"),
        ("Condition", "code:otype"),
    ],
)
def test_another_modifier_is_refused_with_those_that_are_offered(resource_type: str, name: str) -> None:
    with pytest.raises(FhirError) as refused:
        parse_search(resource_type, [(name, "http://x.org/y")], base_url=BASE)
    (issue,) = refused.value.issues
    assert (refused.value.status, issue.code) == (400, "not-supported")
    assert issue.expression == f"http.{name.partition(':')[0]}"
    assert ":missing" in issue.diagnostics


@pytest.mark.parametrize(
    ("resource_type", "name", "text", "expected"),
    [
        ("Condition", "code:text", "headache", StringValue("headache")),
        ("Condition", "code:in", "http://x.org/vs|2", ValueSetValue("", "http://x.org/vs", "2")),
        ("Condition", "code:in", "urn:oid:1.2", ValueSetValue("", "urn:oid:1.2", "")),
        ("Condition", "code:not-in", "ValueSet/v1", ValueSetValue("v1", "", "")),
        ("Condition", "code:in", f"{BASE}/ValueSet/v1", ValueSetValue("v1", "", "")),
        ("Condition", "code:in", "http://x.org/ValueSet/v1", ValueSetValue("", "http://x.org/ValueSet/v1", "")),
        (
            "Condition",
            "code:below",
            "http://snomed.info/sct|126851005",
            ConceptValue("http://snomed.info/sct", "126851005"),
        ),
        ("Patient", "gender:above", "male", ConceptValue("", "male")),
        ("Procedure", "location:below", "42", TreeValue(("Location",), "42")),
        ("MedicationAdministration", "context:above", "Encounter/21", TreeValue(("Encounter",), "21")),
        (
            "Procedure",
            "location:below",
            "http://else.where/Location/1",
            ReferenceValue(None, None, "http://else.where/Location/1"),
        ),
        ("Patient", "gender", f"{GENDER}|male", TokenValue("", "male")),
        ("Patient", "gender", "urn:other|male", TokenValue("urn:other", "male")),
    ],
)
def test_a_value_is_read_as_its_modifier_says(
    resource_type: str, name: str, text: str, expected: object
) -> None:
    assert clause(resource_type, name, text).values == (expected,)


@pytest.mark.parametrize(
    ("resource_type", "name", "text"),
    [
        ("Condition", "code:in", "cardiac"),
        ("Condition", "code:in", ""),
        ("Condition", "code:in", "ValueSet/a/b"),
        ("Condition", "code:in", "ValueSet/a b\ud800"),
        ("Condition", "code:in", "ValueSet/" + "a" * 65),
        ("Condition", "code:below", "126851005"),
        ("Condition", "code:below", "|126851005"),
        ("Condition", "code:below", "urn:x|"),
        ("Condition", "code:text", "  "),
        ("Patient", "identifier:of-type", "urn:x|MR"),
        ("Patient", "identifier:of-type", "urn:x||446053"),
        ("Patient", "identifier:of-type", "446053"),
        ("DocumentReference", "contenttype:below", "image"),
        ("DocumentReference", "contenttype:below", "urn:ietf:bcp:13|text/xml"),
        ("Procedure", "location:below", "Patient/1"),
        ("Observation", "subject:below", "Patient/1"),
        ("ValueSet", "url:above", "http://x.org/" + "a/" * 100),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_not_repeated(resource_type: str, name: str, text: str) -> None:
    with pytest.raises(FhirError) as refused:
        parse_search(resource_type, [(name, text)], base_url=BASE)
    (issue,) = refused.value.issues
    assert (refused.value.status, issue.code) == (400, "value")
    assert issue.expression == f"http.{name.partition(':')[0]}"
    assert not text.strip() or text not in issue.diagnostics


@pytest.mark.requirement("U2")
def test_an_identifier_by_its_type() -> None:
    asked = clause(
        "Patient", "identifier:of-type", r"http://terminology.hl7.org/CodeSystem/v2-0203|MR|446\|053"
    )
    (value,) = asked.values
    expected = of_type_hash(
        asked.parameter.number, "http://terminology.hl7.org/CodeSystem/v2-0203", "MR", "446|053"
    )
    assert probes_of(asked.parameter, "of-type", value) == (expected,)


def test_an_element_of_type_code_has_the_systems_of_its_binding() -> None:
    gender = known("Patient", "gender")
    assert bound_value_sets(gender) == ("http://hl7.org/fhir/ValueSet/administrative-gender",)
    assert bound_codes(gender, GENDER) == {"male", "female", "other", "unknown"}
    assert bound_codes(gender, "urn:other") == frozenset()
    assert bound_systems(gender, "male") == (GENDER,)
    assert bound_value_sets(known("Condition", "code")) == ()
    assert bound_value_sets(known("CodeSystem", "code")) == ()  # whose codes are of any system


@pytest.mark.parametrize(
    ("resource_type", "name", "text", "expected"),
    [
        ("DocumentReference", "contenttype:below", "text/xml", True),
        ("QuestionnaireResponse", "questionnaire:below", "http://x.org/q|1", True),
        ("QuestionnaireResponse", "questionnaire:below", "http://x.org/q", False),
        ("Procedure", "location:below", "42", False),
        ("Condition", "code:below", "urn:x|1", False),
        ("Patient", "identifier:of-type", "urn:x|MR|1", False),
    ],
)
def test_what_an_older_database_has_no_rows_for_is_known(
    resource_type: str, name: str, text: str, expected: bool
) -> None:
    assert (asks_new_rows(parse_search(resource_type, [(name, text)])) is not None) is expected
