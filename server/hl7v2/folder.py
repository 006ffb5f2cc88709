"""The drop folder: files of messages, taken when they are complete, answered beside.

FOLDER/NAME           one message, several, or a batch; names that begin with a dot or end in .tmp, .part or
                      .filepart are left alone, as is a file that was written to in the last moments
FOLDER/done/NAME      a file whose messages are stored
FOLDER/done/NAME.ack  what a sender of them would have been answered
FOLDER/refused/...    the same, of a file with a message that was not taken

A file is moved after its messages are durable. One that could not be moved is read again, and its messages are
known then. Nothing is deleted here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from server.hl7v2.received import Origin, Receipt, Received

SETTLED_SECONDS = 2.0
_UNFINISHED = (".tmp", ".part", ".filepart")
_TAKEN = frozenset({"stored", "duplicate", "ignored"})
_ORIGIN = Origin("file")

Take = Callable[[list[Received]], list[Receipt]]


class Folder:
    """A drop folder. most: bytes that a file may have. wall: seconds of Unix time."""

    def __init__(self, path: Path, take: Take, most: int, *, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._take = take
        self._most = most
        self._wall = wall
        self._unmoved: dict[Path, Receipt] = {}

    def prepare(self) -> None:
        """Make the folders that are not there yet. Raises: OSError."""
        for name in ("done", "refused"):
            (self._path / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    def look(self) -> int:
        """Take the files that are complete, by age and name; how many.

        Raises: OSError where the folder cannot be read or a file cannot be moved.
        """
        taken = 0
        for path in self._complete():
            receipt = self._unmoved.get(path)
            if receipt is None:
                try:
                    received = self._read(path)
                except FileNotFoundError:  # another one has taken it
                    continue
                (receipt,) = self._take([received])
                if receipt.outcome == "busy":
                    return taken  # the database is away: it stays where it is
            self._unmoved[path] = receipt
            self._move(path, receipt)
            del self._unmoved[path]
            taken += 1
        return taken

    def _complete(self) -> Iterator[Path]:
        found = []
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower().endswith(_UNFINISHED):
                    continue
                with suppress(OSError):
                    if entry.is_file(follow_symlinks=False):
                        changed = entry.stat(follow_symlinks=False).st_mtime
                        if abs(self._wall() - changed) > SETTLED_SECONDS:
                            found.append((changed, entry.name))
        for _, name in sorted(found):
            yield self._path / name

    def _read(self, path: Path) -> Received:
        with path.open("rb") as file:
            data = file.read(self._most + 1)
        if len(data) > self._most:
            return Received(data[:4096], _ORIGIN, "too-large")
        return Received(data, _ORIGIN)

    def _move(self, path: Path, receipt: Receipt) -> None:
        folder = self._path / ("done" if receipt.outcome in _TAKEN else "refused")
        target = folder / path.name
        if target.exists():
            target = folder / f"{path.name}.{time.time_ns()}"
        if receipt.answers:
            target.with_name(f"{target.name}.ack").write_bytes(b"".join(receipt.answers))
        path.rename(target)
