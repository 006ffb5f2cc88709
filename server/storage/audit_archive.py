"""Taking whole beginnings of the audit chain out of the database: only as far as a signed head, never its end.

What is left goes on from that head: its hash is what the next row was hashed over, so the chain can be verified
with the rows before it in a file, or from the head alone (`server.audit_verification`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from server.storage.audit_chain import SignedHead
from server.storage.database import Connection, Database
from server.storage.instants import instant, milliseconds

_BATCH = 1_000  # rows a transaction: some milliseconds of the writers' lock


@dataclass(frozen=True, slots=True)
class Aged:
    """Rows recorded before a moment. oldest: None where there are none."""

    rows: int
    oldest: datetime | None


def aged(database: Database, before: datetime) -> Aged:
    """How many sealed rows were recorded before a moment."""
    with database.reading() as connection:
        rows, oldest = connection.execute(
            "SELECT count(*), min(recorded) FROM audit_chain WHERE recorded < :before",
            {"before": milliseconds(before)},
        ).fetchone()
    return Aged(rows, None if oldest is None else instant(oldest))


def archivable(database: Database, before: datetime) -> SignedHead | None:
    """The last head up to which every row was recorded before a moment and which has rows after it; None for
    none.

    Rows are numbered as they are sealed, which is not quite the order in which they were recorded.
    """
    with database.reading() as connection:
        young = _number(
            connection, "SELECT min(sequence) FROM audit_chain WHERE recorded >= :value", milliseconds(before)
        )
        last = _number(connection, "SELECT max(sequence) FROM audit_chain WHERE sequence > :value", 0)
        first = _number(connection, "SELECT min(sequence) FROM audit_chain WHERE sequence > :value", 0)
        bound = min(number for number in (young, last) if number is not None) if last is not None else 0
        row = connection.execute(
            "SELECT sequence, signed, signature, public_key FROM audit_head"
            " WHERE sequence < :bound AND sequence >= :first ORDER BY sequence DESC LIMIT 1",
            {"bound": bound, "first": first or 0},
        ).fetchone()
    return None if row is None else SignedHead(row[0], instant(row[1]), *row[2:])


def remove(database: Database, until: int) -> int:
    """Delete the rows up to a number and the heads before it; how many rows. It may be done again."""
    removed = 0
    while True:
        with database.writing() as connection:
            first = _number(
                connection, "SELECT min(sequence) FROM audit_chain WHERE sequence > :value", -(2**62)
            )
            if first is None or first > until:
                connection.execute("DELETE FROM audit_head WHERE sequence < :until", {"until": until})
                return removed
            bounds = {"last": min(first + _BATCH - 1, until)}
            connection.execute("DELETE FROM audit_patient WHERE sequence <= :last", bounds)
            removed += connection.execute("DELETE FROM audit_chain WHERE sequence <= :last", bounds).rowcount


def _number(connection: Connection, sql: str, value: int) -> int | None:
    row = connection.execute(sql, {"value": value}).fetchone()
    return None if row is None or row[0] is None else int(row[0])
