"""The audit rows of what writes nothing: appended to a file, moved into the database by the worker.

The row of a write stands in the write's own transaction. The row of a read is appended with one `write` to the
process's own segment file before the response leaves, and synced to disk within 100 ms. A segment is JSON
lines; its process holds a lock on it, so that the worker knows when nothing more can come.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec

from server.errors import FhirError
from server.storage.audit_rows import INSERT, row_values
from server.storage.audit_values import AuditRow
from server.storage.database import Database
from server.storage.instants import instant

SYNC_SECONDS = 0.05  # half of the promised 100 ms: a row may come just after the last sync began
SEGMENT_BYTES = 8 * 1024 * 1024  # then a new segment is begun, so that the old one can be removed
BATCH_BYTES = 128 * 1024  # moved in one transaction: about 300 rows, some milliseconds of the writers' lock
MALFORMED = "audit-malformed"  # the interaction of a row that stands for what could not be read

_Integer = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Moment = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000)]  # until the year 9999


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line of a segment. What has a default came after the first release, whose segments may still wait."""

    recorded: _Moment
    principal: str
    client_id: str
    interaction: str
    resource_type: str
    id: str
    version_id: _Integer
    patient: str
    outcome: _Integer
    request_id: str
    username: str = ""
    token_id: str = ""
    purpose: str = ""
    address: str = ""
    results: _Integer = 0
    detail: str = ""
    organization: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


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
        line = _encode(row_values(row)) + b"\n"
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
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            kind = "storage-full" if full else "unavailable"
            raise FhirError(kind, "The audit trail cannot be written.") from error
        self._size += done
        self._written.set()

    def _open(self) -> None:
        with self._open_lock:
            if self._process == os.getpid() and self._size <= SEGMENT_BYTES:
                return
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = f"{os.getpid()}-{secrets.token_hex(8)}"
            opening = self._folder / f".{name}"
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(opening, flags, 0o600)
            # Locked before the worker can see it: an unlocked segment is one whose process has ended.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            opening.rename(self._folder / f"{name}.jsonl")
            if self._process == os.getpid():
                previous, self._descriptor = self._descriptor, descriptor
                with suppress(OSError):  # the next rows go elsewhere
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
                try:
                    os.fsync(self._descriptor)
                except OSError:
                    # What the kernel has not kept it will not keep when asked again: go on in a new segment,
                    # whose making tells the next request whether the disk takes anything.
                    self._size = SEGMENT_BYTES + 1

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
    What is no audit row (a write torn by a full disk, a file that was meddled with) leaves a row MALFORMED in
    its place, which says where it stood.
    """
    moved = 0
    for path in sorted(folder.glob("*.jsonl")):
        try:
            with path.open("rb") as segment:
                ended = _ended(segment.fileno())
                while (rows := _move(database, path.name, segment, ended)) is not None:
                    moved += rows
        except FileNotFoundError:
            continue  # another worker has just removed it
        if ended:  # looked at before the last piece was read, so nothing can have come after it
            path.unlink(missing_ok=True)
            with database.writing() as connection:
                connection.execute("DELETE FROM audit_segment WHERE name = :name", {"name": path.name})
    return moved


@dataclass(frozen=True, slots=True)
class WaitingSegments:
    """What the worker has not moved yet. rows, malformed: how many lines. oldest: None where nothing waits."""

    files: int
    rows: int
    malformed: int
    oldest: datetime | None


def waiting_segments(database: Database, folder: Path) -> WaitingSegments:
    """Look at what waits in the segments of a folder, without moving it."""
    files = rows = malformed = 0
    oldest: int | None = None
    for path in sorted(folder.glob("*.jsonl")):
        files += 1
        try:
            with path.open("rb") as segment:
                ended = _ended(segment.fileno())
                position = _position(database, path.name)
                while piece := _piece(segment, position, ended):
                    for values in _parsed(path.name, position, piece, 0):
                        if values["interaction"] == MALFORMED:
                            malformed += 1
                        else:
                            rows += 1
                            oldest = min(oldest or values["recorded"], values["recorded"])
                    position += len(piece)
        except FileNotFoundError:
            continue  # the worker has just finished with it
    return WaitingSegments(files, rows, malformed, None if oldest is None else instant(oldest))


def _ended(descriptor: int) -> bool:
    """Whether the process that wrote a segment is done with it: its lock is free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


_KNOWN = "SELECT position FROM audit_segment WHERE name = :name"


def _position(database: Database, name: str) -> int:
    """How far a segment has been moved, in bytes."""
    with database.reading() as connection:
        row = connection.execute(_KNOWN, {"name": name}).fetchone()
    return int(row[0]) if row else 0


def _piece(segment: IO[bytes], position: int, ended: bool) -> bytes:
    """The next whole lines. The last line of an ended process counts as whole: nothing will complete it."""
    segment.seek(position)
    piece = segment.read(BATCH_BYTES)
    whole = piece[: piece.rfind(b"\n") + 1]
    if whole or not piece:
        return whole
    if len(piece) == BATCH_BYTES:  # one line longer than a batch
        return piece + segment.readline()
    return piece if ended else b""


def _move(database: Database, name: str, segment: IO[bytes], ended: bool) -> int | None:
    """Move the next piece of a segment; the number of rows, None where nothing is left to move."""
    position = _position(database, name)
    piece = _piece(segment, position, ended)
    if not piece:
        return None
    rows = list(_parsed(name, position, piece, int(os.fstat(segment.fileno()).st_mtime * 1000)))
    with database.writing() as connection:
        connection.lock(f"audit segment {name}")
        row = connection.execute(_KNOWN, {"name": name}).fetchone()
        if (int(row[0]) if row else 0) != position:
            return 0  # another worker was quicker
        if os.fstat(segment.fileno()).st_nlink == 0:
            return None  # and has finished with it: that it is not known means nothing any more
        connection.executemany(INSERT, rows)
        connection.execute(
            "INSERT INTO audit_segment (name, position) VALUES (:name, :position)"
            " ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            {"name": name, "position": position + len(piece)},
        )
    return len(rows)


def _parsed(name: str, position: int, piece: bytes, modified: int) -> Iterator[dict[str, Any]]:
    """The rows of a piece that starts at a position. modified: the moment a malformed one is given."""
    for line in piece.splitlines(keepends=True):
        try:
            values = msgspec.structs.asdict(_decode(line))
            if any("\0" in value for value in values.values() if isinstance(value, str)):
                raise ValueError  # no row of ours: `row_values` leaves none
        except ValueError:  # DecodeError and ValidationError are ones
            if line.strip():
                where = f"{name} at byte {position}, {len(line)} bytes"
                yield {**_NOTHING, "recorded": modified, "interaction": MALFORMED, "detail": where}
        else:
            yield values
        position += len(line)


_NOTHING = msgspec.structs.asdict(_Line(0, "", "", "", "", "", 0, "", 0, ""))
