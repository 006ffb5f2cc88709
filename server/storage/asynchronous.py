"""Requests that are answered later (Prefer: respond-async), and their answers until they expire.

A request is one row; its body, the rows of a batch that are done and the answer are content, compressed and in
pieces, so that neither a table nor a backup has to hold a large one at once. Who carries a request out ends the
row in the transaction of what it wrote: it is done once, whoever else carries it out at the same moment.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from server.storage.database import Connection, Database
from server.storage.instants import instant, milliseconds, optional_instant

Part = Literal["body", "row", "answer"]

PIECE_BYTES = 1_000_000
_COLUMNS = (
    "id, caller, client_id, token_hash, address, request, created, expires, finished, done, total, patients,"
    " results"
)
_OPEN = "id = :id AND finished IS NULL"


class NotOpen(Exception):
    """The request was cancelled, has expired, or somebody else carried it out: nothing of this is kept."""


@dataclass(frozen=True, slots=True)
class AsynchronousRequest:
    """A request as its row says. caller: a digest of who may ask for it. token_hash: of the token it came with.

    address: it came from. request: the interaction as JSON, without its body. finished: when it was answered.
    done, total: entries of a batch. patients, results: of the answer, for the audit trail.
    """

    id: str
    caller: bytes
    client_id: str
    token_hash: bytes
    address: str
    request: bytes
    created: datetime
    expires: datetime
    finished: datetime | None = None
    done: int = 0
    total: int = 0
    patients: tuple[str, ...] = ()
    results: int = 0


class AsynchronousRequests:
    """The tables asynchronous_request and asynchronous_content. Calls join a surrounding `writing()`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, request: AsynchronousRequest, body: bytes, most_open: int) -> bool:
        """Keep a request; False, and nothing is kept, where its client has `most_open` without an answer."""
        with self._database.writing() as connection:
            connection.lock(f"asynchronous {request.client_id}")
            (waiting,) = connection.execute(
                "SELECT count(*) FROM asynchronous_request WHERE client_id = :client_id AND finished IS NULL",
                {"client_id": request.client_id},
            ).fetchone()
            if waiting >= most_open:
                return False
            connection.execute(
                f"INSERT INTO asynchronous_request ({_COLUMNS}) VALUES (:id, :caller, :client_id, :token_hash,"
                " :address, :request, :created, :expires, NULL, 0, 0, '', 0)",
                {
                    "id": request.id,
                    "caller": request.caller,
                    "client_id": request.client_id,
                    "token_hash": request.token_hash,
                    "address": request.address,
                    "request": request.request,
                    "created": milliseconds(request.created),
                    "expires": milliseconds(request.expires),
                },
            )
            if body:
                _put(connection, request.id, "body", body)
        return True

    def find(self, id: str, now: datetime) -> AsynchronousRequest | None:
        """The request, None where there is none or it has expired."""
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM asynchronous_request WHERE id = :id AND expires > :now",
                {"id": id, "now": milliseconds(now)},
            ).fetchone()
        return _request(row) if row else None

    def body(self, id: str) -> bytes:
        """What came with the request, b"" for nothing."""
        return self._joined(id, "body")

    def answer(self, id: str) -> bytes:
        """The answer of a request that is finished."""
        return self._joined(id, "answer")

    def keep(self, id: str, rows: Mapping[int, bytes], *, total: int) -> None:
        """Keep the answers of entries of a batch, by their positions; total: how many entries there are.

        Raises: NotOpen, also where an entry was kept before.
        """
        with self._database.writing() as connection:
            self._claim(
                connection,
                "done = done + :done, total = :total",
                {"id": id, "done": len(rows), "total": total},
            )
            kept = connection.execute(
                "SELECT count(*) FROM asynchronous_content WHERE request_id = :id AND part = 'row'"
                f" AND number {connection.dialect.in_array(connection.dialect.placeholder('numbers'))}",
                {"id": id, "numbers": connection.dialect.array(list(rows))},
            ).fetchone()
            if kept != (0,):
                raise NotOpen
            for position, row in rows.items():
                _insert(connection, id, "row", position, zlib.compress(row, 1))

    def rows(self, id: str) -> dict[int, bytes]:
        """The answers of the entries of a batch that were kept, by their positions, in their order."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT number, content FROM asynchronous_content WHERE request_id = :id AND part = 'row'"
                " ORDER BY number",
                {"id": id},
            ).fetchall()
        return {number: zlib.decompress(content) for number, content in rows}

    def finish(
        self,
        id: str,
        answer: bytes,
        now: datetime,
        *,
        expires: datetime,
        patients: Sequence[str] = (),
        results: int = 0,
    ) -> None:
        """Keep the answer in place of all other content. Raises: NotOpen."""
        with self._database.writing() as connection:
            self._claim(
                connection,
                "finished = :now, expires = :expires, patients = :patients, results = :results",
                {
                    "id": id,
                    "now": milliseconds(now),
                    "expires": milliseconds(expires),
                    "patients": " ".join(patients),
                    "results": results,
                },
            )
            connection.execute("DELETE FROM asynchronous_content WHERE request_id = :id", {"id": id})
            _put(connection, id, "answer", answer)

    def delete(self, id: str) -> bool:
        """Forget a request, answered or not; whether it was there."""
        with self._database.writing() as connection:
            found = connection.execute("DELETE FROM asynchronous_request WHERE id = :id", {"id": id}).rowcount
            connection.execute("DELETE FROM asynchronous_content WHERE request_id = :id", {"id": id})
        return found == 1

    def purge(self, now: datetime) -> int:
        """Forget what has expired; how many requests."""
        values = {"now": milliseconds(now)}
        old = "SELECT id FROM asynchronous_request WHERE expires <= :now"
        with self._database.reading() as connection:
            if connection.execute(f"{old} LIMIT 1", values).fetchone() is None:
                return 0
        with self._database.writing() as connection:
            connection.execute(f"DELETE FROM asynchronous_content WHERE request_id IN ({old})", values)
            return connection.execute("DELETE FROM asynchronous_request WHERE expires <= :now", values).rowcount

    @staticmethod
    def _claim(connection: Connection, change: str, values: Mapping[str, Any]) -> None:
        """Change an open request; from then on nobody else does before this transaction ends."""
        if not connection.execute(f"UPDATE asynchronous_request SET {change} WHERE {_OPEN}", values).rowcount:
            raise NotOpen

    def _joined(self, id: str, part: Part) -> bytes:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT content FROM asynchronous_content WHERE request_id = :id AND part = :part"
                " ORDER BY number",
                {"id": id, "part": part},
            ).fetchall()
        return zlib.decompress(b"".join(content for (content,) in rows)) if rows else b""


def _put(connection: Connection, id: str, part: Part, content: bytes) -> None:
    short = zlib.compress(content, 1)
    for number, start in enumerate(range(0, len(short), PIECE_BYTES)):
        _insert(connection, id, part, number, short[start : start + PIECE_BYTES])


def _insert(connection: Connection, id: str, part: Part, number: int, content: bytes) -> None:
    connection.execute(
        "INSERT INTO asynchronous_content (request_id, part, number, content)"
        " VALUES (:id, :part, :number, :content)",
        {"id": id, "part": part, "number": number, "content": content},
    )


def _request(row: tuple[Any, ...]) -> AsynchronousRequest:
    id, caller, client, token, address, request, created, expires, finished, done, total, patients, results = (
        row
    )
    return AsynchronousRequest(
        id=id,
        caller=bytes(caller),
        client_id=client,
        token_hash=bytes(token),
        address=address,
        request=bytes(request),
        created=instant(created),
        expires=instant(expires),
        finished=optional_instant(finished),
        done=done,
        total=total,
        patients=tuple(patients.split()),
        results=results,
    )
