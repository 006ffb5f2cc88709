"""The log of HL7 v2 messages as who receives them uses it: many by one commit, and what became of them.

A message that comes again is known by its source, its control id and the digest of its bytes. All who keep
messages hold one lock until their commit: so two processes cannot both keep the same message as new, and ids
become visible in their order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.storage.database import Connection, Database, Rows
from server.storage.dialect import Parameters
from server.storage.hl7v2_sources import SourceRow, add_new, heard

# Of these nothing more will be said unless somebody replays the message.
FINAL = frozenset({"applied", "failed", "parked", "duplicate"})
_LOCK = "hl7v2 messages"
_KNOWN = (
    "FROM hl7v2_message WHERE source = :source AND control_id = :control_id AND duplicate_of IS NULL"
    " AND received >= :since"
)
_SAME = f"SELECT id, ack_code {_KNOWN} AND sha256 = :sha256 ORDER BY id LIMIT 1"
_OTHER = f"SELECT 1 {_KNOWN} AND sha256 <> :sha256 LIMIT 1"
_INSERT = (
    "INSERT INTO hl7v2_message (source, listener, control_id, sha256, received, raw, type, trigger, structure,"
    " event_at, order_key, second_key, mrn, visit, state, next_attempt, error, warnings, duplicate_of,"
    " ack_code, owed)"
    " VALUES (:source, :listener, :control_id, :sha256, :received, :raw, :type, :trigger, :structure,"
    " :event_at, :order_key, :second_key, :mrn, :visit, :state, :received, :error, :warnings, :duplicate_of,"
    " :ack_code, :owed)"
)
REUSED = "control-id-reused"


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be kept. Fields as the columns of `hl7v2_message`.

    sha256: b"" for one that is not whole, which is never taken for another. ack_code: what its sender is
    answered. reused_code: what is answered instead where its control id is known with other bytes; "": such
    a message is taken like any other.
    """

    source: str
    listener: str
    control_id: str
    sha256: bytes
    received: int
    raw: bytes
    type: str = ""
    trigger: str = ""
    structure: str = ""
    event_at: int = 0
    order_key: int = 0
    second_key: int | None = None
    mrn: str = ""
    visit: str = ""
    state: str = "received"
    error: str = ""
    warnings: tuple[str, ...] = ()
    ack_code: str = ""
    owed: str = ""
    reused_code: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """How a message was kept: its own id, or that of the same message before it.

    ack_code: what its sender is answered. refused: its control id was known with other bytes, and it is not
    taken for that.
    """

    id: int
    ack_code: str
    duplicate: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a message. error: code, a blank, words."""

    state: str
    error: str


@dataclass(frozen=True, slots=True)
class Owed:
    """An application acknowledgement that is due. condition: AL, ER or SU, as MSH-16 asks for it."""

    id: int
    source: str
    condition: str
    received: int
    outcome: Outcome
    raw: bytes


class Hl7v2Log:
    """The receiving side of `hl7v2_message`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(
        self, messages: Sequence[NewMessage], *, since: int, new_sources: Sequence[SourceRow] = ()
    ) -> list[Kept]:
        """Keep messages by one commit; they are durable when this returns.

        since: UTC microseconds; what was received before is not looked at for repetitions.
        Raises: FhirError storage-full, unavailable; then none is kept.
        """
        with self._database.writing() as connection:
            connection.lock(_LOCK)
            for row in new_sources:
                add_new(connection, row)
            kept = _keep(connection, messages, since)
            last = {message.source: message.received for message in messages}
            for source in sorted(last):
                heard(connection, source, last[source])
        return kept

    def outcomes(self, ids: Collection[int]) -> dict[int, Outcome]:
        """What has become of messages that were kept."""
        with self._database.reading() as connection:
            parameters = Parameters(connection.dialect)
            rows = connection.execute(
                f"SELECT id, state, error FROM hl7v2_message WHERE id {parameters.among(ids)}",
                parameters.values,
            ).fetchall()
        return {id: Outcome(state, error) for id, state, error in rows}

    def raw(self, id: int) -> bytes:
        """The bytes of a message; b"" where it is gone."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT raw FROM hl7v2_message WHERE id = :id", {"id": id}).fetchone()
        return bytes(row[0]) if row else b""

    def answered(self, codes: Collection[tuple[int, str]]) -> None:
        """Note which application acknowledgements were sent: (id, code), code "" for one that was not due."""
        with self._database.writing() as connection:
            connection.executemany(
                "UPDATE hl7v2_message SET owed = '',"
                " ack_code = CASE WHEN :code = '' THEN ack_code ELSE :code END WHERE id = :id",
                [{"id": id, "code": code} for id, code in codes],
            )

    def owed(self, *, before: int, after: int = 0, limit: int) -> list[Owed]:
        """Acknowledgements that are due for messages received before a moment, with ids after one, in order."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id, source, owed, received, state, error, raw FROM hl7v2_message WHERE owed <> ''"
                " AND id > :after AND received < :before AND state NOT IN ('received', 'mapped')"
                " ORDER BY id LIMIT :limit",
                {"before": before, "after": after, "limit": limit},
            ).fetchall()
        return [
            Owed(id, source, owed, received, Outcome(state, error), bytes(raw))
            for id, source, owed, received, state, error, raw in rows
        ]


