"""Resources and their versions: put, read, vread."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

from server.errors import FhirError
from server.fhir.hashing import reference_hash
from server.fhir.index_rows import IndexRows
from server.fhir.visibility import Visibility
from server.storage.custom_parameters import OF_NOW
from server.storage.database import Connection
from server.storage.dialect import Dialect, Parameters
from server.storage.index_tables import (
    NO_ROWS,
    compartment_hashes,
    stored_rows,
    stored_sql,
    write_compartments,
    write_tokens,
    write_values,
)
from server.storage.instants import instant, milliseconds
from server.storage.logic_sql import TRUE
from server.storage.outbox import add_event
from server.storage.search_sql import SearchSql
from server.storage.versions import NewVersion, StoredVersion, VersionConflict

# Casts: PostgreSQL takes a NULL in a SELECT for a text.
_INSERT = f"""
INSERT INTO resource (type, id, version, updated, method, deleted, self_hash, patient, main_date,
                      settled_version, body, tokens)
SELECT :type, :id, :version, :updated, :method, :deleted, :self_hash, CAST(:patient AS bigint),
       CAST(:main_date AS bigint), :settled_version, :body, :tokens
WHERE {OF_NOW}
ON CONFLICT (self_hash) DO NOTHING
RETURNING rid
"""
_DELETE = """
UPDATE resource SET version = :version, updated = :updated, method = :method, deleted = :deleted,
       patient = :patient, main_date = :main_date, settled_version = :settled_version, body = :body,
       tokens = :tokens
WHERE rid = :rid
"""
_UPDATE = f"{_DELETE} AND {OF_NOW}"
_CURRENT = """
SELECT rid, type, id, version, settled_version, patient, tokens FROM resource WHERE self_hash = :self"""
_STANDING = {
    relations: "WITH own AS (SELECT rid FROM resource WHERE self_hash = :self) "
    + stored_sql("(SELECT rid FROM own)", relations=relations)
    for relations in (False, True)
}
_NEW_VERSION = """
INSERT INTO version (rid, version, type, updated, method, patient)
VALUES (:rid, :version, :type, :updated, :method, :patient)
"""
_KEEP_BODY = """
UPDATE version SET body = (SELECT r.body FROM resource r WHERE r.rid = :rid)
WHERE rid = :rid AND version = :version"""

_READ = """
SELECT r.type, r.id, r.version, r.updated, r.body, r.method, r.deleted FROM resource r
WHERE r.self_hash = :self AND r.type = :type AND r.id = :id"""
_COLUMNS = "r.type, r.id, r.version, r.updated, r.body, r.method, r.deleted"
_VREAD = """
SELECT r.type, r.id, v.version, v.updated, coalesce(v.body, r.body), v.method, v.method = 'DELETE'
FROM resource r JOIN version v ON v.rid = r.rid
WHERE r.self_hash = :self AND r.type = :type AND r.id = :id AND v.version = :version"""

_LARGEST_VERSION = 2**63 - 1


def stored_version(row: tuple[Any, ...]) -> StoredVersion:
    """A row (type, id, version, updated, body, method, deleted) as a value."""
    return StoredVersion(row[0], row[1], row[2], instant(row[3]), row[4], row[5], bool(row[6]))


def read(connection: Connection, resource_type: str, id: str, visible: Visibility) -> StoredVersion | None:
    """The current version, None where absent or not visible."""
    return _one(connection, _READ, resource_type, id, visible, "")


def vread(
    connection: Connection, resource_type: str, id: str, version_id: int, visible: Visibility
) -> StoredVersion | None:
    """A given version, None where absent or not visible."""
    if not 0 < version_id <= _LARGEST_VERSION:
        return None
    return _one(connection, _VREAD, resource_type, id, visible, "v.version", version=version_id)


def _one(
    connection: Connection,
    sql: str,
    resource_type: str,
    id: str,
    visible: Visibility,
    version_column: str,
    **more: int,
) -> StoredVersion | None:
    parameters = Parameters(connection.dialect)
    predicate = SearchSql(visible, parameters).visible("r", resource_type, version=version_column)
    if predicate != TRUE:
        sql = f"{sql} AND {predicate}"
    values = {"self": reference_hash(f"{resource_type}/{id}"), "type": resource_type, "id": id, **more}
    row = connection.execute(sql, values | parameters.values).fetchone()
    return None if row is None else stored_version(row)


def hold(connection: Connection, resource_type: str, id: str) -> None:
    """Nobody else writes a version of the resource until this transaction ends.

    What is not there yet cannot be held: who creates it at the same moment meets the other one in `put`.
    """
    lock = connection.dialect.for_update
    if lock:
        self_hash = reference_hash(f"{resource_type}/{id}")
        connection.execute(f"SELECT 1 FROM resource WHERE self_hash = :self {lock}", {"self": self_hash})


def held_sql(dialect: Dialect, columns: str = _COLUMNS) -> str:
    """Looks up and locks one resource of `:hashes` after the other: to sort them, PostgreSQL would read all
    that there are."""
    resource = dialect.follow("resource", "r", "r.self_hash = each.value")
    return f"SELECT {columns} FROM {dialect.each(':hashes')} {resource} {dialect.for_update}"


def hold_later(connection: Connection, identities: Collection[tuple[str, str]]) -> None:
    """As `hold`, of several in the order of their identities, with what else waits in the transaction."""
    if connection.dialect.for_update and identities:
        hashes = [reference_hash(f"{resource_type}/{id}") for resource_type, id in sorted(identities)]
        values = {"hashes": connection.dialect.array(hashes)}

        def work() -> None:
            connection.execute(held_sql(connection.dialect, "1"), values)

        connection.work(work, tuple(hashes))


def held(
    connection: Connection, identities: Collection[tuple[str, str]]
) -> dict[tuple[str, str], StoredVersion | None]:
    """The current versions of resources (type, id), None for what is not there; nobody else writes them until
    this transaction ends. Taken hold of in the order of their identities, as `hold` is called for several."""
    found: dict[tuple[str, str], StoredVersion | None] = dict.fromkeys(sorted(identities))
    if not found:
        return found
    hashes = [reference_hash(f"{resource_type}/{id}") for resource_type, id in found]
    values = {"hashes": connection.dialect.array(hashes)}
    for row in connection.execute(held_sql(connection.dialect), values).fetchall():
        if row[:2] in found:
            found[row[:2]] = stored_version(row)
    return found


def put(connection: Connection, new: NewVersion, *, is_held: bool = False) -> None:
    """Write a version with its history row, the difference of its index rows and its outbox row.

    It is made ready here and written with the others of its transaction (`Connection.work`); then it is raised.
    is_held: the resource is held by this transaction.
    Raises: VersionConflict if the current version is not new.expected_version, or the site's search parameters
    are not those that its rows were made with any more; FhirError conflict if the hash of its identity is taken
    by another resource (at 64 bits: never by chance).
    """
    self_hash = reference_hash(f"{new.resource_type}/{new.id}")
    deletion = new.method == "DELETE"
    index = IndexRows() if deletion else new.index
    values: dict[str, Any] = {
        "type": new.resource_type,
        "id": new.id,
        "version": new.version_id,
        "updated": milliseconds(new.last_updated),
        "method": new.method,
        "deleted": int(deletion),
        "self_hash": self_hash,
        "patient": reference_hash(f"Patient/{index.patient}") if index.patient else None,
        "main_date": index.main_date,
        "settled_version": new.version_id,
        "body": new.body,
        "tokens": connection.dialect.pack(index.tokens),
        "epoch": index.epoch,
    }
    write = partial(_replace, is_held=is_held) if new.expected_version else _create
    connection.work(partial(write, connection, new, index, compartment_hashes(index), values), self_hash)


def _create(
    connection: Connection,
    new: NewVersion,
    index: IndexRows,
    compartments: frozenset[int],
    values: dict[str, Any],
) -> Iterator[None]:
    """Write the first version of a resource. values: its row's, to which the rid is added."""
    answer = connection.execute(_INSERT, values)
    yield
    created = answer.fetchall()
    if not created:
        _expected(new, connection.execute(_CURRENT, {"self": values["self_hash"]}).fetchone())
        raise VersionConflict
    rid = values["rid"] = created[0][0]
    write_tokens(connection, rid, index.tokens, frozenset())
    write_values(connection, rid, index, NO_ROWS)
    write_compartments(connection, rid, new.resource_type, compartments, frozenset())
    _note(connection, values)


