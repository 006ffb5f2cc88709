"""batch: every entry on its own, through the same door as a single request.

Source: hl7.org/fhir/R4/http.html#transaction (batch processing rules)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from server.errors import FhirError
from server.fhir.bundle import bundle
from server.interactions.entries import at_entry, entries_of, error_row, read_entry, row
from server.interactions.request import Context, InteractionRequest, InteractionResponse

Door = Callable[[InteractionRequest], InteractionResponse]


def batch(context: Context, request: InteractionRequest, door: Door) -> InteractionResponse:
    """A batch-response whose rows stand in the order of the entries; a failed entry leaves the others alone.

    door: performs one interaction in a unit of work of its own.
    """
    rows = [
        batch_row(context, request, position, entry, door)
        for position, entry in enumerate(entries_of(context, request))
    ]
    return InteractionResponse(200, bundle("batch-response", rows))


def batch_row(
    context: Context, request: InteractionRequest, position: int, raw: Any, door: Door
) -> dict[str, Any]:
    """The response entry of one entry, whatever comes of it."""
    try:
        entry = read_entry(context, request, position, raw)
    except FhirError as error:
        return error_row(error)
    try:
        return row(context, entry.request, door(entry.request))
    except FhirError as error:
        told = at_entry(error, position, of_patch=entry.request.patch is not None)
        return error_row(told, error.headers.get("ETag", ""))
