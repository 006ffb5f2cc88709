"""Patient compartments: which resources belong to a patient.

R4's definition with our additions (`compartment_additions.json`): Task by `for`, Device by `patient`. A
resource that refers to several patients is in the compartment of each, a Patient in its own.
Source: hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.generated.search import PATIENT_COMPARTMENT
from server.fhir.index_values import index_values

__all__ = ["PATIENT_COMPARTMENT", "RESOURCE_TYPES", "compartment_patients", "in_patient_compartment"]


def in_patient_compartment(resource_type: str) -> bool:
    """Whether resources of the type can belong to a patient."""
    return resource_type in PATIENT_COMPARTMENT


def compartment_patients(resource: Mapping[str, Any], *, base_url: str) -> tuple[str, ...]:
    """Ids of the Patients in whose compartments a resource is. base_url: without a trailing slash."""
    return index_values(resource, base_url=base_url, time_zone="UTC").compartments
