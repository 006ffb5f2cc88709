"""read and vread.

Sources: hl7.org/fhir/R4/http.html#read, #vread, #cread (conditional read)
"""

from __future__ import annotations

from server.interactions.answer import absent, answer_version, gone
from server.interactions.call import Call
from server.interactions.etag import etag
from server.interactions.patients import patients_of
from server.interactions.request import InteractionRequest, InteractionResponse
from server.interactions.subset import subset_of_instance
from server.storage.interface import Reader
from server.storage.versions import StoredVersion


def read(call: Call[Reader]) -> InteractionResponse:
    """The current version; 304 where the client has it already.

    Raises: FhirError not-found (absent or hidden), deleted.
    """
    request = call.request
    version = call.unit.read(request.resource_type, request.id, call.decision.visible)
    if version is None:
        raise absent(request.resource_type)
    if version.deleted:
        raise gone(call.context, version)
    if (request.if_none_match or request.if_modified_since) and _unchanged(request, version):
        # The ETag says all that the client needs (RFC 9110, 15.4.5).
        headers = {"ETag": etag(version.version_id)}
        return InteractionResponse(
            304,
            headers=headers,
            id=version.id,
            version_id=version.version_id,
            patients=patients_of((version,), call.context.base_url),
        )
    return _show(call, version)


def vread(call: Call[Reader]) -> InteractionResponse:
    """One version, whether current or not.

    Raises: FhirError not-found, deleted (the version is a deletion).
    """
    request = call.request
    number = request.version_id
    # Version ids are plain positive numbers here; anything else names no version.
    if not (number.isascii() and number.isdigit() and number[0] != "0" and len(number) < 16):
        raise absent(request.resource_type)
    version = call.unit.vread(request.resource_type, request.id, int(number), call.decision.visible)
    if version is None:
        raise absent(request.resource_type)
    if version.deleted:
        raise gone(call.context, version)
    return _show(call, version)


def _show(call: Call[Reader], version: StoredVersion) -> InteractionResponse:
    body = subset_of_instance(version, call.request.query) if call.request.query else version.body
    return answer_version(call.context, call.request, version, 200, body=body)


def _unchanged(request: InteractionRequest, version: StoredVersion) -> bool:
    if request.if_none_match:  # it takes precedence over If-Modified-Since (RFC 9110, 13.1.3)
        known = request.if_none_match.split(",")
        return "*" in known or str(version.version_id) in known
    since = request.if_modified_since
    return since is not None and version.last_updated.replace(microsecond=0) <= since
