"""The sealer: gives rows their place in the audit chain, where none can be changed, lost or added unseen.

A row's hash is SHA-256 over the hash of the row before it (32 zero bytes before the first) and the row itself
as compact JSON: an array of its sequence number and its columns in the order of ENCODED, without the empty ones
of LATER at the end. Text is UTF-8 with
only the escapes that JSON requires, numbers are integers, so there is one way to write a row (the form of
RFC 8785). A head is a signature over the hash of the last row; docs/explanation/audit.md tells what it proves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from server.storage.database import Connection, Database
from server.storage.instants import instant, milliseconds

# Moved in one transaction: some 20 ms of the writers' lock.
BATCH_ROWS = 250
BATCH_PATIENTS = 500
FIRST_HASH = bytes(32)
BEFORE_ALL = -(2**63)

# The columns of a row in the order they are hashed in. Released: a change would break every chain there is.
# Those of LATER came after the first release: they are hashed after the others, and only as far as they hold
# something, so that a row without them has the hash that it always had.
ENCODED = (
    "recorded",
    "principal",
    "username",
    "client_id",
    "token_id",
    "purpose",
    "address",
    "interaction",
    "type",
    "resource_id",
    "version",
    "patient",
    "outcome",
    "results",
    "detail",
    "request_id",
    "organization",
)
LATER = ("organization",)
_ALWAYS = len(ENCODED) - len(LATER)
_RECORDED, _PATIENT = ENCODED.index("recorded"), ENCODED.index("patient")
_COLUMNS = ", ".join(ENCODED)
_PLACES = ", ".join(f":{column}" for column in ENCODED)
_SEAL = f"INSERT INTO audit_chain (sequence, {_COLUMNS}, hash) VALUES (:sequence, {_PLACES}, :hash)"
_NAME_PATIENT = (
    "INSERT INTO audit_patient (patient, recorded, sequence) VALUES (:patient, :recorded, :sequence)"
)

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The last row of the chain: its number (0 for an empty chain) and its hash."""

    sequence: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class ChainExtent:
    """noted: the end by the sealer's note. row, head: the highest number that a row has, and a head."""

    noted: ChainEnd
    row: int
    head: int


@dataclass(frozen=True, slots=True)
class SignedHead:
    """signature: a JWT that names sequence and hash. public_key: the JWK that verifies it, as JSON."""

    sequence: int
    signed: datetime
    signature: str
    public_key: str


@dataclass(frozen=True, slots=True)
class ChainRow:
    """A row as it is stored. columns: in the order of ENCODED. patients: what `audit_patient` has of it."""

    sequence: int
    columns: tuple[Any, ...]
    hash: bytes
    patients: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unsealed:
    """What waits for the sealer. oldest: None where nothing waits."""

    rows: int
    oldest: datetime | None


Sign = Callable[[ChainEnd], SignedHead]


def row_hash(previous: bytes, sequence: int, columns: Sequence[Any]) -> bytes:
    """The hash of a row after the row that has the hash `previous`."""
    hashed = len(columns)
    while hashed > _ALWAYS and not columns[hashed - 1]:
        hashed -= 1
    columns = columns[:hashed]
    return hashlib.sha256(previous + _encode((sequence, *columns))).digest()


def row_patients(columns: Sequence[Any]) -> tuple[tuple[str, int], ...]:
    """(patient, recorded) of each patient that a row names."""
    return tuple((patient, columns[_RECORDED]) for patient in sorted(set(columns[_PATIENT].split())))


