"""Putting a backup into a new home and an empty database.

Nothing is touched before the whole backup has been read and agrees with its manifest. Then the files are
placed, each whole or not at all, and last of all the rows, in one transaction: a restore that was interrupted
may be run again until the rows are there.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from server.backup.home_files import AUDIT_FOLDER
from server.backup.manifest import (
    AUDIT_FILE,
    HOME_FOLDER,
    BackupError,
    Manifest,
    check_files,
    private_folder,
    table_file,
)
from server.backup.table_files import read_table
from server.backup.take import Progress
from server.storage import table_copy
from server.storage.audit_tails import remember
from server.storage.database import Connection, Database
from server.storage.migrations import migrations, upgrade

SIGNING_KEYS = f"{HOME_FOLDER}/keys"


def verify(folder: Path, manifest: Manifest, progress: Progress) -> None:
    """Read the whole backup and compare it with its manifest. Raises: BackupError."""
    advance = progress(manifest.size + manifest.rows)
    for size in check_files(folder, manifest):
        advance(size)
    for name, table in manifest.tables.items():
        if table_file(name) not in manifest.files:
            raise BackupError(f"the manifest knows no file of the table {name}: this backup cannot be used")
        found = 0
        for block in read_table(folder / table_file(name)):
            found += len(block)
            advance(len(block))
        if found != table.rows:
            raise BackupError(f"{name} has {found} rows where the manifest says {table.rows}: it is damaged")


def restore(
    folder: Path,
    manifest: Manifest,
    database: Database,
    home: Path,
    *,
    with_files: bool,
    with_keys: bool,
    now: datetime,
    progress: Progress,
) -> int:
    """Put a verified backup in place; the schema that the database has then.

    with_files: the files of BATON_HOME too, not the database alone. with_keys: and among them the signing keys,
    which are of no use under another BATON_SECRET_KEY.
    Raises: BackupError before anything was changed; FhirError storage-full, unavailable; OSError.
    """
    _check_database(database, manifest)
    wanted = dict(_wanted(folder, manifest, home, with_files, with_keys))
    for source, target in wanted.items():
        if target.exists() and not filecmp.cmp(source, target, shallow=False):
            raise BackupError(
                f"{target.relative_to(home)} is in BATON_HOME already and differs: restore into a new home, or"
                " the database alone (--database-only)"
            )
    upgrade(database, until=manifest.schema)
    with database.reading() as connection:
        _check_columns(connection, manifest)
    for source, target in wanted.items():
        _place(source, target)
    advance = progress(manifest.rows)
    with database.writing() as connection:
        _fill(connection, folder, manifest, advance)
        remember(connection, manifest.segments, home / AUDIT_FOLDER)
        table_copy.finish(connection, now)
    return upgrade(database)


def _check_database(database: Database, manifest: Manifest) -> None:
    newest = migrations(database.dialect.name)[-1].number
    if manifest.schema > newest:
        raise BackupError(
            f"the backup has schema {manifest.schema}, this release knows {newest}: use release"
            f" {manifest.release}, or a newer one"
        )
    if database.others():
        raise BackupError("the database is in use: stop the server, or name another one by BATON_DATABASE_URL")
    with database.reading() as connection:
        found = database.schema_version(connection)
        held = table_copy.occupied(connection) if found else None
    if held is not None:
        raise BackupError(
            f"the database holds data already ({held}): restore needs an empty one. Name a new one by"
            " BATON_DATABASE_URL (SQLite: a path that does not exist; PostgreSQL: createdb)"
        )
    if found > manifest.schema:
        raise BackupError(
            f"the database is empty but has schema {found}, newer than the backup's {manifest.schema}: name a"
            " new one by BATON_DATABASE_URL; restore brings it to the newest schema itself"
        )


def _check_columns(connection: Connection, manifest: Manifest) -> None:
    here = table_copy.tables(connection)
    for name in sorted(set(here) ^ set(manifest.tables)):
        where = "this release" if name in here else "the backup"
        raise BackupError(f"only {where} has a table {name} in schema {manifest.schema}")
    for name, table in manifest.tables.items():
        if set(here[name]) != set(table.columns):
            raise BackupError(f"the columns of {name} are not those of schema {manifest.schema}")


def _wanted(
    folder: Path, manifest: Manifest, home: Path, with_files: bool, with_keys: bool
) -> Iterator[tuple[Path, Path]]:
    """Source and target of each file to place."""
    # A segment of its own: the worker moves its rows into the table as it moves every other's.
    audit = manifest.files.get(AUDIT_FILE)
    if audit is not None and audit.size:
        yield folder / AUDIT_FILE, home / AUDIT_FOLDER / f"backup-{audit.sha256[:16]}.jsonl"
    for name in manifest.files:
        if not with_files or not name.startswith(f"{HOME_FOLDER}/"):
            continue
        if with_keys or not name.startswith(SIGNING_KEYS):
            yield folder / name, home / name.removeprefix(f"{HOME_FOLDER}/")


def _place(source: Path, target: Path) -> None:
    """Copy a file for its owner alone, whole or not at all; one that is there already is the same."""
    if target.exists():
        return
    private_folder(target.parent)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as copy, source.open("rb") as stream:
        while piece := stream.read(1024 * 1024):
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())
    draft.replace(target)


def _fill(connection: Connection, folder: Path, manifest: Manifest, advance: Callable[[int], None]) -> None:
    table_copy.prepare(connection)
    for name, table in manifest.tables.items():
        for block in read_table(folder / table_file(name)):
            table_copy.write_rows(connection, name, table.columns, block)
            advance(len(block))
