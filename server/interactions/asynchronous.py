"""Requests that are answered later: taken, asked about, cancelled.

A request with `Prefer: respond-async` is kept and answered 202 with the address of its status; a worker
carries it out (`asynchronous_run`). Whoever asks there later must be who sent it: the same client, user, launch
context, role and scopes, as with a paging cursor, because the answer holds what these could see. For everybody
else there is nothing at that address.
Sources: hl7.org/fhir/R4/async.html, hl7.org/fhir/async-bundle.html (R5), RFC 7240 section 4.1
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import msgspec

from server.auth.access import decide
from server.auth.principal import Principal
from server.errors import FhirError
from server.fhir.json_codec import encode
from server.interactions.answer import http_date
from server.interactions.audit import audit_row, is_id
from server.interactions.call import Call
from server.interactions.operations import access_of
from server.interactions.request import Context, InteractionRequest, InteractionResponse
from server.origin import origin
from server.storage.asynchronous import AsynchronousRequest
from server.storage.interface import Reader, Writer
from server.storage.versions import VersionConflict

JOB = "asynchronous-request"  # the kind of the job that carries one out; its key is the request's id
# What may take long. `bundle` is a batch or transaction whose Bundle has not been looked at. Other interactions
# are done at once whatever is preferred, as RFC 7240 allows.
DEFERRABLE = frozenset(
    (
        "bundle",
        "batch",
        "transaction",
        "search-type",
        "search-system",
        "history-instance",
        "history-type",
        "history-system",
        "operation",
    )
)
_SOONEST, _LATEST = 1, 30  # seconds until it is worth asking again


def start(
    context: Context, principal: Principal, request: InteractionRequest, body: bytes
) -> InteractionResponse:
    """Keep an interaction to be done by a worker: 202 with the address of its status.

    request: without its body; body: as it came, b"" for none. Audited as the interaction with outcome 202.
    Raises: FhirError forbidden, throttled (too many of the client wait), unavailable, storage-full.
    """
    try:
        decide(principal, access_of(request), request.resource_type)
        return _keep(context, principal, request, body)
    except VersionConflict:
        error = FhirError("conflict", "somebody wrote at the same moment; try again")
        context.audit(audit_row(context, principal, request, InteractionResponse(error.status)))
        raise error from None
    except FhirError as error:
        context.audit(audit_row(context, principal, request, InteractionResponse(error.status)))
        raise


def _keep(
    context: Context, principal: Principal, request: InteractionRequest, body: bytes
) -> InteractionResponse:
    now, most, id = context.clock(), context.limits.async_requests, context.new_id()
    kept = AsynchronousRequest(
        id=id,
        caller=caller(principal),
        client_id=principal.client_id,
        token_hash=principal.token_hash,
        address=origin().address,
        request=msgspec.json.encode(replace(request, body=None, index=None)),
        created=now,
        expires=now + timedelta(hours=context.limits.async_hours),
    )
    response = InteractionResponse(
        202,
        headers={
            "Content-Location": f"{context.base_url}/_async/{id}",
            "Preference-Applied": "respond-async",
            "Retry-After": str(_SOONEST),
        },
    )
    with context.store.writing() as writer:
        if not context.store.asynchronous.add(kept, body, most):
            raise FhirError("throttled", f"{most} requests of this client wait for their answers already")
        context.store.jobs.enqueue(JOB, id, now)
        writer.audit(audit_row(context, principal, request, response))
    return response


def status(call: Call[Reader]) -> InteractionResponse:
    """202 while the request is under way, then 200 with its answer.

    Raises: FhirError not-found.
    """
    context = call.context
    found = _own(call)
    if found.finished is None:
        age = (context.clock() - found.created).total_seconds()
        again = min(max(_SOONEST, int(age / 4)), _LATEST)
        progress = f"{found.done} of {found.total} entries" if found.total else "under way"
        return InteractionResponse(202, headers={"X-Progress": progress, "Retry-After": str(again)})
    return InteractionResponse(
        200,
        context.store.asynchronous.answer(found.id),
        headers={"Expires": http_date(found.expires)},
        patients=found.patients,
        results=found.results,
        detail=f"request {request_id(found)}",
    )


def cancel(call: Call[Writer]) -> InteractionResponse:
    """Forget the request and its answer; what is under way is rolled back, what was done stays done.

    Raises: FhirError not-found.
    """
    call.context.store.asynchronous.delete(_own(call).id)
    return InteractionResponse(202)


def caller(principal: Principal) -> bytes:
    """A digest of whose request it is."""
    return sha256(
        encode(
            [
                principal.client_id,
                principal.username,
                principal.user,
                principal.patient,
                principal.encounter,
                principal.role,
                sorted(repr(scope) for scope in principal.scopes),
            ]
        )
    ).digest()


def restored(found: AsynchronousRequest) -> InteractionRequest:
    """The interaction that was kept, without its body.

    Raises: msgspec.ValidationError for one that another release kept and this one cannot read.
    """
    return msgspec.json.decode(found.request, type=InteractionRequest)


class _Named(msgspec.Struct):
    request_id: str = ""


def request_id(found: AsynchronousRequest) -> str:
    """The id of the HTTP request by which the interaction was asked for."""
    return msgspec.json.decode(found.request, type=_Named).request_id


def _own(call: Call[Reader] | Call[Writer]) -> AsynchronousRequest:
    id = call.request.id  # of any form: a database may not even be able to look for it
    found = call.context.store.asynchronous.find(id, call.context.clock()) if is_id(id) else None
    if found is None or found.caller != caller(call.principal):
        hours = call.context.limits.async_hours
        raise FhirError(
            "not-found",
            f"this caller has no asynchronous request here; an answer is kept for {hours} hours",
        )
    return found
