"""Relationships between staff and charts as they are stored: for the judging of writes, and for people."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from server.fhir.hashing import reference_hash
from server.fhir.index_rows import ORGANIZATION, ROLE, TEAM
from server.fhir.visibility import Limit, Visibility
from server.storage.database import Connection, Database
from server.storage.dialect import Parameters
from server.storage.logic_sql import FALSE
from server.storage.relationship_sql import RelationshipSql


@dataclass(frozen=True, slots=True)
class Relation:
    """One row, whichever of the two kinds, with the resource that makes it.

    left: of a relationship the actor, of a membership the member. right: the patient, or the party
    (reference_hash each). kind: of a membership, 0 for a relationship. resource: "Type/id" and body of what
    makes it, "" and b"" for an emergency access, whose number is -rid. [starts, until): UTC microseconds.
    """

    left: int
    right: int
    kind: int
    rid: int
    starts: int
    until: int
    resource: str
    body: bytes


def reaches(
    connection: Connection,
    visible: Visibility,
    limits: Collection[Limit],
    patients: Collection[str],
    *,
    lasting: bool,
) -> bool:
    """Whether all limits are kept by each of the patients' charts; by no chart, only those that are none for
    the caller. lasting: an emergency access does not count."""
    wanted = sorted(reference_hash(f"Patient/{patient}") for patient in patients)
    for limit in limits:
        if limit.is_for_some and _holds(connection, visible, limit):
            continue
        if not wanted or _related(connection, visible, limit, wanted, lasting) < len(set(wanted)):
            return False
    return True


def _holds(connection: Connection, visible: Visibility, limit: Limit) -> bool:
    """The limit is none for the caller."""
    parameters = Parameters(connection.dialect)
    free = RelationshipSql(visible, parameters).unless_free(limit, FALSE)
    return connection.execute(f"SELECT 1 WHERE {free}", parameters.values).fetchone() is not None


def _related(
    connection: Connection, visible: Visibility, limit: Limit, patients: list[int], lasting: bool
) -> int:
    """To how many of the patients the caller is related."""
    parameters = Parameters(connection.dialect)
    sql = RelationshipSql(visible, parameters)
    found = 0
    for patient in patients:
        related = sql.related(limit, parameters.bind(patient), lasting=lasting)
        found += connection.execute(f"SELECT 1 WHERE {related}", parameters.values).fetchone() is not None
    return found


def has_chart(connection: Connection, patient: str) -> bool:
    """Whether anything is, or was once, in the compartment of a patient."""
    asked = "SELECT 1 FROM compartment WHERE patient = :patient LIMIT 1"
    values = {"patient": reference_hash(f"Patient/{patient}")}
    return connection.execute(asked, values).fetchone() is not None


_OF_RESOURCE = "coalesce(r.type || '/' || r.id, ''), coalesce(r.body, :nothing)"
_MEMBERSHIPS = f"""
SELECT m.member, m.party, m.kind, m.rid, m.starts, m.until, {_OF_RESOURCE}
FROM membership m LEFT JOIN resource r ON r.rid = m.rid
WHERE m.member = :member ORDER BY m.kind, m.party, m.until, m.rid"""
_RELATIONSHIPS = f"""
SELECT e.actor, e.patient, 0, e.rid, e.starts, e.until, {_OF_RESOURCE}
FROM relationship e LEFT JOIN resource r ON r.rid = e.rid
WHERE e.actor = :actor AND e.patient = :patient ORDER BY e.until, e.rid"""


class Relationships:
    """What is stored, for `baton access explain` and the console. No access is decided by it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def memberships(self, reference: str) -> tuple[Relation, ...]:
        """What a person or role acts as ("Practitioner/id"), whenever, and the teams of these: the second step
        follows roles and organizations, which stand before."""
        with self._database.reading() as connection:
            own = self._rows(connection, _MEMBERSHIPS, {"member": reference_hash(reference)})
            parties = dict.fromkeys(row.right for row in own if row.kind in (ROLE, ORGANIZATION))
            teams = [
                row
                for party in parties
                for row in self._rows(connection, _MEMBERSHIPS, {"member": party})
                if row.kind == TEAM
            ]
        return (*own, *teams)

    def of_chart(self, actors: Collection[int], patient: str) -> tuple[Relation, ...]:
        """The relationships of the actors (reference_hash) to a patient, whenever."""
        found: list[Relation] = []
        with self._database.reading() as connection:
            for actor in actors:
                values = {"actor": actor, "patient": reference_hash(f"Patient/{patient}")}
                found += self._rows(connection, _RELATIONSHIPS, values)
        return tuple(found)

    @staticmethod
    def _rows(connection: Connection, sql: str, values: dict[str, Any]) -> list[Relation]:
        return [Relation(*row) for row in connection.execute(sql, {"nothing": b"", **values}).fetchall()]
