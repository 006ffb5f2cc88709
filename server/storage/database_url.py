"""From BATON_DATABASE_URL to a store."""

from __future__ import annotations

from pathlib import Path

from server.storage.database_store import DatabaseStore
from server.storage.sqlite_database import SqliteDatabase

_SQLITE = "sqlite:///"


class DatabaseUrlError(Exception):
    """The database URL cannot be used; the text says what to change."""


def open_store(database_url: str, *, statement_seconds: float = 10.0) -> DatabaseStore:
    """The store at a database URL, `sqlite:///PATH`; an absolute path makes four slashes.

    statement_seconds: the longest a search may run. Nothing is upgraded here: call `upgrade()` before the
    first use. Raises: DatabaseUrlError.
    """
    if not database_url.startswith(_SQLITE) or len(database_url) == len(_SQLITE):
        raise DatabaseUrlError("BATON_DATABASE_URL must be sqlite:///PATH")
    path = Path(database_url.removeprefix(_SQLITE))
    return DatabaseStore(SqliteDatabase(path, statement_seconds=statement_seconds))
