"""Charts that somebody opened in an emergency, without a relationship ("break-glass").

While an access is open there is a relationship between the person and the patient, with the number of the
access in place of a resource's: so every row source knows of it by the predicate it has anyway, and it ends
with the clock. Each change raises the security epoch and joins a surrounding transaction, that of its audit
row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.fhir.dates import microseconds
from server.fhir.hashing import reference_hash
from server.storage.database import Connection, Database
from server.storage.instants import instant, milliseconds, optional_instant

BUMP = "UPDATE security_epoch SET value = value + 1 RETURNING value"


@dataclass(frozen=True, slots=True)
class EmergencyAccess:
    """One opened chart. actor: "Practitioner/id". patient: an id. reason: a code of the policy; comment: in
    words.

    until: when it ends by itself. ended: when it was ended before, None if not. reviewed_by: the account that
    looked at it afterwards, finding: what it found; "" before.
    """

    number: int
    username: str
    actor: str
    patient: str
    reason: str
    comment: str
    opened: datetime
    until: datetime
    ended: datetime | None = None
    reviewed: datetime | None = None
    reviewed_by: str = ""
    finding: str = ""

    def is_open(self, now: datetime) -> bool:
        """Whether the chart is still in reach by it."""
        return self.ended is None and now < self.until


_COLUMNS = (
    "number, username, actor, patient, reason, comment, opened, until, ended, reviewed, reviewed_by, finding"
)
_OPEN = f"""
INSERT INTO emergency_access ({_COLUMNS.removeprefix("number, ")})
VALUES (:username, :actor, :patient, :reason, :comment, :opened, :until, NULL, NULL, '', '')
RETURNING number"""
_END = """
UPDATE emergency_access SET ended = :now WHERE number = :number AND ended IS NULL AND until > :now"""
_REVIEW = """
UPDATE emergency_access SET reviewed = :now, reviewed_by = :by, finding = :finding
WHERE number = :number AND reviewed IS NULL"""
_FORGET = "DELETE FROM relationship WHERE actor = :actor AND rid < 0 AND until <= :now"


class EmergencyAccesses:
    """The table of emergency accesses over one Database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(
        self,
        username: str,
        actor: str,
        patient: str,
        reason: str,
        comment: str,
        *,
        opened: datetime,
        until: datetime,
    ) -> EmergencyAccess:
        """Put a chart into the reach of a person from `opened` until `until`.

        actor: "Practitioner/id" or "PractitionerRole/id". Whether the person may is for the caller to judge.
        """
        values: dict[str, Any] = {
            "username": username,
            "actor": actor,
            "patient": patient,
            "reason": reason,
            "comment": comment,
            "opened": milliseconds(opened),
            "until": milliseconds(until),
        }
        person = reference_hash(actor)
        with self._database.writing() as connection:
            number = connection.execute(_OPEN, values).fetchall()[0][0]
            # What ended by the clock is not needed any more.
            connection.execute(_FORGET, {"actor": person, "now": microseconds(opened)})
            connection.execute(
                "INSERT INTO relationship (actor, patient, until, rid, starts)"
                " VALUES (:actor, :patient, :until, :rid, :starts)",
                {
                    "actor": person,
                    "patient": reference_hash(f"Patient/{patient}"),
                    "until": values["until"] * 1000,
                    "rid": -number,
                    "starts": values["opened"] * 1000,
                },
            )
            connection.execute(BUMP).fetchone()
            return self._one(connection, number)

    def end(self, number: int, now: datetime) -> bool:
        """End an access before its time; False if unknown or over."""
        with self._database.writing() as connection:
            ended = connection.execute(_END, {"number": number, "now": milliseconds(now)}).rowcount == 1
            if ended:
                connection.execute("DELETE FROM relationship WHERE rid = :rid", {"rid": -number})
                connection.execute(BUMP).fetchone()
            return ended

    def review(self, number: int, by: str, finding: str, now: datetime) -> bool:
        """Note what somebody found who looked at it afterwards; False if unknown or reviewed already."""
        values = {"number": number, "by": by, "finding": finding, "now": milliseconds(now)}
        with self._database.writing() as connection:
            return connection.execute(_REVIEW, values).rowcount == 1

    def one(self, number: int) -> EmergencyAccess | None:
        """The access of a number."""
        with self._database.reading() as connection:
            found = self._rows(connection, "number = :number", {"number": number}, 1)
        return found[0] if found else None

    def list(
        self,
        *,
        patient: str = "",
        actor: str = "",
        open_at: datetime | None = None,
        unreviewed: bool = False,
        limit: int = 200,
    ) -> tuple[EmergencyAccess, ...]:
        """Accesses, the latest first; all conditions that are given must hold."""
        where, values = ["1 = 1"], dict[str, Any]()
        if patient:
            where.append("patient = :patient")
            values["patient"] = patient
        if actor:
            where.append("actor = :actor")
            values["actor"] = actor
        if open_at is not None:
            where.append("ended IS NULL AND until > :now AND opened <= :now")
            values["now"] = milliseconds(open_at)
        if unreviewed:
            where.append("reviewed IS NULL")
        with self._database.reading() as connection:
            return self._rows(connection, " AND ".join(where), values, limit)

    def _one(self, connection: Connection, number: int) -> EmergencyAccess:
        return self._rows(connection, "number = :number", {"number": number}, 1)[0]

    @staticmethod
    def _rows(
        connection: Connection, where: str, values: dict[str, Any], limit: int
    ) -> tuple[EmergencyAccess, ...]:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM emergency_access WHERE {where}"
            f" ORDER BY opened DESC, number DESC LIMIT {int(limit)}",
            values,
        ).fetchall()
        return tuple(
            EmergencyAccess(
                number=row[0],
                username=row[1],
                actor=row[2],
                patient=row[3],
                reason=row[4],
                comment=row[5],
                opened=instant(row[6]),
                until=instant(row[7]),
                ended=optional_instant(row[8]),
                reviewed=optional_instant(row[9]),
                reviewed_by=row[10],
                finding=row[11],
            )
            for row in rows
        )
