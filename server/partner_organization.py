"""The Organization of a partner, for the command that takes one on: read or made through the one door."""

from __future__ import annotations

from server.app import make_context
from server.auth.context import AuthContext
from server.auth.partner_changes import PartnerError
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.command_context import command_settings
from server.errors import FhirError
from server.interactions.perform import perform
from server.interactions.request import InteractionRequest
from server.policy.partner_agreements import partner_kinds
from server.storage.partners import PartnerRow

_TYPES = "http://terminology.hl7.org/CodeSystem/organization-type"


def require_organization(context: AuthContext, row: PartnerRow, *, is_new: bool) -> None:
    """Make the Organization of a partner that has none yet; one that it was taken on with must be there.

    Raises: PartnerError; FhirError.
    """
    fhir = make_context(command_settings(), context.store)
    operator = Principal("baton-partner", parse_scopes("system/Organization.cru"))
    if is_new:
        organization = {
            "resourceType": "Organization",
            "id": row.organization_id,
            "active": True,
            "type": [{"coding": [{"system": _TYPES, "code": partner_kinds()[row.kind].type}]}],
            "name": row.name,
        }
        perform(
            fhir, operator, InteractionRequest("update", "Organization", row.organization_id, body=organization)
        )
        return
    try:
        perform(fhir, operator, InteractionRequest("read", "Organization", row.organization_id))
    except FhirError as error:
        if error.status >= 500:
            raise
        raise PartnerError("there is no such Organization; leave --organization out to make one") from None
