"""What the identities of maps have become: which resource, and of what moment what was applied to it last is.

All identities of a resource carry the same moment and rank.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from server.fhir.hashing import hash64
from server.storage.database import Database
from server.storage.dialect import Parameters
from server.storage.interface import VersionConflict


@dataclass(frozen=True, slots=True)
class Known:
    """A resource that an identity has become. moment: of the last message that changed it, microseconds UTC, 0
    where none has said anything of it that an older one could not correct. rank: of its status, -1 for none."""

    resource_type: str
    id: str
    moment: int = 0
    rank: int = -1


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
            parameters = Parameters(connection.dialect)
            rows = connection.execute(
                "SELECT hash, resource_type, resource_id, moment, rank FROM hl7v2_identity"
                f" WHERE hash {parameters.among(sorted(hashes))}",
                parameters.values,
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

    def add(self, identities: Iterable[tuple[int, Known]]) -> None:
        """Within a transaction: say what new identities are. Taken in one order, so that of two transactions
        with the same ones none waits for the other for ever.

        Raises: VersionConflict where another transaction has said it of one in between.
        """
        with self._database.writing() as connection:
            for hash, known in sorted(identities, key=lambda pair: pair[0]):
                added = connection.execute(
                    "INSERT INTO hl7v2_identity (hash, resource_type, resource_id, moment, rank)"
                    " VALUES (:hash, :type, :id, :moment, :rank) ON CONFLICT (hash) DO NOTHING",
                    {"hash": hash, "type": known.resource_type, "id": known.id}
                    | {"moment": known.moment, "rank": known.rank},
                )
                if not added.rowcount:
                    raise VersionConflict

    def touch(self, known: Known) -> None:
        """Within a transaction: the moment and rank of what was applied to a resource now."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE hl7v2_identity SET moment = :moment, rank = :rank"
                " WHERE resource_type = :type AND resource_id = :id",
                {"type": known.resource_type, "id": known.id, "moment": known.moment, "rank": known.rank},
            )

    def give(self, resource_type: str, before: str, after: str) -> int:
        """Within a transaction: what led to one resource leads to another one from now on; how many."""
        with self._database.writing() as connection:
            return connection.execute(
                "UPDATE hl7v2_identity SET resource_id = :after"
                " WHERE resource_type = :type AND resource_id = :before",
                {"type": resource_type, "before": before, "after": after},
            ).rowcount
