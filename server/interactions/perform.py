"""The one door. HTTP requests, entries of Bundles, the loader: every interaction passes here and is
authorised, validated, run in one unit of work, and audited, refused ones too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from server.auth.access import decide, is_limited
from server.auth.audit_access import TYPE as AUDIT_EVENT
from server.auth.audit_access import decide_stored
from server.auth.principal import Principal
from server.errors import FhirError
from server.fhir.dates import microseconds
from server.interactions import audit_events
from server.interactions.asynchronous import cancel, status
from server.interactions.audit import audit_row
from server.interactions.batch import batch
from server.interactions.call import Call, ReadingHandler, Unit, WritingHandler
from server.interactions.capabilities import capabilities
from server.interactions.conditional import by_condition, needed
from server.interactions.content import prepared
from server.interactions.create import create
from server.interactions.delete import delete
from server.interactions.history import history
from server.interactions.operations import access_of, affects_state, operate
from server.interactions.patch import patch
from server.interactions.read import read, vread
from server.interactions.request import Context, InteractionRequest, InteractionResponse
from server.interactions.search import search, search_system
from server.interactions.transaction import Ready, transaction
from server.interactions.update import update
from server.storage.interface import Writer
from server.storage.versions import VersionConflict

READING: Mapping[str, ReadingHandler] = {
    "read": read,
    "vread": vread,
    "history-instance": history,
    "history-type": history,
    "history-system": history,
    "search-type": search,
    "operation": operate,
    "search-system": search_system,
    "async-status": status,
}
WRITING: Mapping[str, WritingHandler] = {
    "create": create,
    "update": by_condition(update),
    "patch": by_condition(patch),
    "delete": by_condition(delete),
    "async-cancel": cancel,
}


_ATTEMPTS = 5  # of a write that others overtake


def perform(
    context: Context,
    principal: Principal,
    request: InteractionRequest,
    ready: Ready | None = None,
    within: Writer | None = None,
) -> InteractionResponse:
    """Do one interaction for a principal.

    ready: a transaction, where it was made ready before (`transaction.made_ready`).
    within: an open write transaction that a transaction becomes a part of; what is raised has to end it.
    Raises: FhirError for everything that cannot be done; nothing is written then.
    """
    try:
        if within is not None:
            return _perform(context, principal, request, ready, within)
        return _tried(context, principal, request, ready)
    except VersionConflict:
        error = FhirError("conflict", "the resource was changed at the same moment; read it and try again")
        context.audit(audit_row(context, principal, request, InteractionResponse(error.status)))
        raise error from None
    except FhirError as error:
        context.audit(audit_row(context, principal, request, InteractionResponse(error.status)))
        raise


def _tried(
    context: Context, principal: Principal, request: InteractionRequest, ready: Ready | None
) -> InteractionResponse:
    """The interaction, again from its beginning where somebody else wrote at the same moment.

    Where the database has one writer at a time that never happens.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _perform(context, principal, request, ready)
        except VersionConflict:
            ready = None  # perhaps it is what they were made ready with that has changed
    return _perform(context, principal, request, ready)


def _perform(
    context: Context,
    principal: Principal,
    request: InteractionRequest,
    ready: Ready | None,
    within: Writer | None = None,
) -> InteractionResponse:
    interaction = request.interaction
    if interaction == "capabilities":
        return capabilities(context, request)
    audit_events.check_offered(request)
    if interaction == "batch":
        return batch(context, request, partial(perform, context, principal))
    if interaction == "transaction":
        return transaction(
            context,
            request,
            open_call=lambda writer, entry: _call(context, principal, writer, entry),
            run=lambda writer, entry: _run_within(context, principal, writer, entry),
            ready=ready,
            within=within,
        )
    if interaction in WRITING:
        for asked in needed(request):  # before anything is said about the content
            decide(principal, asked, request.resource_type)
        request = prepared(context, request)
        with context.store.writing() as writer:
            return _run_within(context, principal, writer, request)
    decide(principal, access_of(request), request.resource_type)
    if affects_state(request):
        with context.store.writing() as writer:
            return _run_within(context, principal, writer, request)
    with context.store.reading() as reader:
        response = _reading(request)(_call(context, principal, reader, request))
    context.audit(audit_row(context, principal, request, response))
    return response


def _run_within(
    context: Context, principal: Principal, writer: Writer, request: InteractionRequest
) -> InteractionResponse:
    """One interaction inside a running write transaction, its audit row included."""
    if request.interaction == "capabilities":
        return capabilities(context, request)
    call = _call(context, principal, writer, request)
    handler = WRITING.get(request.interaction) or _reading(request)
    response = handler(call)  # type: ignore[arg-type]  # a Writer is a Reader
    writer.audit(audit_row(context, principal, request, response))
    return response


def _reading(request: InteractionRequest) -> ReadingHandler:
    own = audit_events.HANDLERS if request.resource_type == AUDIT_EVENT else {}
    return own.get(request.interaction) or READING[request.interaction]


def _call(context: Context, principal: Principal, unit: Unit, request: InteractionRequest) -> Call[Unit]:
    audit_events.check_offered(request)
    at = None
    if is_limited(principal):
        unit.require_relations()
        at = microseconds(context.clock())
    return Call(
        context=context,
        principal=principal,
        request=request,
        unit=unit,
        decision=decide_stored(principal, access_of(request), request.resource_type, at=at),
        decide=partial(decide_stored, principal, at=at),
        caller=(principal.client_id, principal.user, principal.patient, principal.scopes),
    )
