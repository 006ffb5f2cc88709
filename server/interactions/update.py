"""update, also as create.

Sources: hl7.org/fhir/R4/http.html#update, #upsert, #concurrency
"""

from __future__ import annotations

import re
from dataclasses import replace

from server.errors import FhirError, Issue
from server.fhir.index_values import index_values
from server.fhir.json_codec import decode
from server.fhir.visibility import EVERYTHING
from server.interactions.answer import answer_version
from server.interactions.call import Call
from server.interactions.preconditions import check_preconditions
from server.interactions.request import InteractionRequest, InteractionResponse
from server.interactions.version import same_content, store_version
from server.interactions.writable import is_replaceable
from server.storage.interface import Writer
from server.storage.versions import StoredVersion

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_UNCHANGED = Issue(
    "duplicate", "the content is that of the current version; no new version was made", severity="information"
)


def update(call: Call[Writer]) -> InteractionResponse:
    """Store the body as the next version of its id: 200, or 201 where the id is new or was deleted. Content
    identical to the current version makes no new one.

    Raises: FhirError invalid-request (ids differ), precondition-failed (If-Match, If-None-Match), forbidden.
    """
    request, visible = call.request, call.decision.visible
    body = request.body
    if body is None:
        raise FhirError("required", "an update needs a resource as its body")
    check_id(request)
    current = call.unit.read(request.resource_type, request.id, visible)
    check_preconditions(call, current, by_criteria=request.by_criteria)
    if current is None and _is_hidden(call):
        # Neither overwritten nor explained: the caller may not see what has this id.
        raise FhirError("forbidden", "the token does not allow this id to be written")
    if current is None or current.deleted:
        created = replace(call, decision=call.decide("create", request.resource_type))
        if current is not None:
            check_writable(created, _before(created, current))
        version, index = store_version(created, body, request.id, current, "PUT")
        return answer_version(call.context, request, version, 201, patients=index.compartments)
    is_compared = call.context.compared and bool(request.if_match)
    if not is_compared and same_content(body, current):
        return answer_version(call.context, request, current, 200, issues=(_UNCHANGED,))
    check_writable(call, current)
    version, index = store_version(call, body, request.id, current, "PUT")
    return answer_version(call.context, request, version, 200, patients=index.compartments)


def check_id(request: InteractionRequest) -> None:
    """The id in the URL is an id, and the body repeats it."""
    if not _ID.fullmatch(request.id):
        raise FhirError("invalid-request", "an id is 1 to 64 letters, digits, '-' and '.'")
    given = (request.body or {}).get("id")
    if given != request.id:
        raise FhirError(
            "invalid-request",
            "the resource has no id" if given is None else "the resource's id is not that of the URL",
            f"{request.resource_type}.id",
        )


def check_writable(call: Call[Writer], current: StoredVersion) -> None:
    """The content that is replaced may itself be written, not only what replaces it: a resource in the charts
    of two patients is not taken out of one by a token of the other.

    Raises: FhirError forbidden.
    """
    if call.decision.writable.whole(current.resource_type):
        return
    content = decode(current.body)
    context = call.context
    rows = index_values(content, base_url=context.base_url, time_zone=context.time_zone)
    if not is_replaceable(call, call.decision, rows, content):
        raise FhirError("forbidden", "the token does not allow this resource to be changed")


def _is_hidden(call: Call[Writer]) -> bool:
    """What has this id is there, but out of the caller's sight."""
    request = call.request
    if call.decision.visible.whole(request.resource_type):
        return False
    return call.unit.read(request.resource_type, request.id, EVERYTHING) is not None


def _before(call: Call[Writer], deletion: StoredVersion) -> StoredVersion:
    """The version that was deleted. Raises: FhirError forbidden where it cannot be known."""
    version = call.unit.vread(deletion.resource_type, deletion.id, deletion.version_id - 1, EVERYTHING)
    if version is None:
        raise FhirError("forbidden", "the token does not allow this resource to be changed")
    return version
