"""create, conditional create included.

Sources: hl7.org/fhir/R4/http.html#create, #ccreate
"""

from __future__ import annotations

from server.errors import FhirError, Issue
from server.interactions.answer import answer_version
from server.interactions.call import Call
from server.interactions.condition import find_by_condition
from server.interactions.request import InteractionResponse
from server.interactions.version import store_version
from server.storage.interface import Writer
from server.storage.versions import StoredVersion


def create(call: Call[Writer]) -> InteractionResponse:
    """Store the body under a new id. With If-None-Exist only where nothing matches yet; one match is answered
    with 200 instead.

    request.id: chosen by the door or by the transaction; a client cannot choose it here.
    Raises: FhirError multiple-matches, also where the one match is hidden from the caller.
    """
    request = call.request
    if request.if_none_exist is not None:
        found = find_by_condition(call, request.resource_type, request.if_none_exist)
        if found is not None:
            return _found(call, found)
    body = request.body
    if body is None:
        raise FhirError("required", "a create needs a resource as its body")
    version, index = store_version(call, body, request.id, None, "POST")
    return answer_version(call.context, request, version, 201, patients=index.compartments)


def _found(call: Call[Writer], found: StoredVersion) -> InteractionResponse:
    said = Issue("duplicate", "a resource that fulfils If-None-Exist was here already", severity="information")
    return answer_version(call.context, call.request, found, 200, issues=(said,))
