"""patch: the current version, changed by operations, becomes the next one.

What comes of it is an update like any other: validated, indexed, authorised before and after, versioned.
A patch answers with content that the caller has not sent, and its tests ask what there is: who patches must be
allowed to read, too.
Sources: hl7.org/fhir/R4/http.html#patch, RFC 5789
"""

from __future__ import annotations

from dataclasses import replace

from server.errors import FhirError
from server.fhir.json_codec import decode
from server.interactions.answer import absent, gone
from server.interactions.basis import check_basis
from server.interactions.call import Call
from server.interactions.content import prepared
from server.interactions.patch_formats import patched
from server.interactions.preconditions import check_preconditions
from server.interactions.request import InteractionRequest, InteractionResponse
from server.interactions.update import update
from server.storage.interface import Writer


def patch(call: Call[Writer]) -> InteractionResponse:
    """Apply the request's patch to the current version: 200, also where that changes nothing.

    Raises: FhirError not-found, deleted, precondition-failed, precondition-required; forbidden; unprocessable
    (an operation cannot be applied, the result is not valid); VersionConflict.
    """
    request = call.request
    visible = call.decide("read", request.resource_type).visible
    current = call.unit.read(request.resource_type, request.id, visible)
    if current is None:
        raise absent(request.resource_type)
    if current.deleted:
        raise gone(call.context, current)
    check_preconditions(call, current, by_criteria=request.by_criteria)
    if request.patch is None:
        raise FhirError("required", "a patch needs a body")
    body = patched(request.patch, decode(current.body), call.context.limits)
    response = update(replace(call, request=_as_update(call, request, body)))
    check_basis(current, response.version_id)
    return response


def _as_update(call: Call[Writer], request: InteractionRequest, body: dict[str, object]) -> InteractionRequest:
    """The update that writes the patched content. Raises: FhirError unprocessable where it is not valid."""
    try:
        return prepared(call.context, replace(request, interaction="update", patch=None), body)
    except FhirError as error:
        if error.kind != "invalid-resource":
            raise
        raise FhirError("unprocessable", issues=error.issues) from None
