"""Release files as streams: a member of a zip line by line, without unpacking it anywhere."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

Advance = Callable[[int], None]
"""Told how many bytes were read since it was last told."""
_CHUNK = 1 << 20


class Unreadable(ValueError):
    """A file is not what it was said to be; the message says what is missing, never what it holds."""


def sha256(path: Path, advance: Advance = lambda count: None) -> str:
    """Checksum of a file.

    Raises: OSError
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


class Archive:
    """A zip's members, found by how their names end in any case of letters; a plain file is its own member."""

    def __init__(self, path: Path, advance: Advance = lambda count: None) -> None:
        """Raises: Unreadable where a file called .zip is none; OSError."""
        self.path = path
        self._advance = advance
        self._zip: zipfile.ZipFile | None = None
        if path.suffix.lower() == ".zip":
            try:
                self._zip = zipfile.ZipFile(path)
            except zipfile.BadZipFile as error:
                raise Unreadable(f"{path.name} is no zip file") from error

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()

    def names(self) -> list[str]:
        """Every member, the shortest name first."""
        return (
            [self.path.name] if self._zip is None else sorted(self._zip.namelist(), key=lambda n: (len(n), n))
        )

    def find(self, ending: str, *also: str) -> str | None:
        """The member whose name ends so, ignoring case, and has each further text in it."""
        found = [
            name
            for name in self.names()
            if name.lower().endswith(ending.lower()) and all(text.lower() in name.lower() for text in also)
        ]
        return found[0] if found else None

    def need(self, ending: str, *also: str) -> str:
        """Raises: Unreadable where there is no such member."""
        name = self.find(ending, *also)
        if name is None:
            raise Unreadable(f"the archive has no file {''.join(also)}{ending}")
        return name

    def size(self, names: Sequence[str | None]) -> int:
        """Bytes of some members, unpacked."""
        if self._zip is None:
            return self.path.stat().st_size
        return sum(self._zip.getinfo(name).file_size for name in names if name)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A member as a stream of bytes."""
        with self._zip.open(name) if self._zip else open(self.path, "rb") as raw:
            yield io.BufferedReader(_Counted(raw, self._advance), _CHUNK)

    def lines(self, name: str, encoding: str = "utf-8") -> Iterator[str]:
        """A member's lines without their ends. What is not of the encoding is replaced."""
        with self.open(name) as file:
            for line in file:
                yield line.decode(encoding, "replace").rstrip("\r\n")

    def rows(
        self, name: str, delimiter: str = ",", encoding: str = "utf-8-sig", quoted: bool = True
    ) -> Iterator[dict[str, str]]:
        """A member's rows under its header."""
        with self.open(name) as file:
            text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
            if quoted:
                lines = csv.reader(text, delimiter=delimiter)
            else:
                lines = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
            header = next(lines, [])
            for line in lines:
                yield dict(zip(header, line, strict=False))


class _Counted(io.RawIOBase):
    """A stream that says how much of it was read."""

    def __init__(self, raw: IO[bytes], advance: Advance) -> None:
        self._raw = raw
        self._advance = advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        chunk = self._raw.read(len(view))
        view[: len(chunk)] = chunk
        self._advance(len(chunk))
        return len(chunk)
