"""Read-only connections to a built file, one a thread."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any


class Connection:
    """Queries on a file that never changes; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        """Raises: sqlite3.OperationalError where there is no such file."""
        self._uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        self._first = sqlite3.connect(self._uri, uri=True, check_same_thread=False)
        self._first.execute("select 1 from sqlite_schema").fetchone()
        self._local = threading.local()

    def all(self, sql: str, *values: str | int) -> list[Any]:
        """Every row."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._another()
        return connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: str | int) -> Any:
        """The first row, or None."""
        found = self.all(sql, *values)
        return found[0] if found else None

    def _another(self) -> sqlite3.Connection:
        """A connection for this thread; the first one, that SQLite serialises, once the file was pruned."""
        try:
            connection = sqlite3.connect(self._uri, uri=True)
            connection.execute("select 1 from sqlite_schema").fetchone()
        except sqlite3.OperationalError:
            return self._first
        return connection
