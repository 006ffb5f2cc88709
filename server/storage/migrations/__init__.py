"""Numbered SQL files: `NNNN_name.DIALECT.sql`, the same number for every dialect.

A released file is never edited; a change is the next number.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from importlib.resources import files

from server.storage.database import Database

_NAME = re.compile(r"(?P<number>\d{4})_\w+\.(?P<dialect>\w+)\.sql")
_VERSION_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (only INTEGER PRIMARY KEY, value INTEGER NOT NULL)"


class SchemaTooNew(Exception):
    """The database was written by a newer release; this one does not know its schema and leaves it alone."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    statements: tuple[str, ...]


def migrations(dialect: str) -> tuple[Migration, ...]:
    """All migrations of a dialect in their order."""
    found = []
    for entry in files(__package__).iterdir():
        name = _NAME.fullmatch(entry.name)
        if name and name["dialect"] == dialect:
            found.append(Migration(int(name["number"]), _statements(entry.read_text(encoding="utf-8"))))
    return tuple(sorted(found, key=lambda migration: migration.number))


def schema_version(connection: sqlite3.Connection) -> int:
    """The number of the last migration applied to a database, 0 for an empty one."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone()
    if known is None:
        return 0
    row = connection.execute("SELECT value FROM schema_version").fetchone()
    return int(row[0]) if row else 0


def upgrade(database: Database) -> int:
    """Bring a database to this program's schema and return its version. Each migration is one transaction.

    Safe to call from several processes at once: they queue on the writers' lock and find nothing left to do.
    Raises: SchemaTooNew; FhirError storage-full, unavailable.
    """
    known = migrations("sqlite")
    latest = known[-1].number
    with database.reading() as connection:
        found = schema_version(connection)
    while found < latest:
        with database.writing() as connection:
            found = schema_version(connection)
            pending = [migration for migration in known if migration.number > found]
            if pending:
                connection.execute(_VERSION_TABLE)
                for statement in pending[0].statements:
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO schema_version (only, value) VALUES (1, :value)"
                    " ON CONFLICT (only) DO UPDATE SET value = excluded.value",
                    {"value": pending[0].number},
                )
                found = pending[0].number
    if found > latest:
        raise SchemaTooNew(
            f"The database has schema {found}, this release knows {latest}. "
            "Start the release that wrote it, or a newer one."
        )
    return found


def _statements(text: str) -> tuple[str, ...]:
    """The statements of a script, so that all of them run inside one transaction of ours."""
    statements, pending = [], ""
    for line in text.splitlines(keepends=True):
        if not pending and (not line.strip() or line.startswith("--")):
            continue
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending.strip())
            pending = ""
    return tuple(statements)
