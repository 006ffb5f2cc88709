"""Every row source that only reads: each makes a random request, with what it must be answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from access_oracle.bundles import batch, transaction
from access_oracle.curious import Curious, Judge, Made, Request
from access_oracle.instances import history, history_of_one, meta, read, vread
from access_oracle.operations import everything, lastn, match
from access_oracle.searches import count, search, search_by_post

SOURCES: Mapping[str, Callable[[Curious], Made]] = {
    "read": read,
    "vread": vread,
    "$meta": meta,
    "history of one": history_of_one,
    "history": history,
    "search": search,
    "search by chains, includes and order": search,
    "POST _search": search_by_post,
    "count": count,
    "$everything": everything,
    "$lastn": lastn,
    "$match": match,
    "batch": batch,
    "transaction": transaction,
}


def made(curious: Curious, name: str = "") -> tuple[str, Request, Judge]:
    """A request of a source, of any without a name, and the judge of its answer."""
    name = name or curious.random.choice(tuple(SOURCES))
    return name, *SOURCES[name](curious)
