"""From BATON_DATABASE_URL to a store."""

from __future__ import annotations

from pathlib import Path

from server.storage.database import Database
from server.storage.database_store import DatabaseStore
from server.storage.sqlite_database import SqliteDatabase

_SQLITE = "sqlite:///"
_POSTGRESQL = ("postgresql://", "postgres://")
_FORMS = "BATON_DATABASE_URL must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


class DatabaseUrlError(Exception):
    """The database URL cannot be used; the text says what to change and never quotes the URL."""


def open_store(database_url: str, *, statement_seconds: float = 10.0) -> DatabaseStore:
    """The store at a database URL: `sqlite:///PATH` (an absolute path makes four slashes) or `postgresql://...`.

    A PostgreSQL URL is libpq's, with its parameters (sslmode, several hosts, ...); what it leaves out comes
    from the PG* environment variables. statement_seconds: the longest a search may run. Nothing is connected or
    upgraded here: call `upgrade()` before the first use. Raises: DatabaseUrlError.
    """
    database: Database
    if database_url.startswith(_POSTGRESQL):
        import psycopg  # a tenth of a second that SQLite need not pay

        from server.storage.postgresql_database import PostgresqlDatabase

        try:
            database = PostgresqlDatabase(database_url, statement_seconds=statement_seconds)
        except psycopg.ProgrammingError:
            raise DatabaseUrlError(_FORMS) from None
    elif database_url.startswith(_SQLITE) and len(database_url) > len(_SQLITE):
        path = Path(database_url.removeprefix(_SQLITE))
        database = SqliteDatabase(path, statement_seconds=statement_seconds)
    else:
        raise DatabaseUrlError(_FORMS)
    return DatabaseStore(database)
