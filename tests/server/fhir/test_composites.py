"""Composite parameters: values that stand together in one element, and only those.

Covers hl7.org/fhir/R4/search.html#combining and #quantity, by the rules of matching in memory; that SQL agrees
is tested in tests/server/storage.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.criteria import indexed, matches
from server.fhir.index_composites import PAIRS_MAXIMUM
from server.fhir.index_values import index_values
from server.fhir.search_parameters import parameters, supported
from server.fhir.search_parsing import parse_search

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
SYSTOLIC, DIASTOLIC = "8480-6", "8462-4"


def concept(code: str, system: str = LOINC) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def amount(value: str, code: str, **more: str) -> dict[str, Any]:
    return {"value": Decimal(value), "unit": code, "system": UCUM, "code": code, **more}


def pressure(systolic: str, diastolic: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": concept("85354-9"),
        "component": [
            {"code": concept(SYSTOLIC), "valueQuantity": amount(systolic, "mm[Hg]")},
            {"code": concept(DIASTOLIC), "valueQuantity": amount(diastolic, "mm[Hg]")},
        ],
    }


def observation(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": concept("x"), **elements}


def found(resource: dict[str, Any], name: str, value: str) -> bool:
    query = parse_search(resource["resourceType"], [(name, value)], base_url="http://server.example/fhir")
    return matches(indexed(resource, base_url="http://server.example/fhir"), query)


@pytest.mark.parametrize("name", ["component-code-value-quantity", "combo-code-value-quantity"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"{SYSTOLIC}$140", True),
        (f"{LOINC}|{SYSTOLIC}$140", True),
        (f"{SYSTOLIC}$gt130", True),
        (f"{DIASTOLIC}$gt130", False),  # another component has it
        (f"{SYSTOLIC}$90", False),
        (f"{DIASTOLIC}$90,{DIASTOLIC}$91", True),
        (f"urn:other|{SYSTOLIC}$140", False),
        (f"|{SYSTOLIC}$140", False),
        (f"{SYSTOLIC}$140||mm[Hg]", True),
        (f"{SYSTOLIC}$140|{UCUM}|mm[Hg]", True),
        (f"{SYSTOLIC}$14|{UCUM}|cm[Hg]", True),
        (f"{SYSTOLIC}$14||cm[Hg]", False),  # without a system: as written
        (f"{SYSTOLIC}$140|{UCUM}|mg", False),
        (f"{SYSTOLIC}$140|urn:other|mm[Hg]", False),
        (f"{SYSTOLIC}$lt141|{UCUM}|mm[Hg]", True),
        (f"{SYSTOLIC}$sa140|{UCUM}|mm[Hg]", False),
        (f"{SYSTOLIC}$eb140.5|{UCUM}|mm[Hg]", True),
        (f"{SYSTOLIC}$ap150|{UCUM}|mm[Hg]", True),
        (f"{SYSTOLIC}$ne140", False),
    ],
)
def test_a_component_is_found_by_its_own_code_and_value(name: str, value: str, expected: bool) -> None:
    assert found(pressure("140", "90"), name, value) is expected


def test_the_code_of_the_whole_goes_with_the_value_of_the_whole() -> None:
    whole = observation(valueQuantity=amount("5.4", "mg")) | {
        "component": [{"code": concept("y"), "valueQuantity": amount("7", "mg")}]
    }
    assert found(whole, "code-value-quantity", "x$5.4")
    assert not found(whole, "code-value-quantity", "x$7")
    assert not found(whole, "code-value-quantity", "y$7")
    assert not found(whole, "component-code-value-quantity", "x$5.4")
    assert found(whole, "component-code-value-quantity", "y$7")
    assert found(whole, "combo-code-value-quantity", "x$5.4")
    assert found(whole, "combo-code-value-quantity", "y$7")
    assert not found(whole, "combo-code-value-quantity", "x$7")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("code-value-concept", f"x${LOINC}|LA6576-8", True),
        ("code-value-concept", "x$LA6576-8", True),
        ("combo-code-value-concept", f"{LOINC}|x$LA6576-8", True),
        ("code-value-concept", "LA6576-8$x", False),
        ("code-value-concept", "x$x", False),
        ("code-value-string", "x$posi", False),
    ],
)
def test_two_codes_of_one_element(name: str, value: str, expected: bool) -> None:
    assert found(observation(valueCodeableConcept=concept("LA6576-8")), name, value) is expected


def test_a_code_with_a_text_or_a_date() -> None:
    assert found(observation(valueString="Positive"), "code-value-string", "x$posi")
    assert not found(observation(valueString="Positive"), "code-value-string", "x$neg")
    assert found(observation(valueDateTime="2026-03-01"), "code-value-date", "x$ge2026")
    assert found(observation(valueDateTime="2026-03-01"), "code-value-date", f"{LOINC}|x$eq2026-03")
    assert not found(observation(valueDateTime="2026-03-01"), "code-value-date", "x$lt2026")
    open_end = observation(valuePeriod={"start": "2026-03-01"})
    assert found(open_end, "code-value-date", "x$gt2050")


def test_a_code_and_a_flag_of_a_group() -> None:
    group = {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "characteristic": [
            {"code": concept("smokes"), "valueBoolean": False, "exclude": False},
            {"code": concept("drives"), "valueCodeableConcept": concept("often"), "exclude": False},
        ],
    }
    assert found(group, "characteristic-value", "smokes$false")
    assert found(group, "characteristic-value", "drives$often")
    assert not found(group, "characteristic-value", "smokes$often")
    assert not found(group, "characteristic-value", "smokes$true")


def test_a_document_and_how_another_one_relates_to_it() -> None:
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "relatesTo": [
            {"code": "replaces", "target": {"reference": "DocumentReference/a"}},
            {"code": "appends", "target": {"reference": "http://server.example/fhir/DocumentReference/b"}},
        ],
        "content": [],
    }
    assert found(document, "relationship", "DocumentReference/a$replaces")
    assert found(document, "relationship", "b$appends")
    assert not found(document, "relationship", "a$appends")
    # The system of an element of type code is that of the value set it is bound to, as everywhere.
    assert found(document, "relationship", "a$http://hl7.org/fhir/document-relationship-type|replaces")
    assert not found(document, "relationship", "a$urn:example:x|replaces")


def test_a_context_and_its_value() -> None:
    context = {
        "code": {"system": "urn:x", "code": "age"},
        "valueRange": {"low": amount("1", "a"), "high": amount("2", "a")},
    }
    value_set = {"resourceType": "ValueSet", "status": "active", "useContext": [context]}
    assert found(value_set, "context-type-quantity", f"age$gt1|{UCUM}|a")
    assert found(value_set, "context-type-quantity", f"age$lt400|{UCUM}|d")
    assert not found(value_set, "context-type-quantity", f"age$gt2|{UCUM}|a")
    focus = {"code": {"system": "urn:x", "code": "focus"}, "valueCodeableConcept": concept("asthma")}
    value_set["useContext"] = [context, focus]
    assert found(value_set, "context-type-value", "focus$asthma")
    assert not found(value_set, "context-type-value", "age$asthma")


def test_a_window_of_a_sequence_has_two_ends() -> None:
    sequence = {
        "resourceType": "MolecularSequence",
        "coordinateSystem": 0,
        "referenceSeq": {
            "chromosome": concept("1", "urn:chromosome"),
            "referenceSeqId": concept("NC_000001", "urn:ncbi"),
            "windowStart": 100,
            "windowEnd": 200,
        },
        "variant": [{"start": 120, "end": 121}, {"start": 150, "end": 155}],
    }
    assert found(sequence, "chromosome-window-coordinate", "1$100$200")
    assert found(sequence, "chromosome-window-coordinate", "1$gt50$lt300")
    assert not found(sequence, "chromosome-window-coordinate", "1$gt150$lt300")
    assert found(sequence, "chromosome-variant-coordinate", "1$150$155")
    assert not found(sequence, "chromosome-variant-coordinate", "1$120$155")
    assert found(sequence, "referenceseqid-variant-coordinate", "NC_000001$le120$ge121")


def test_signs_that_separate_are_escaped_where_they_are_meant() -> None:
    priced = observation(code=concept("a$b"), valueQuantity=amount("1", "mg"))
    assert found(priced, "code-value-quantity", r"a\$b$1")
    assert not found(priced, "code-value-quantity", r"a$1")
    assert found(observation(valueString="1,5 $"), "code-value-string", r"x$1\,5 \$")


@pytest.mark.parametrize(
    "value",
    ["x", "x$", "$5", "x$5$5", "x$soon", f"{LOINC}|$5", "|$5", "x$5|6", r"x\$5", "", "x$5,", "x$5|urn:u|"],
)
def test_a_value_that_cannot_be_is_refused(value: str) -> None:
    with pytest.raises(FhirError) as refused:
        parse_search("Observation", [("code-value-quantity", value)])
    assert refused.value.kind == "invalid-search"
    assert refused.value.issues[0].expression == "http.code-value-quantity"


def test_only_missing_goes_with_a_composite() -> None:
    with pytest.raises(FhirError) as refused:
        parse_search("Observation", [("code-value-quantity:exact", "x$5")])
    assert refused.value.kind == "unsupported-search"
    assert found(pressure("140", "90"), "component-code-value-quantity:missing", "false")
    assert found(pressure("140", "90"), "combo-code-value-quantity:missing", "false")
    assert found(pressure("140", "90"), "code-value-quantity:missing", "true")


def test_every_composite_of_r4_is_answered() -> None:
    asked = [
        (resource_type, code)
        for resource_type in (
            "Observation",
            "Group",
            "MolecularSequence",
            "DocumentReference",
            "PlanDefinition",
        )
        for code, known in parameters(resource_type).items()
        if known.type == "composite"
    ]
    assert len(asked) == 8 + 1 + 4 + 1 + 2
    for resource_type, code in asked:
        assert code in supported(resource_type)
        assert len(supported(resource_type)[code].components) in (2, 3)


def test_pairs_of_codes_are_bounded() -> None:
    many = {"coding": [{"code": str(n)} for n in range(PAIRS_MAXIMUM // 100)]}
    few = {"coding": [{"code": str(n)} for n in range(10)]}
    index_values(observation(code=few, valueCodeableConcept=many))
    with pytest.raises(FhirError) as refused:
        index_values(observation(code=many, valueCodeableConcept=many))
    assert refused.value.kind == "too-costly"
