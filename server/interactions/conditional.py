"""Conditional update, patch and delete: `[type]?condition` names the resource.

    matches   update                                           patch     delete
    none      created: under the body's id if that is free     404       204
    one       updated; 400 if the body has another id          patched   deleted
    several   412                                              412       412

Of what the caller may not search, nothing matches: it is as if absent. These interactions need the permission
to search (`s`) besides their own.
Sources: hl7.org/fhir/R4/http.html#cond-update, #patch, #3.1.0.7.1 (conditional deletes)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.errors import FhirError
from server.fhir.visibility import Visibility
from server.interactions.audit import parameter_names
from server.interactions.basis import check_basis
from server.interactions.call import Call, WritingHandler
from server.interactions.condition import find_one, parse_condition, refuse_hidden_identifier
from server.interactions.content import indexed
from server.interactions.request import InteractionRequest, InteractionResponse
from server.storage.interface import Writer
from server.storage.versions import StoredVersion

_CONDITIONAL = frozenset({"update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Decided:
    """The request with the id its condition leads to, "" for a deletion of nothing; and what fulfils the
    condition, None for nothing."""

    request: InteractionRequest
    found: StoredVersion | None


def is_conditional(request: InteractionRequest) -> bool:
    """Whether a condition has yet to say which resource is written."""
    return request.interaction in _CONDITIONAL and not request.id


def needed(request: InteractionRequest) -> tuple[str, ...]:
    """The interactions that a write has to be allowed, itself first."""
    reading = ("read",) if request.interaction == "patch" else ()
    return (request.interaction, *reading, *(("search-type",) if is_conditional(request) else ()))


def by_condition(handler: WritingHandler) -> WritingHandler:
    """The handler of update, patch or delete, with conditions too."""

    def handle(call: Call[Writer]) -> InteractionResponse:
        response = _led_by_condition(call, handler) if is_conditional(call.request) else handler(call)
        names = parameter_names(call.request.query, ())
        return replace(response, detail=names) if names else response

    return handle


def _led_by_condition(call: Call[Writer], handler: WritingHandler) -> InteractionResponse:
    decided = decide_identity(call)
    request = decided.request
    if not request.id:
        return InteractionResponse(204)
    if request.interaction == "update":
        request = indexed(call.context, request)
    response = handler(replace(call, request=request))
    if decided.found is not None:
        check_basis(decided.found, response.version_id)
    return response


def decide_identity(call: Call[Writer]) -> Decided:
    """Which resource the condition of a conditional write leads to.

    Raises: FhirError forbidden (no permission to search), multiple-matches, not-found (a patch of nothing),
    invalid-request (the body has another id than the match), conflict (nothing matches, but the body's id is
    taken), invalid-search.
    """
    request = call.request
    visible = call.decide("search-type", request.resource_type).visible
    query = parse_condition(call.context, request.resource_type, request.query, call.unit.custom_parameters)
    found = find_one(call, query, visible)
    if found is not None and not _is_current(call, found, visible):
        found = find_one(call, query, visible)  # somebody else wrote it before it was held
    if found is None and request.interaction == "patch":
        raise FhirError("not-found", f"no {request.resource_type} fulfils the condition")
    if request.interaction != "update":
        return Decided(replace(request, id=found.id if found else ""), found)
    given = (request.body or {}).get("id")
    if found is None:
        refuse_hidden_identifier(call, query, visible)
        if given is not None:
            _refuse_taken(call, given)
        id = given or call.context.new_id()
    else:
        id = found.id
        if given not in (None, id):
            raise FhirError(
                "invalid-request",
                "the resource that fulfils the condition has another id than the body",
                f"{request.resource_type}.id",
            )
    return Decided(replace(request, id=id, body={**(request.body or {}), "id": id}), found)


def still_so(call: Call[Writer], decided: Decided) -> bool:
    """Whether the condition leads where it led before other entries of a transaction were done."""
    visible = call.decide("search-type", call.request.resource_type).visible
    query = parse_condition(
        call.context, call.request.resource_type, call.request.query, call.unit.custom_parameters
    )
    now = find_one(call, query, visible)
    return (now.id if now else None) == (decided.found.id if decided.found else None)


def _is_current(call: Call[Writer], found: StoredVersion, visible: Visibility) -> bool:
    """Whether a match is as the search saw it. Reading it keeps others from writing it from now on."""
    current = call.unit.read(found.resource_type, found.id, visible)
    return current is not None and current.version_id == found.version_id


def _refuse_taken(call: Call[Writer], id: str) -> None:
    current = call.unit.read(call.request.resource_type, id, call.decision.visible)
    if current is not None and not current.deleted:
        raise FhirError(
            "conflict",
            "nothing fulfils the condition, but the body's id is that of another resource",
            f"{call.request.resource_type}.id",
        )
