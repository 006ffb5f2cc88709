"""How the elements of results came about, one compressed text for each message and version of its map."""

from __future__ import annotations

import zlib
from functools import partial
from typing import Any

from server.storage.database import Connection, Database

_PUT = """
INSERT INTO hl7v2_trace (message, mapping_version, body) VALUES (:message, :version, :body)
ON CONFLICT (message, mapping_version) DO UPDATE SET body = excluded.body"""
_LEVEL = 1  # traces are long and alike: the quickest level leaves a tenth of them


def packed(text: bytes) -> bytes:
    """A trace as it is kept."""
    return zlib.compress(text, _LEVEL)


class Hl7v2Traces:
    """The table of traces; its calls join a surrounding `writing()` of the thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, message: int, version: str, body: bytes) -> None:
        """Keep the trace of a message (`packed`), instead of an earlier one of the same version."""
        values = {"message": message, "version": version, "body": body}
        with self._database.joining() as connection:
            connection.work(partial(_put, connection, values), (message, version))

    def get(self, message: int, version: str) -> bytes | None:
        """The text of the trace of a message by a version of the maps."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT body FROM hl7v2_trace WHERE message = :message AND mapping_version = :version",
                {"message": message, "version": version},
            ).fetchone()
        return None if row is None else zlib.decompress(bytes(row[0]))


def _put(connection: Connection, values: dict[str, Any]) -> None:
    connection.execute(_PUT, values)