def seal(database: Database, sign: Sign, now: datetime, *, sign_every: timedelta) -> int:
    """Seal what waits, and sign the end of the chain where the last signature is older than sign_every.

    Returns how many rows were sealed. Two that seal at once harm nothing: the second finds the chain longer
    than it knew and leaves the rest to the first. Rows are taken because they wait, never by a number that was
    passed, so one that was committed late is sealed late.
    """
    sealed = 0
    while rows := _seal_batch(database):
        sealed += rows
    with database.reading() as connection:
        end = chain_end(connection)
        last = connection.execute(
            "SELECT sequence, signed FROM audit_head ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
    known, signed = last or (0, 0)
    if end.sequence > known and milliseconds(now) - signed >= sign_every / timedelta(milliseconds=1):
        keep_head(database, sign(end))
    return sealed


def _seal_batch(database: Database) -> int:
    with database.reading() as connection:
        end = chain_end(connection)
        waiting = connection.execute(
            f"SELECT id, {_COLUMNS} FROM audit ORDER BY id LIMIT :most", {"most": BATCH_ROWS}
        ).fetchall()
    if not waiting:
        return 0
    rows, patients = [], []
    previous = end.hash
    for sequence, (_, *columns) in enumerate(waiting, end.sequence + 1):
        previous = row_hash(previous, sequence, columns)
        rows.append({**dict(zip(ENCODED, columns, strict=True)), "sequence": sequence, "hash": previous})
        patients += [
            {"patient": patient, "recorded": recorded, "sequence": sequence}
            for patient, recorded in row_patients(columns)
        ]
        if len(patients) >= BATCH_PATIENTS:
            break
    with database.writing() as connection:
        connection.execute(
            'INSERT INTO audit_sealer ("only", sequence) VALUES (1, 0) ON CONFLICT ("only") DO NOTHING'
        )
        moved = connection.execute(
            'UPDATE audit_sealer SET sequence = :reached WHERE "only" = 1 AND sequence = :known',
            {"reached": end.sequence + len(rows), "known": end.sequence},
        )
        if moved.rowcount != 1:
            return 0  # another sealer was quicker, and goes on
        connection.executemany(_SEAL, rows)
        if patients:
            connection.executemany(_NAME_PATIENT, patients)
        ids = connection.dialect.array([row[0] for row in waiting[: len(rows)]])
        chosen = connection.dialect.in_array(connection.dialect.placeholder("ids"))
        connection.execute(f"DELETE FROM audit WHERE id {chosen}", {"ids": ids})
    return len(rows)


def chain_end(connection: Connection) -> ChainEnd:
    """How far the chain reaches, by what the sealer last noted; hash b"" where that row is missing."""
    row = connection.execute(
        "SELECT s.sequence, c.hash FROM audit_sealer s LEFT JOIN audit_chain c ON c.sequence = s.sequence"
    ).fetchone()
    if row is None or row[0] == 0:
        return ChainEnd(0, FIRST_HASH)
    return ChainEnd(row[0], bytes(row[1] or b""))


def chain_extent(database: Database) -> ChainExtent:
    """How far chain and heads reach, at one moment."""
    with database.reading() as connection:
        row = connection.execute("SELECT max(sequence) FROM audit_chain").fetchone()
        head = connection.execute("SELECT max(sequence) FROM audit_head").fetchone()
        return ChainExtent(chain_end(connection), row[0] or 0, head[0] or 0)


def keep_head(database: Database, head: SignedHead) -> None:
    """Keep a signature; the first one over the same row stays."""
    with database.writing() as connection:
        connection.execute(
            "INSERT INTO audit_head (sequence, signed, signature, public_key)"
            " VALUES (:sequence, :signed, :signature, :public_key) ON CONFLICT (sequence) DO NOTHING",
            {
                "sequence": head.sequence,
                "signed": milliseconds(head.signed),
                "signature": head.signature,
                "public_key": head.public_key,
            },
        )


def chain_rows(database: Database, *, until: int) -> Iterator[ChainRow]:
    """The rows up to a number in their order, read a batch at a time; what stands before number 1, too."""
    after = BEFORE_ALL
    while True:
        with database.reading() as connection:
            bounds = {"after": after, "until": until, "most": 2_000}
            rows = connection.execute(
                f"SELECT sequence, {_COLUMNS}, hash FROM audit_chain"
                " WHERE sequence > :after AND sequence <= :until ORDER BY sequence LIMIT :most",
                bounds,
            ).fetchall()
            if not rows:
                return
            named: dict[int, list[tuple[str, int]]] = {}
            for sequence, patient, recorded in connection.execute(
                "SELECT sequence, patient, recorded FROM audit_patient"
                " WHERE sequence > :after AND sequence <= :last ORDER BY patient, recorded",
                {"after": after, "last": rows[-1][0]},
            ).fetchall():
                named.setdefault(sequence, []).append((patient, recorded))
        for sequence, *columns, hash in rows:
            yield ChainRow(sequence, tuple(columns), bytes(hash), tuple(named.get(sequence, ())))
        after = rows[-1][0]


def heads(database: Database, *, until: int) -> Iterator[SignedHead]:
    """The signed heads over rows up to a number in their order, read a batch at a time."""
    after = BEFORE_ALL
    while True:
        with database.reading() as connection:
            rows = connection.execute(
                "SELECT sequence, signed, signature, public_key FROM audit_head"
                " WHERE sequence > :after AND sequence <= :until ORDER BY sequence LIMIT 500",
                {"after": after, "until": until},
            ).fetchall()
        if not rows:
            return
        for sequence, signed, *more in rows:
            yield SignedHead(sequence, instant(signed), *more)
        after = rows[-1][0]


def unsealed(database: Database) -> Unsealed:
    """How many rows wait in the table, and since when."""
    with database.reading() as connection:
        count, oldest = connection.execute("SELECT count(*), min(recorded) FROM audit").fetchone()
    return Unsealed(count, None if oldest is None else instant(oldest))
