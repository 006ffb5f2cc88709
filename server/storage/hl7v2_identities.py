"""What the identities of maps have become: which resource, and of what moment what was applied to it last is.

All identities of a resource carry the same moment and rank.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

import msgspec

from server.fhir.hashing import hash64, reference_hash
from server.storage.claims import claim
from server.storage.database import Connection, Database
from server.storage.dialect import Dialect, Parameters
from server.storage.resources import stored_version
from server.storage.versions import StoredVersion, VersionConflict

_TABLE, _RESOURCE, _APPLIED = "hl7v2_identity", ("resource_type", "resource_id"), ("moment", "rank")
_VERSION = "r.type, r.id, r.version, r.updated, r.body, r.method, r.deleted"


class Known(msgspec.Struct, frozen=True, gc=False):
    """A resource that an identity has become. moment: of the last message that changed it, microseconds UTC, 0
    where none has said anything of it that an older one could not correct. rank: of its status, -1 for none."""

    resource_type: str
    id: str
    moment: int = 0
    rank: int = -1


@lru_cache(maxsize=8192)  # wards and doctors come again and again
def identity_hash(resource_type: str, system: str, value: str) -> int:
    """The key of an identity; stored for ever."""
    return hash64("hl7v2 identity", resource_type, system, value)


class Hl7v2Identities:
    """The table of identities; its calls join a surrounding `writing()` of the thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, hashes: Collection[int]) -> dict[int, Known]:
        """Those of the identities that have become something."""
        if not hashes:
            return {}
        with self._database.reading() as connection:
            dialect = connection.dialect
            rows = connection.execute(
                "SELECT hash, resource_type, resource_id, moment, rank FROM hl7v2_identity"
                f" WHERE hash {dialect.in_array(':hashes')}",
                {"hashes": dialect.array(sorted(hashes))},
            ).fetchall()
        return {hash: Known(*rest) for hash, *rest in rows}

    def last(self, resource_type: str, id: str) -> Known | None:
        """What was applied to a resource last, None where no identity leads to it."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT max(moment), max(rank) FROM hl7v2_identity"
                " WHERE resource_type = :type AND resource_id = :id",
                {"type": resource_type, "id": id},
            ).fetchone()
        return None if row[0] is None else Known(resource_type, id, int(row[0]), int(row[1]))

    def stored(
        self, references: Collection[str], tokens: Collection[int], most: int
    ) -> tuple[dict[str, StoredVersion], list[tuple[int, StoredVersion]]]:
        """What is stored: current versions by Type/id, deletions among them; and resources that have any of the
        tokens of the search index, each with the token, `most` in all.
        """
        by_hash = {reference_hash(reference): reference for reference in references}
        with self._database.reading() as connection:  # both are asked before one is answered
            named = connection.execute(*_named(connection.dialect, sorted(by_hash))) if by_hash else None
            having = connection.execute(*_having(connection.dialect, sorted(tokens), most)) if tokens else None
            versions = [stored_version(row) for row in (named.fetchall() if named else ())]
            others = [(row[-1], stored_version(row[:-1])) for row in (having.fetchall() if having else ())]
        wanted = {_reference(version): version for version in versions}
        return {reference: wanted[reference] for reference in references if reference in wanted}, others

    def expect_none(self, keys: Collection[bytes], tokens: Collection[int]) -> None:
        """Within a transaction: nothing is stored with any of the tokens of the search index, and nobody who
        claims one of the keys stores it meanwhile. Looked at before what else waits in the transaction is
        written; then it is raised.

        Raises: VersionConflict.
        """

        def work(connection: Connection) -> Iterator[None]:
            for key in sorted(keys):
                claim(connection, key)
            stored = connection.execute(*_having(connection.dialect, sorted(tokens), 1))
            yield
            if stored.fetchall():
                raise VersionConflict

        with self._database.joining() as connection:
            connection.work(partial(work, connection), "hl7v2 expected")

    def remember(
        self,
        new: Iterable[tuple[int, Known]],
        touched: Iterable[Known],
        given: Iterable[tuple[str, str, str]] = (),
    ) -> None:
        """Within a transaction: what new identities are; of what moment and rank what was applied to resources
        now is; and that what led to one resource leads to another one from now on (type, before, after).

        Taken in one order, so that of two transactions none waits for the other for ever. Done with what else
        waits in the transaction (`Connection.work`); then it is raised.
        Raises: VersionConflict where another transaction has said in between what a new identity is.
        """
        added = [(hash, *_key(known), known.moment, known.rank) for hash, known in sorted(new, key=_hash)]
        # The last one says what holds of a resource that is named twice.
        changed = {_key(known): (known.moment, known.rank) for known in touched}

        moved = list(given)

        def work(connection: Connection) -> Iterator[None]:
            done = connection.add(_TABLE, ("hash", *_RESOURCE, *_APPLIED), added) if added else None
            rows = [(*key, *applied) for key, applied in sorted(changed.items())]
            connection.change(_TABLE, "hash", _RESOURCE, _APPLIED, rows)
            for resource_type, before, after in moved:
                connection.execute(
                    "UPDATE hl7v2_identity SET resource_id = :after"
                    " WHERE resource_type = :type AND resource_id = :before",
                    {"type": resource_type, "before": before, "after": after},
                )
            yield
            if done is not None and done.rowcount != len(added):
                raise VersionConflict

        with self._database.joining() as connection:
            connection.work(partial(work, connection), _TABLE)


def _hash(pair: tuple[int, Known]) -> int:
    return pair[0]


def _key(known: Known) -> tuple[str, str]:
    return known.resource_type, known.id


def _named(dialect: Dialect, hashes: list[int]) -> tuple[str, dict[str, Any]]:
    sql = f"SELECT {_VERSION} FROM resource r WHERE r.self_hash {dialect.in_array(':hashes')}"
    return sql, {"hashes": dialect.array(hashes)}


def _having(dialect: Dialect, tokens: list[int], most: int) -> tuple[str, dict[str, Any]]:
    parameters = Parameters(dialect)
    resource = dialect.follow("resource", "r", "r.rid = t.rid")
    which = f"t.hash {dialect.in_array(':tokens')} AND r.deleted = 0"
    sql = f"SELECT {_VERSION}, t.hash FROM token t {resource} WHERE {which} LIMIT {parameters.limit(most)}"
    return sql, parameters.values | {"tokens": dialect.array(tokens)}


def _reference(version: StoredVersion) -> str:
    return f"{version.resource_type}/{version.id}"
