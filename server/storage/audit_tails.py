"""What segment files of read audits hold beyond a snapshot of the database.

A row of a read stands in its process's segment file until the worker moves it into the table
(`audit_segments`). A snapshot and the rest of every file together hold each row exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from server.storage.database import Connection, Database

_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file, held open: it may be removed meanwhile. position: bytes that the snapshot has in its
    table.
    """

    name: str
    stream: BinaryIO
    position: int

    def rest(self) -> Iterator[bytes]:
        """The whole lines beyond the position, in pieces of many lines."""
        self.stream.seek(self.position)
        begun = b""
        while piece := self.stream.read(_PIECE):
            whole, newline, begun = (begun + piece).rpartition(b"\n")
            if newline:
                yield whole + newline


@contextmanager
def snapshot_with_segments(
    database: Database, folder: Path
) -> Iterator[tuple[Connection, tuple[Segment, ...]]]:
    """A snapshot, and the segments that were there when it began.

    Raises: FhirError unavailable.
    """
    while True:
        with ExitStack() as stack:
            streams = dict(_opened(stack, folder))
            connection = stack.enter_context(database.reading())
            known = dict(connection.execute("SELECT name, position FROM audit_segment").fetchall())
            # A file without a position has not been begun, or was moved wholly and removed just before the
            # snapshot: where it is gone the two cannot be told apart, and the next snapshot has all of it.
            if all(name in known or (folder / name).exists() for name in streams):
                yield (
                    connection,
                    tuple(Segment(name, stream, known.get(name, 0)) for name, stream in streams.items()),
                )
                return


def _opened(stack: ExitStack, folder: Path) -> Iterator[tuple[str, BinaryIO]]:
    for path in sorted(folder.glob("*.jsonl")):
        try:
            yield path.name, stack.enter_context(path.open("rb"))
        except FileNotFoundError:
            continue  # the worker has just moved the last of it


def remember(connection: Connection, positions: Mapping[str, int], folder: Path) -> None:
    """Keep how far each segment is in the table of the open transaction, or in what was taken beside it.

    Only of those whose file still lies in the folder (a database that moves to another server beside a home
    that stays), so that the worker does not move their rows again.
    """
    here = {name: position for name, position in positions.items() if (folder / name).exists()}
    connection.fill("audit_segment", ("name", "position"), sorted(here.items()))
