"""Does a resource conform to FHIR R4: structure, types, required bindings, references, invariants.

What is checked and what is not: docs/reference/validation.md. How: a fast test that answers "certainly
valid" (validation_accept), and for the rest an explanation of every fault (validation_explain), both from
the same generated tables. Profiles are not looked at. Source: hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

from typing import Any

from server.errors import Issue
from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.validation_accept import accepts

__all__ = ["RESOURCE_TYPES", "validate"]


def validate(resource: Any) -> tuple[Issue, ...]:
    """The faults of a decoded resource, each with its FHIRPath expression; empty = valid.

    resource: as `json_codec.decode` gives it (Decimal, int, str, bool, dict, list). All faults are
    errors; their texts contain no value of the resource.
    """
    if accepts(resource):
        return ()
    from server.fhir.validation_explain import explain  # needed only once a resource is not certain

    return explain(resource)
