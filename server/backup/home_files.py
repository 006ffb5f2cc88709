"""The files of BATON_HOME: which belong into a backup, and how a file is copied while it is in use."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from server.backup.manifest import BackupError, private_file, private_folder

AUDIT_FOLDER = "audit"
RECORD = "last-backup.json"
# Audit segments are taken with the snapshot of the database, which has the other part of their rows; the others
# tell of this home and of its running processes.
_LEFT_OUT = frozenset({AUDIT_FOLDER, RECORD, "metrics"})
_BESIDE_SQLITE = ("-wal", "-shm", "-journal", ".lock")
_SQLITE = b"SQLite format 3\0"


def files_to_keep(home: Path, database: Path | None) -> Iterator[Path]:
    """Every file of the home but the database's own, drafts (names that begin with a dot) and _LEFT_OUT.

    What a later release or an operator puts there is kept without being named here. Paths are relative.
    database: the file of an SQLite database, wherever it lies.
    """
    own = database.resolve() if database else None
    for path in sorted(home.rglob("*")):
        relative = path.relative_to(home)
        if relative.parts[0] in _LEFT_OUT or any(part.startswith(".") for part in relative.parts):
            continue
        beside = next((path.name.removesuffix(end) for end in _BESIDE_SQLITE if path.name.endswith(end)), None)
        if beside and (path.with_name(beside).exists() or path.with_name(beside).resolve() == own):
            continue
        if path.is_file() and path.resolve() != own:
            yield relative


def copy_file(source: Path, target: Path) -> None:
    """Copy a file for its owner alone; an SQLite database by SQLite, so that the copy is whole.

    Raises: FileNotFoundError, OSError, BackupError.
    """
    private_folder(target.parent)
    with source.open("rb") as stream:
        is_database = stream.read(len(_SQLITE)) == _SQLITE
        if not is_database:
            stream.seek(0)
            with private_file(target) as copy:
                shutil.copyfileobj(stream, copy)
            return
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        original = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        copied = sqlite3.connect(target)
        try:
            original.backup(copied)
            copied.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        finally:
            copied.close()
            original.close()
    except sqlite3.Error as error:
        raise BackupError(f"{source.name} in BATON_HOME cannot be read: {error}") from None
