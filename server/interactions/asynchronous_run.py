"""Carrying out a request that was to be answered later, once, as the caller it came from.

What writes is done in one transaction with its answer: it is kept with it or not at all, so that a worker that
died is followed by one that starts again. Of a batch each entry is, and whoever goes on begins behind the last.
The answer is a Bundle of type batch-response with one entry: what a request without the preference would have
been answered, a refusal too.
Source: hl7.org/fhir/async-bundle.html (R5)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from server.auth.principal import Principal
from server.errors import FhirError
from server.fhir.bundle import bundle
from server.fhir.json_codec import decode, encode
from server.interactions.asynchronous import restored
from server.interactions.batch import batch_row
from server.interactions.entries import entries_of, error_row, row
from server.interactions.operations import affects_state
from server.interactions.perform import READING, perform
from server.interactions.request import Context, InteractionRequest, InteractionResponse, Limits
from server.storage.asynchronous import AsynchronousRequest

Progress = Callable[[int, int], object]

_TOGETHER = 100  # answers of a batch that only reads and are kept at once: each keeping is a commit


def run(context: Context, principal: Principal, found: AsynchronousRequest, progress: Progress) -> None:
    """Do what was asked and keep the answer.

    progress: told of the entries of a batch that were done, and of how many. Raises: NotOpen (it is done or
    cancelled); FhirError unavailable: nothing was kept then but entries of a batch.
    """
    context = replace(context, limits=_limits(context))
    request = restored(found)
    try:
        if body := context.store.asynchronous.body(found.id):
            request = replace(request, body=_decoded(context, request, body))
        if request.interaction == "batch":
            _answer(context, found.id, request, _batch(context, principal, found, request, progress))
        elif request.interaction in READING and not affects_state(request):
            _answer(context, found.id, request, perform(context, principal, request))
        else:
            with context.store.writing():
                _answer(context, found.id, request, perform(context, principal, request))
    except FhirError as error:
        if error.kind == "unavailable":
            raise
        refuse(context, found.id, error)


def refuse(context: Context, id: str, error: FhirError) -> None:
    """Keep a refusal as the answer. Raises: NotOpen."""
    _finish(context, id, error_row(error))


def _answer(context: Context, id: str, request: InteractionRequest, response: InteractionResponse) -> None:
    _finish(context, id, row(context, request, response), response)


def _finish(
    context: Context, id: str, entry: dict[str, Any], response: InteractionResponse | None = None
) -> None:
    now = context.clock()
    context.store.asynchronous.finish(
        id,
        bundle("batch-response", [entry]),
        now,
        expires=now + timedelta(hours=context.limits.async_hours),
        patients=response.patients if response else (),
        results=response.results if response else 0,
    )


def _limits(context: Context) -> Limits:
    limits = context.limits
    return replace(
        limits,
        bundle_bytes=limits.async_bundle_bytes,
        bundle_entries=limits.async_bundle_entries,
        bundle_elements=limits.async_bundle_elements,
    )


def _decoded(context: Context, request: InteractionRequest, body: bytes) -> dict[str, Any]:
    limits = context.limits
    whole = request.interaction in ("batch", "transaction")
    return decode(
        body,
        max_nesting=limits.nesting,
        max_elements=limits.bundle_elements if whole else limits.elements,
    )


def _batch(
    context: Context,
    principal: Principal,
    found: AsynchronousRequest,
    request: InteractionRequest,
    progress: Progress,
) -> InteractionResponse:
    """The batch-response, from the first entry on whose row was not kept yet."""
    requests, entries = context.store.asynchronous, entries_of(context, request)
    door = partial(perform, context, principal)
    rows = requests.rows(found.id)
    size = sum(map(len, rows.values()))
    fresh: dict[int, bytes] = {}  # rows that are not kept yet
    for position, raw in enumerate(entries):
        if position in rows:
            continue
        writes = _writes(raw)
        keep = writes or len(fresh) + 1 == _TOGETHER
        with context.store.writing() if writes else nullcontext():
            if writes or size <= context.limits.async_answer_bytes:
                said = batch_row(context, request, position, raw, door)
            else:
                said = error_row(_too_much(context, position))
            fresh[position] = encode(said)
            if keep:
                requests.keep(found.id, fresh, total=len(entries))
        size += len(fresh[position])
        if keep:
            rows.update(fresh)
            fresh.clear()
            progress(len(rows), len(entries))
    rows.update(fresh)
    listed: list[Any] = [msgspec.Raw(rows[position]) for position in range(len(entries))]
    return InteractionResponse(200, bundle("batch-response", listed))


def _writes(entry: Any) -> bool:
    asked = entry.get("request") if isinstance(entry, dict) else None
    return isinstance(asked, dict) and asked.get("method") in ("POST", "PUT", "PATCH", "DELETE")


def _too_much(context: Context, position: int) -> FhirError:
    most = context.limits.async_answer_bytes
    return FhirError(
        "too-costly",
        f"the answers of the entries before this one have more than {most} bytes; ask for it in another batch",
        f"Bundle.entry[{position}]",
    )