def _keep(connection: Connection, messages: Sequence[NewMessage], since: int) -> list[Kept]:
    """Look all of them up, insert what is new, then what repeats something of the same commit.

    Ids are read at the end, in the order of the inserts, which nobody else does meanwhile: an INSERT that
    returns something stays open in SQLite when it fails, and keeps later ones from committing.
    """
    before = connection.execute("SELECT coalesce(max(id), 0) FROM hl7v2_message").fetchall()[0][0]
    known = [_looked_up(connection, message, since) for message in messages]
    first: dict[tuple[str, str, bytes], int] = {}  # what is new -> its place
    digests: dict[tuple[str, str], set[bytes]] = {}
    kept: dict[int, Kept] = {}
    inserts: list[tuple[int, dict[str, Any]]] = []
    again: list[tuple[int, int]] = []
    for place, (message, (same, other)) in enumerate(zip(messages, known, strict=True)):
        key = (message.source, message.control_id, message.sha256)
        found = same.fetchall() if same else ()
        if found:
            id, ack_code = found[0]
            kept[place] = Kept(id, ack_code, duplicate=True)
            inserts.append((place, _repeated(message, id, ack_code)))
            continue
        if message.sha256 and key in first:
            again.append((place, first[key]))
            continue
        mine = digests.setdefault(key[:2], set())
        reused = bool(mine or (other and other.fetchall()))
        first[key] = place
        if message.control_id:
            mine.add(message.sha256)
        message = _judged(message) if reused else message
        kept[place] = Kept(0, message.ack_code, refused=reused and bool(message.reused_code))
        inserts.append((place, _values(message)))
    for _, values in inserts:
        connection.execute(_INSERT, values)
    ids = connection.execute(
        "SELECT id FROM hl7v2_message WHERE id > :before ORDER BY id", {"before": before}
    ).fetchall()
    for (place, _), (id,) in zip(inserts, ids, strict=True):
        if not kept[place].duplicate:
            kept[place] = replace(kept[place], id=id)
    for place, original in again:
        kept[place] = replace(kept[original], duplicate=True)
        connection.execute(_INSERT, _repeated(messages[place], kept[place].id, kept[place].ack_code))
    return [kept[place] for place in range(len(messages))]


def _looked_up(connection: Connection, message: NewMessage, since: int) -> tuple[Rows | None, Rows | None]:
    """The same message before this one, and another one of its control id; asked, not waited for."""
    if not message.sha256:
        return None, None
    values = {
        "source": message.source,
        "control_id": message.control_id,
        "sha256": message.sha256,
        "since": since,
    }
    same = connection.execute(_SAME, values)
    return same, connection.execute(_OTHER, values) if message.control_id else None


def _judged(message: NewMessage) -> NewMessage:
    """A message whose control id is known with other bytes: taken with a warning, or kept as refused."""
    message = replace(message, warnings=(*message.warnings, REUSED))
    if not message.reused_code:
        return message
    error = "205 The control id was used before, for another message."
    return replace(message, state="failed", error=error, ack_code=message.reused_code, owed="")


def _repeated(message: NewMessage, original: int, ack_code: str) -> dict[str, Any]:
    changed = {"state": "duplicate", "raw": b"", "duplicate_of": original, "ack_code": ack_code, "owed": ""}
    return _values(message) | changed


def _values(message: NewMessage) -> dict[str, Any]:
    return {
        "source": message.source,
        "listener": message.listener,
        "control_id": message.control_id,
        "sha256": message.sha256,
        "received": message.received,
        "raw": message.raw,
        "type": message.type,
        "trigger": message.trigger,
        "structure": message.structure,
        "event_at": message.event_at,
        "order_key": message.order_key,
        "second_key": message.second_key,
        "mrn": message.mrn,
        "visit": message.visit,
        "state": message.state,
        "error": message.error,
        "warnings": " ".join(message.warnings),
        "duplicate_of": None,
        "ack_code": message.ack_code,
        "owed": message.owed,
    }
