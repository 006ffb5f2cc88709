"""delete. A deletion is a version; what was before stays in the history.

Source: hl7.org/fhir/R4/http.html#delete
"""

from __future__ import annotations

from server.interactions.call import Call
from server.interactions.etag import etag
from server.interactions.preconditions import check_preconditions
from server.interactions.request import InteractionResponse
from server.interactions.version import store_deletion
from server.storage.interface import Writer
from server.storage.versions import StoredVersion


def delete(call: Call[Writer]) -> InteractionResponse:
    """Delete the current version: 204. An id that is absent, hidden or deleted already is answered alike.

    Raises: FhirError precondition-failed (If-Match, If-None-Match), forbidden.
    """
    request = call.request
    current = call.unit.read(request.resource_type, request.id, call.decision.visible)
    check_preconditions(call, current, by_criteria=request.by_criteria)
    if current is None:
        return InteractionResponse(204)
    if current.deleted:
        return _deleted(current, ())
    version, index = store_deletion(call, current)
    return _deleted(version, index.compartments)


def _deleted(version: StoredVersion, patients: tuple[str, ...]) -> InteractionResponse:
    return InteractionResponse(
        status=204,
        headers={"ETag": etag(version.version_id)},
        id=version.id,
        version_id=version.version_id,
        last_updated=version.last_updated,
        patients=patients,
    )
