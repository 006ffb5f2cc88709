"""The audit trail: who did what to which resource, never content.

The row of a write stands in the write's own transaction. The row of a read is appended with one `write` to the
process's own segment file before the response leaves, synced to disk within 100 ms, and moved into the table
by the worker. A segment is JSON lines; its process holds a lock on it, so that the worker knows when nothing
more can come.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from server.errors import FhirError
from server.storage.database import Connection, Database
from server.storage.instants import instant, milliseconds
from server.storage.interface import AuditRow

SYNC_SECONDS = 0.05  # half of the promised 100 ms: a row may come just after the last sync began
SEGMENT_BYTES = 8 * 1024 * 1024  # then a new segment is begun, so that the old one can be removed
BATCH_BYTES = 256 * 1024  # moved in one transaction: about 1,000 rows, some 10 ms of the writers' lock

_NAMES = tuple(field.name for field in fields(AuditRow))
_INSERT = """
INSERT INTO audit (recorded, principal, client_id, interaction, type, resource_id, version, patient, outcome,
                   request_id)
VALUES (:recorded, :principal, :client_id, :interaction, :resource_type, :id, :version_id, :patient, :outcome,
        :request_id)
"""


def _columns(row: AuditRow) -> dict[str, Any]:
    columns = {name: getattr(row, name) for name in _NAMES}
    columns["recorded"] = milliseconds(row.recorded)
    return columns


def insert(connection: Connection, row: AuditRow) -> None:
    """Add a row to the open transaction."""
    connection.execute(_INSERT, _columns(row))


def audit_rows(connection: Connection, *, limit: int) -> tuple[AuditRow, ...]:
    """The last rows of the table, newest first."""
    rows = connection.execute(
        "SELECT recorded, principal, client_id, interaction, type, resource_id, version, patient, outcome,"
        " request_id FROM audit ORDER BY id DESC LIMIT :limit",
        {"limit": limit},
    ).fetchall()
    return tuple(AuditRow(instant(row[0]), *row[1:]) for row in rows)


class AuditSegment:
    """This process's segment in a folder; opened at the first row, and anew after fork.

    Any thread may append. The folder is made if it is missing, readable by the owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = 0
        self._descriptor = -1
        self._size = 0
        self._torn = False
        self._open_lock = threading.Lock()
        self._written = threading.Event()

    def append(self, row: AuditRow) -> None:
        """Add a row: written when this returns, on disk within 100 ms.

        Raises: FhirError storage-full, unavailable; then the response must not leave.
        """
        line = json.dumps(_columns(row), separators=(",", ":")).encode() + b"\n"
        try:
            if self._process != os.getpid() or self._size > SEGMENT_BYTES:
                self._open()
            if self._torn:  # a disk that was full took only part of a line: end that line first
                line = b"\n" + line
            done = os.write(self._descriptor, line)
            self._torn = done != len(line)
            if self._torn:
                raise OSError(errno.ENOSPC, "short write")
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            kind = "storage-full" if full else "unavailable"
            raise FhirError(kind, "The audit trail cannot be written.") from error
        self._size += done
        self._written.set()

    def _open(self) -> None:
        with self._open_lock:
            if self._process == os.getpid() and self._size <= SEGMENT_BYTES:
                return
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / f"{os.getpid()}-{secrets.token_hex(8)}.jsonl"
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if self._process == os.getpid():
                previous, self._descriptor = self._descriptor, descriptor
                os.fsync(previous)
                os.close(previous)
            else:
                # After fork the parent's descriptor stays open here, unused: it is the parent's to close.
                self._descriptor = descriptor
                self._process = os.getpid()
                self._written = threading.Event()
                threading.Thread(target=self._sync, name="audit-sync", daemon=True).start()
            self._size = 0
            self._torn = False

    def _sync(self) -> None:
        """Sync what was written, for as long as the process lives."""
        written = self._written
        pause = threading.Event()
        while True:
            written.wait()
            pause.wait(SYNC_SECONDS)
            written.clear()
            with self._open_lock:
                if self._descriptor < 0:
                    return
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Sync and close; the worker may then remove the segment."""
        with self._open_lock:
            if self._process != os.getpid() or self._descriptor < 0:
                return
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._process = 0
            self._written.set()


def ingest_segments(database: Database, folder: Path) -> int:
    """Move what the segments of a folder hold into the table; how many rows.

    Each piece is moved in one transaction together with the position it reaches, so nothing is moved twice,
    whoever is interrupted or runs at the same time. Segments of ended processes are removed once empty.
    Lines that are no audit row (a write torn by a full disk) are left out.
    """
    moved = 0
    for path in sorted(folder.glob("*.jsonl")):
        try:
            with path.open("rb") as segment:
                ended = _ended(segment.fileno())
                while (rows := _move(database, path.name, segment)) is not None:
                    moved += rows
        except FileNotFoundError:
            continue  # another worker has just removed it
        if ended:  # looked at before the last piece was read, so nothing can have come after it
            path.unlink(missing_ok=True)
            with database.writing() as connection:
                connection.execute("DELETE FROM audit_segment WHERE name = :name", {"name": path.name})
    return moved


def _ended(descriptor: int) -> bool:
    """Whether the process that wrote a segment is done with it: its lock is free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _move(database: Database, name: str, segment: Any) -> int | None:
    """Move the next piece of a segment; the number of rows, None where no whole line is left."""
    known = "SELECT position FROM audit_segment WHERE name = :name"
    with database.reading() as connection:
        row = connection.execute(known, {"name": name}).fetchone()
    position = row[0] if row else 0
    segment.seek(position)
    piece = segment.read(BATCH_BYTES)
    piece = piece[: piece.rfind(b"\n") + 1]
    if not piece:
        return None
    rows = list(_parsed(piece.splitlines()))
    with database.writing() as connection:
        row = connection.execute(known, {"name": name}).fetchone()
        if (row[0] if row else 0) != position:
            return 0  # another worker was quicker
        connection.executemany(_INSERT, rows)
        connection.execute(
            "INSERT INTO audit_segment (name, position) VALUES (:name, :position)"
            " ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            {"name": name, "position": position + len(piece)},
        )
    return len(rows)


def _parsed(lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and set(row) == set(_NAMES):
            yield row
