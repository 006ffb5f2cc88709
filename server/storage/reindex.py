"""Making the index rows of stored resources anew, where a release or a new parameter asks for more of them.

A row of the table `reindex` says for what, and how far it has come; it goes when all is done. Resources are
taken in the order of their arrival, a few at a time; the position moves in the transaction that wrote their
rows, so that an interrupted run goes on where it stopped. What is written meanwhile is complete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from server.errors import FhirError
from server.fhir.index_rows import IndexRows
from server.fhir.search_query import SearchQuery
from server.fhir.search_rows import asks_new_rows
from server.storage.database import Connection, Database, Row
from server.storage.index_tables import stored_rows, stored_sql, write_tokens, write_values

# What index rows before schema 5 lack: composites, quantities in base units, the date by which a task is due.
SCHEMA_5 = "schema-5"
# The rows of `reindex` for relationships and memberships, one a type that makes them: this and its name.
RELATIONS = "relations-"
# Resources a transaction: other writers wait less than a tenth of a second.
_RESOURCES = 100

_STATE = "SELECT what, position, last, type FROM reindex"
_NEXT = """
SELECT rid, version, body FROM resource
WHERE rid > :position AND rid <= :last AND deleted = 0 ORDER BY rid LIMIT :count"""
_MOVE = """
UPDATE reindex SET position = :position WHERE what = :what AND position = :before
AND (SELECT epoch FROM custom_parameter_set WHERE "only" = 1) = :epoch"""
_HOLD = "SELECT version, tokens, main_date FROM resource WHERE rid = :rid"

_STANDING = stored_sql(":rid", relations=True)


@dataclass(frozen=True, slots=True)
class Progress:
    """position: rid of the last resource that is done. last: of the last one there is to do. resource_type: the
    only one that is concerned, "" for all."""

    what: str
    position: int
    last: int
    resource_type: str = ""

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


def relations_are_complete(connection: Connection) -> bool:
    """Whether everything that is stored has its relationships and memberships."""
    waiting = connection.execute(
        "SELECT 1 FROM reindex WHERE what >= :first AND what < :behind LIMIT 1",
        {"first": RELATIONS, "behind": RELATIONS[:-1] + "."},
    ).fetchone()
    return waiting is None


def begin(connection: Connection, what: str, resource_type: str = "") -> None:
    """From now on all resources that there are, or those of a type, have to be indexed again, from the first
    on."""
    connection.execute(
        "INSERT INTO reindex (what, position, last, type)"
        " SELECT CAST(:what AS text), 0, rid, CAST(:type AS text) FROM resource WHERE rid > 0"
        " ORDER BY rid DESC LIMIT 1 ON CONFLICT (what) DO UPDATE SET position = 0, last = excluded.last",
        {"what": what, "type": resource_type},
    )


def step(
    database: Database,
    what: str,
    index: Callable[[bytes], IndexRows | None],
    *,
    epoch: int = 0,
    count: int = _RESOURCES,
) -> Progress | None:
    """Index the next resources again. None where there is nothing left to do.

    index: the rows of a stored body, computed outside of the transaction; None leaves a resource as it is.
    epoch: of the site's own search parameters that it makes them with; where that is not the one of now any
    more, no step is taken. Several processes may do this at once: what one of them has done is done.
    Raises: FhirError storage-full, unavailable (Overtaken: try again); then the step was not taken.
    """
    with database.reading() as connection:
        row = connection.execute(f"{_STATE} WHERE what = :what", {"what": what}).fetchone()
        if row is None:
            return None
        before = Progress(*row)
        found = _following(connection, before, count)
    position = found[-1][0] if len(found) == count else before.last
    made = [(rid, version, index(body)) for rid, version, body in found]
    with database.writing() as connection:
        if lock := connection.dialect.join_writers:
            connection.execute(lock)
        moved = connection.execute(
            _MOVE, {"position": position, "what": what, "before": before.position, "epoch": epoch}
        ).rowcount
        if not moved:
            return before  # somebody else took the step, or the search parameters are others
        for rid, version, rows in made:
            if rows is not None:
                _replace(connection, rid, version, rows)
        connection.execute(
            "UPDATE custom_parameter SET done = done + :count WHERE what = :what",
            {"count": sum(rows is not None for _, _, rows in made), "what": what},
        )
        if position >= before.last:
            connection.execute("DELETE FROM reindex WHERE what = :what", {"what": what})
    return replace(before, position=position)


def _following(connection: Connection, state: Progress, count: int) -> list[Row]:
    """rid, version and body of the next resources there are to do."""
    bounds: dict[str, Any] = {"position": state.position, "last": state.last, "count": count}
    if not state.resource_type:
        return connection.execute(_NEXT, bounds).fetchall()
    of_type, order = connection.dialect.arrivals("r", ":type", ":start")
    return connection.execute(
        f"SELECT r.rid, r.version, r.body FROM resource r WHERE {of_type} AND r.rid <= :last"
        f" ORDER BY {order} LIMIT :count",
        {"type": state.resource_type, "start": state.position + 1, "last": state.last, "count": count},
    ).fetchall()


def _replace(connection: Connection, rid: int, version: int, index: IndexRows) -> None:
    """Give the resource these rows, unless a later version has its own."""
    current: Any = connection.execute(f"{_HOLD} {connection.dialect.for_update}", {"rid": rid}).fetchone()
    if current is None or current[0] != version:
        return
    standing = connection.execute(_STANDING, {"rid": rid}).fetchall()
    write_values(connection, rid, index, stored_rows(standing))
    present = connection.dialect.unpack(current[1])
    if present != index.tokens or current[2] != index.main_date:  # the row holds the body: it is not moved idly
        write_tokens(connection, rid, index.tokens, present)
        connection.execute(
            "UPDATE resource SET tokens = :tokens, main_date = :main_date WHERE rid = :rid",
            {"tokens": connection.dialect.pack(index.tokens), "main_date": index.main_date, "rid": rid},
        )