def _replace(
    connection: Connection,
    new: NewVersion,
    index: IndexRows,
    compartments: frozenset[int],
    values: dict[str, Any],
    *,
    is_held: bool,
) -> Iterator[None]:
    """Write the next version of a resource. values: its row's, to which the rid is added."""
    deletion = new.method == "DELETE"
    which = {"self": values["self_hash"]}
    if not is_held:
        hold(connection, new.resource_type, new.id)
    # Statements of their own behind the one that holds: they see what the last writer has left.
    asked = connection.execute(_CURRENT, which)
    standing = connection.execute(_STANDING[deletion or index.relations is not None], which)
    yield
    # Both to their end: SQLite's transaction of a statement that is not read on would outlive a conflict.
    current, stands = asked.fetchall(), standing.fetchall()
    rid, _, _, version, settled_version, patient, tokens = _expected(new, current[0] if current else None)
    before = stored_rows(stands)
    values["rid"] = rid
    if deletion:
        compartments, values["patient"] = before.compartments, patient
    if compartments == before.compartments:
        values["settled_version"] = settled_version
    connection.execute(_KEEP_BODY, {"rid": rid, "version": version})
    # A deletion has no rows, whatever they would be made with.
    done = connection.execute(_DELETE if deletion else _UPDATE, values)
    write_tokens(connection, rid, index.tokens, connection.dialect.unpack(tokens))
    write_values(connection, rid, index, before)
    write_compartments(connection, rid, new.resource_type, compartments, before.compartments)
    _note(connection, values)
    yield
    if not done.rowcount:
        raise VersionConflict


def _note(connection: Connection, values: dict[str, Any]) -> None:
    """Add the version to the history and to what happened."""
    connection.later(_NEW_VERSION, values)
    add_event(connection, values)


def _expected(new: NewVersion, row: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """The row, which is the one that a version is to follow. Raises: as `put`."""
    if row is not None and row[1:3] != (new.resource_type, new.id):
        raise FhirError("conflict", "This id cannot be used; choose another one.")
    if row is None or row[3] != new.expected_version:
        raise VersionConflict
    return row
