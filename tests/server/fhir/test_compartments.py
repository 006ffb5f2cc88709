"""Which resources belong to a patient.

Covers hl7.org/fhir/R4/compartmentdefinition-patient.html and server/fhir/compartment_additions.json.
"""

from __future__ import annotations

from typing import Any

import pytest

from server.fhir.compartments import (
    PATIENT_COMPARTMENT,
    RESOURCE_TYPES,
    compartment_patients,
    in_patient_compartment,
)
from server.fhir.index_values import index_values

BASE = "http://server.example/fhir"
ONE, TWO = {"reference": "Patient/1"}, {"reference": f"{BASE}/Patient/2"}


@pytest.mark.parametrize(
    ("resource", "patients"),
    [
        ({"resourceType": "Patient", "id": "1"}, {"1"}),
        ({"resourceType": "Patient", "id": "1", "link": [{"other": TWO}]}, {"1", "2"}),
        ({"resourceType": "Observation", "subject": ONE}, {"1"}),
        ({"resourceType": "Observation", "subject": {"reference": "Group/1"}}, set()),
        ({"resourceType": "Observation", "subject": ONE, "performer": [TWO]}, {"1", "2"}),
        ({"resourceType": "Observation", "focus": [ONE]}, set()),
        ({"resourceType": "Condition", "subject": ONE, "asserter": TWO}, {"1", "2"}),
        ({"resourceType": "Appointment", "participant": [{"actor": ONE}, {"actor": TWO}]}, {"1", "2"}),
        ({"resourceType": "Provenance", "target": [ONE, {"reference": "Observation/x"}]}, {"1"}),
        ({"resourceType": "Group", "member": [{"entity": ONE}, {"entity": TWO}]}, {"1", "2"}),
        # ours
        ({"resourceType": "Task", "for": ONE, "focus": TWO}, {"1"}),
        ({"resourceType": "Task", "owner": ONE}, set()),
        ({"resourceType": "Device", "patient": ONE}, {"1"}),
        # in no compartment
        ({"resourceType": "Practitioner", "id": "1"}, set()),
        ({"resourceType": "Contract", "subject": [ONE]}, set()),
        ({"resourceType": "Observation", "subject": {"reference": "http://other.example/Patient/1"}}, set()),
        ({"resourceType": "Observation", "subject": {"identifier": {"value": "1"}, "type": "Patient"}}, set()),
        ({"resourceType": "Observation", "subject": {"reference": "#1"}}, set()),
    ],
)
def test_a_resource_is_in_the_compartment_of_every_patient_it_refers_to(
    resource: dict[str, Any], patients: set[str]
) -> None:
    assert set(compartment_patients(resource, base_url=BASE)) == patients


@pytest.mark.parametrize(
    ("resource", "patient"),
    [
        ({"resourceType": "Patient", "id": "1", "link": [{"other": TWO}]}, "1"),
        ({"resourceType": "Observation", "subject": ONE, "performer": [TWO]}, "1"),
        ({"resourceType": "Task", "for": ONE, "focus": TWO}, "1"),
        ({"resourceType": "AdverseEvent", "subject": ONE}, "1"),
        ({"resourceType": "Provenance", "target": [ONE, TWO]}, None),
        ({"resourceType": "Group", "member": [{"entity": ONE}]}, None),
        ({"resourceType": "Practitioner", "id": "1"}, None),
        ({"resourceType": "Contract", "subject": [ONE]}, None),
    ],
)
def test_a_resource_is_in_the_chart_of_at_most_one_patient(
    resource: dict[str, Any], patient: str | None
) -> None:
    assert index_values(resource, base_url=BASE).patient == patient


def test_types_outside_all_compartments_are_known() -> None:
    assert in_patient_compartment("Task")
    assert in_patient_compartment("Patient")
    for resource_type in ("Practitioner", "Organization", "Location", "Medication", "Nothing"):
        assert not in_patient_compartment(resource_type)
    assert set(PATIENT_COMPARTMENT) < RESOURCE_TYPES
    assert len(PATIENT_COMPARTMENT) == 68
