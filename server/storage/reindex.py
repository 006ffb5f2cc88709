"""Making the index rows of stored resources anew, where a release or a new parameter asks for more of them.

A row of the table `reindex` says for what, and how far it has come; it goes when all is done. Resources are
taken in the order of their arrival, a few at a time; the position moves in the transaction that wrote their
rows, so that an interrupted run goes on where it stopped. What is written meanwhile is complete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.errors import FhirError
from server.fhir.index_rows import IndexRows
from server.fhir.search_query import SearchQuery
from server.fhir.search_rows import asks_new_rows
from server.storage.database import Connection, Database
from server.storage.index_tables import write_tokens, write_values

# What index rows before schema 5 lack: composites, quantities in base units, the date by which a task is due.
SCHEMA_5 = "schema-5"
# Resources a transaction: other writers wait less than a tenth of a second.
_RESOURCES = 100

_STATE = "SELECT what, position, last FROM reindex"
_NEXT = """
SELECT rid, version, body FROM resource
WHERE rid > :position AND rid <= :last AND deleted = 0 ORDER BY rid LIMIT :count"""
_HOLD = "SELECT version, tokens, main_date FROM resource WHERE rid = :rid"


@dataclass(frozen=True, slots=True)
class Progress:
    """position: rid of the last resource that is done. last: of the last one there is to do."""

    what: str
    position: int
    last: int

    @property
    def done(self) -> bool:
        return self.position >= self.last


def unfinished(connection: Connection) -> tuple[Progress, ...]:
    """What is being indexed again, in the order of its names."""
    rows = connection.execute(f"{_STATE} ORDER BY what").fetchall()
    return tuple(Progress(*row) for row in rows)


def require_rows(connection: Connection, query: SearchQuery) -> None:
    """Raises: FhirError not-ready for a search that would not find what has not been indexed again yet."""
    parameter = asks_new_rows(query)
    if parameter is None:
        return
    if connection.execute("SELECT 1 FROM reindex WHERE what = :what", {"what": SCHEMA_5}).fetchone():
        raise FhirError(
            "not-ready",
            f"Search parameter {parameter.code}: what was stored before the last upgrade is still being indexed"
            " for this search. Until that is done it would not find everything.",
            f"http.{parameter.code}",
        )


def begin(connection: Connection, what: str) -> None:
    """From now on all resources that there are have to be indexed again, from the first one on."""
    connection.execute(
        "INSERT INTO reindex (what, position, last) SELECT :what, 0, rid FROM resource WHERE rid > 0"
        " ORDER BY rid DESC LIMIT 1 ON CONFLICT (what) DO UPDATE SET position = 0, last = excluded.last",
        {"what": what},
    )


def step(
    database: Database, what: str, index: Callable[[bytes], IndexRows | None], *, count: int = _RESOURCES
) -> Progress | None:
    """Index the next resources again. None where there is nothing left to do.

    index: the rows of a stored body, computed outside of the transaction; None leaves a resource as it is.
    Several processes may do this at once: what one of them has done is done.
    Raises: FhirError storage-full, unavailable (Overtaken: try again); then the step was not taken.
    """
    with database.reading() as connection:
        row = connection.execute(f"{_STATE} WHERE what = :what", {"what": what}).fetchone()
        if row is None:
            return None
        before = Progress(*row)
        bounds = {"position": before.position, "last": before.last, "count": count}
        found = connection.execute(_NEXT, bounds).fetchall()
    position = found[-1][0] if len(found) == count else before.last
    made = [(rid, version, index(body)) for rid, version, body in found]
    with database.writing() as connection:
        moved = connection.execute(
            "UPDATE reindex SET position = :position WHERE what = :what AND position = :before",
            {"position": position, "what": what, "before": before.position},
        ).rowcount
        if not moved:
            return before  # somebody else took the step
        for rid, version, rows in made:
            if rows is not None:
                _replace(connection, rid, version, rows)
        if position >= before.last:
            connection.execute("DELETE FROM reindex WHERE what = :what", {"what": what})
    return Progress(what, position, before.last)


def _replace(connection: Connection, rid: int, version: int, index: IndexRows) -> None:
    """Give the resource these rows, unless a later version has its own."""
    current: Any = connection.execute(f"{_HOLD} {connection.dialect.for_update}", {"rid": rid}).fetchone()
    if current is None or current[0] != version:
        return
    write_values(connection, rid, index, new=False)
    present = connection.dialect.unpack(current[1])
    if present != index.tokens or current[2] != index.main_date:  # the row holds the body: it is not moved idly
        write_tokens(connection, rid, index.tokens, present)
        connection.execute(
            "UPDATE resource SET tokens = :tokens, main_date = :main_date WHERE rid = :rid",
            {"tokens": connection.dialect.pack(index.tokens), "main_date": index.main_date, "rid": rid},
        )
