"""Taking a backup while the server writes on: one snapshot of the database, and the home as it is then.

Everything that was acknowledged before the snapshot is in it, transactions whole. The server is never asked to
wait: readers block no writer in either database.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from server.backup.home_files import copy_file, files_to_keep
from server.backup.manifest import (
    AUDIT_FILE,
    HOME_FOLDER,
    TABLES_FOLDER,
    BackupError,
    Manifest,
    Table,
    described,
    private_file,
    private_folder,
    table_file,
    write_manifest,
)
from server.backup.table_files import write_table
from server.storage import table_copy
from server.storage.audit_tails import Segment, snapshot_with_segments
from server.storage.database import Connection, Database
from server.storage.sqlite_database import SqliteDatabase

Progress = Callable[[int], Callable[[int], None]]
"""Is told how many rows there are to copy; what it returns is told of those that were."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the manifest says of the deployment; see `Manifest`."""

    release: str
    demo: bool
    secret_key: str
    settings: Mapping[str, str]
    secrets: tuple[str, ...]


def back_up(
    database: Database,
    home: Path,
    folder: Path,
    facts: Facts,
    *,
    progress: Progress,
    clock: Callable[[], datetime],
) -> Manifest:
    """Write a backup into a folder, which is made or is empty; what it holds.

    Where it fails the folder is left empty. Raises: BackupError; FhirError unavailable; OSError.
    """
    _make_folder(folder, home)
    try:
        manifest = _written(database, home, folder, facts, progress, clock)
        write_manifest(folder, manifest)
    except BaseException:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise
    return manifest


def _make_folder(folder: Path, home: Path) -> None:
    if folder.resolve().is_relative_to(home.resolve()):
        raise BackupError(f"{folder} lies in BATON_HOME: a backup belongs on another disk")
    private_folder(folder)
    if any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty: name a folder that does not exist yet")
    folder.chmod(0o700)


def _written(
    database: Database,
    home: Path,
    folder: Path,
    facts: Facts,
    progress: Progress,
    clock: Callable[[], datetime],
) -> Manifest:
    (folder / TABLES_FOLDER).mkdir(mode=0o700)
    with snapshot_with_segments(database, home / "audit") as (connection, segments):
        taken = clock().astimezone(UTC)
        schema = database.schema_version(connection)
        if schema == 0:
            raise BackupError("the database is empty: there is nothing to back up")
        tables = _copy_tables(connection, folder, progress)
        positions = _copy_segments(segments, folder / AUDIT_FILE)
    own = database.path if isinstance(database, SqliteDatabase) else None
    for name in files_to_keep(home, own):
        try:
            copy_file(home / name, folder / HOME_FOLDER / name)
        except FileNotFoundError:
            continue  # removed since it was listed
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return Manifest(
        taken=taken,
        release=facts.release,
        schema=schema,
        database=database.dialect.name,
        demo=facts.demo,
        secret_key=facts.secret_key,
        tables=tables,
        segments=positions,
        settings=facts.settings,
        secrets=facts.secrets,
        files={name: described(folder / name) for name in names},
    )


def _copy_tables(connection: Connection, folder: Path, progress: Progress) -> dict[str, Table]:
    columns = table_copy.tables(connection)
    counts = {name: table_copy.count(connection, name) for name in columns}
    advance = progress(sum(counts.values()))
    for name, expected in counts.items():
        rows = table_copy.read_rows(connection, name, columns[name])
        found = write_table(folder / table_file(name), rows, advance)
        if found != expected:
            raise BackupError(
                f"{name} holds {found} rows where its index counts {expected}: the database is damaged;"
                " `baton doctor` looks at it"
            )
    return {name: Table(columns[name], counts[name]) for name in columns}


def _copy_segments(segments: tuple[Segment, ...], target: Path) -> dict[str, int]:
    """Write what the segments hold beyond the snapshot; how far each is in the backup then."""
    reached = {}
    with private_file(target) as stream:
        for segment in segments:
            position = segment.position
            for piece in segment.rest():
                stream.write(piece)
                position += len(piece)
            reached[segment.name] = position
        stream.flush()
        os.fsync(stream.fileno())
    return reached
