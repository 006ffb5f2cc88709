"""The types and kinds that a person may choose on the consent page.

Covers server/policy/scope_choices.json; hl7.org/fhir/us/core/STU7/scopes.html (granular scopes).
"""

from __future__ import annotations

import pytest

from server.auth.access import clauses
from server.fhir.compartments import RESOURCE_TYPES
from server.policy.scope_choices import kind_of, scope_choices

HL7 = "http://terminology.hl7.org/CodeSystem"
US_CORE = "http://hl7.org/fhir/us/core/CodeSystem"


@pytest.mark.requirement("G1")
def test_the_kinds_that_us_core_requires_are_those_of_its_page_of_scopes() -> None:
    required = {
        name: {(kind.system, kind.code) for kind in kinds if kind.required}
        for name, kinds in scope_choices().kinds.items()
    }
    assert required == {
        "Condition": {
            (f"{HL7}/condition-category", "encounter-diagnosis"),
            (f"{HL7}/condition-category", "problem-list-item"),
            (f"{US_CORE}/condition-category", "health-concern"),
        },
        "Observation": {
            (f"{HL7}/observation-category", "laboratory"),
            (f"{HL7}/observation-category", "social-history"),
            (f"{HL7}/observation-category", "survey"),
            (f"{HL7}/observation-category", "vital-signs"),
            (f"{US_CORE}/us-core-category", "sdoh"),
        },
    }


def test_every_type_is_one_of_r4_and_every_kind_a_search_that_access_understands() -> None:
    choices = scope_choices()
    assert set(choices.types) <= set(RESOURCE_TYPES)
    for name, kinds in choices.kinds.items():
        assert name in choices.types
        assert len({kind.title for kind in kinds}) == len(kinds)
        for kind in kinds:
            assert clauses(name, (kind.criterion,)), kind
            assert kind_of(name, kind.criterion) is kind


def test_every_type_of_certification_can_be_chosen() -> None:
    """The types of ONC (g)(10) with US Core 6.1 and 7.0."""
    types = set(scope_choices().types)
    assert types >= {
        "AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Coverage", "Device", "DiagnosticReport",
        "DocumentReference", "Encounter", "Goal", "Immunization", "Location", "MedicationDispense",
        "MedicationRequest", "Observation", "Organization", "Patient", "Practitioner", "PractitionerRole",
        "Procedure", "Provenance", "QuestionnaireResponse", "RelatedPerson", "ServiceRequest", "Specimen",
    }  # fmt: skip


def test_a_criterion_that_is_no_kind_is_none() -> None:
    assert kind_of("Observation", ("category", "laboratory")) is None
    assert kind_of("Patient", ("category", f"{HL7}/observation-category|laboratory")) is None
