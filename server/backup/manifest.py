"""What a backup consists of: `manifest.json`, written last, names every file with its size and SHA-256.

A folder without it is a backup that never ended. Layout: `tables/NAME.rows.gz` (`table_files`), `audit.jsonl`
(audit rows on their way into the table), `home/` (the files of BATON_HOME).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import msgspec

FORMAT = 1
NAME = "manifest.json"
AUDIT_FILE = "audit.jsonl"
HOME_FOLDER = "home"
TABLES_FOLDER = "tables"


class BackupError(Exception):
    """A backup cannot be taken or used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class File:
    """size: bytes. sha256: hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Table:
    """The columns in the order of the rows, and how many rows there are."""

    columns: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """taken: when the snapshot was opened. schema: the number of its last migration. database: its kind.

    segments: how far each audit segment is in the table or in `audit.jsonl`, in bytes. settings: what the
    deployment was set to, as far as it is no secret. secrets: the variables whose value is needed as well and
    is not in the backup. secret_key: a check value of BATON_SECRET_KEY, which does not give the key away.
    files: by their path inside the folder.
    """

    taken: datetime
    release: str
    schema: int
    database: str
    demo: bool
    secret_key: str
    tables: Mapping[str, Table]
    segments: Mapping[str, int]
    settings: Mapping[str, str]
    secrets: tuple[str, ...]
    files: Mapping[str, File] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(table.rows for table in self.tables.values())

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


def table_file(table: str) -> str:
    """The path of a table's file inside the backup."""
    return f"{TABLES_FOLDER}/{table}.rows.gz"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make the backup whole: everything before is on disk, then the manifest appears."""
    draft = folder / f".{NAME}"
    with private_file(draft) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(folder / NAME)
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(place)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup. Raises: BackupError where there is none that this release understands."""
    try:
        content = (folder / NAME).read_bytes()
    except OSError:
        raise BackupError(
            f"{folder} holds no {NAME}: it is no backup, or one that was not finished; take another"
        ) from None
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError:
        raise BackupError(f"{NAME} is damaged: this backup cannot be used") from None
    if manifest.format != FORMAT:
        raise BackupError(
            f"the backup has format {manifest.format}, this release reads {FORMAT}: use the release that wrote"
            f" it ({manifest.release}) or a newer one"
        )
    return manifest


def check_files(folder: Path, manifest: Manifest) -> Iterator[int]:
    """Compare every file with the manifest; the sizes of those that agree, one after the other.

    Raises: BackupError naming the first that does not.
    """
    for name, file in manifest.files.items():
        path = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise BackupError(f"{NAME} is damaged: {name} lies outside of the backup")
        try:
            with path.open("rb") as stream:
                found = File(os.fstat(stream.fileno()).st_size, digest(stream))
        except OSError:
            raise BackupError(f"{name} is missing or cannot be read: this backup cannot be used") from None
        if found != file:
            raise BackupError(f"{name} is damaged or was changed: this backup cannot be used")
        yield found.size


def digest(stream: BufferedReader) -> str:
    """SHA-256 of what is left of a stream, in hexadecimal."""
    return hashlib.file_digest(stream, "sha256").hexdigest()


def described(path: Path) -> File:
    """Size and hash of a file as it is on the disk, after bringing it there."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
        return File(os.fstat(stream.fileno()).st_size, digest(stream))


def private_file(path: Path) -> BinaryIO:
    """A new file that its owner alone can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def private_folder(path: Path) -> None:
    """A folder that its owner alone can enter, with those above it that are missing."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(exist_ok=True, mode=0o700)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
