"""Compartments: which resources belong to a patient, and those that can be searched within one resource's.

The Patient compartment is R4's with our additions (`compartment_additions.json`): Task by `for`, Device by
`patient`. A resource that refers to several patients is in the compartment of each; all are in their own.
Sources: hl7.org/fhir/R4/compartmentdefinition.html, hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.generated.search import OTHER_COMPARTMENTS, PATIENT_COMPARTMENT
from server.fhir.index_values import index_values
from server.fhir.search_parameters import supported
from server.fhir.search_query import InCompartment

__all__ = [
    "COMPARTMENTS",
    "PATIENT_COMPARTMENT",
    "RESOURCE_TYPES",
    "compartment_patients",
    "in_compartment",
    "in_patient_compartment",
]

# Type whose resources have compartments -> type of what can be in one -> the parameters that put it there.
COMPARTMENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Patient": PATIENT_COMPARTMENT,
    **OTHER_COMPARTMENTS,
}


def in_patient_compartment(resource_type: str) -> bool:
    """Whether resources of the type can belong to a patient."""
    return resource_type in PATIENT_COMPARTMENT


def in_compartment(compartment: str, id: str, resource_type: str) -> InCompartment | None:
    """The condition of being in the compartment of `compartment/id`, None for types that never are."""
    codes = COMPARTMENTS.get(compartment, {}).get(resource_type)
    if codes is None:
        return None
    known = supported(resource_type)
    return InCompartment(compartment, id, tuple(known[code] for code in codes), resource_type == compartment)


def compartment_patients(resource: Mapping[str, Any], *, base_url: str) -> tuple[str, ...]:
    """Ids of the Patients in whose compartments a resource is. base_url: without a trailing slash."""
    return index_values(resource, base_url=base_url, time_zone="UTC").compartments
