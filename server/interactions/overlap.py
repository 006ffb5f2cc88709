"""Two entries of a transaction that are of one resource: refused, because one of them would be lost silently.

Source: hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from server.errors import FhirError
from server.interactions.entries import Entry
from server.interactions.links import is_linked
from server.interactions.operations import affects_state

_WRITES = frozenset({"create", "update", "patch", "delete"})


def refuse_overlap(entries: Iterable[Entry]) -> None:
    """No two writing entries are of one resource, as far as it is known by now, and no two have one fullUrl.

    Raises: FhirError invalid-request naming both entries.
    """
    seen: dict[Hashable, int] = {}
    for entry in entries:
        for key in _keys(entry):
            other = seen.setdefault(key, entry.position)
            if other != entry.position:
                raise FhirError(
                    "invalid-request",
                    f"entries {other} and {entry.position} of the Bundle are of one resource",
                    f"Bundle.entry[{entry.position}]",
                )


def _keys(entry: Entry) -> Iterator[Hashable]:
    """What no other entry may have."""
    request = entry.request
    if request.interaction in _WRITES or affects_state(request):
        if request.id:
            yield request.resource_type, request.id
        elif request.if_none_exist is not None:
            yield request.resource_type, "?", request.if_none_exist
        elif request.query:
            yield request.resource_type, "?", request.query
    if entry.full_url and is_linked(entry):
        yield entry.full_url
