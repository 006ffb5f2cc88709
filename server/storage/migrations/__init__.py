"""Numbered SQL files: `NNNN_name.DIALECT.sql`, the same number for every dialect.

A released file is never edited; a change is the next number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

from server.storage.database import Database

_NAME = re.compile(r"(?P<number>\d{4})_\w+\.(?P<dialect>\w+)\.sql")
_VERSION_TABLE = (
    'CREATE TABLE IF NOT EXISTS schema_version ("only" INTEGER PRIMARY KEY, value INTEGER NOT NULL)'
)


class SchemaTooNew(Exception):
    """The database was written by a newer release; this one does not know its schema and leaves it alone."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    script: str


def migrations(dialect: str) -> tuple[Migration, ...]:
    """All migrations of a dialect in their order."""
    found = []
    for entry in files(__package__).iterdir():
        name = _NAME.fullmatch(entry.name)
        if name and name["dialect"] == dialect:
            found.append(Migration(int(name["number"]), entry.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.number))


def upgrade(database: Database, *, until: int | None = None) -> int:
    """Bring a database to this program's schema and return its version. Each migration is one transaction.

    until: the number to stop at, for a backup that was taken at that schema.
    Safe to call from several processes at once: they queue and find nothing left to do.
    Raises: SchemaTooNew; FhirError storage-full, unavailable.
    """
    known = migrations(database.dialect.name)
    latest = known[-1].number
    wanted = latest if until is None else until
    with database.reading() as connection:
        found = database.schema_version(connection)
    while found < wanted:
        with database.upgrading() as connection:
            found = database.schema_version(connection)
            pending = [migration for migration in known if migration.number > found]
            if pending:
                connection.execute(_VERSION_TABLE)
                database.script(connection, pending[0].script)
                connection.execute(
                    'INSERT INTO schema_version ("only", value) VALUES (1, :value)'
                    ' ON CONFLICT ("only") DO UPDATE SET value = excluded.value',
                    {"value": pending[0].number},
                )
                found = pending[0].number
    if found > latest:
        raise SchemaTooNew(
            f"The database has schema {found}, this release knows {latest}. "
            "Start the release that wrote it, or a newer one."
        )
    return found
