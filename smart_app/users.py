"""Who a person is at an EHR: name and role, by Practitioner and PractitionerRole."""

from __future__ import annotations

from smart_app.fhir_client import FhirClient
from smart_app.grant import User
from smart_app.roles import display_name, role_of


def read_user(client: FhirClient, reference: str) -> User:
    """Name and role of `Practitioner/id` or `PractitionerRole/id`. Raises: FhirFault."""
    resource_type, _, resource_id = reference.partition("/")
    if resource_type == "Practitioner":
        practitioner = client.read(resource_type, resource_id)
        roles = client.search("PractitionerRole", [("practitioner", reference)], maximum_pages=1).matches
        return User(reference, display_name(practitioner), role_of(practitioner, roles))
    if resource_type == "PractitionerRole":
        role = client.read(resource_type, resource_id)
        display = role.get("practitioner", {}).get("display", "")
        return User(reference, display if isinstance(display, str) else "", role_of({}, [role]))
    return User(reference, "", "")
