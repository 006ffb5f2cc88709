"""Read-only connections to a built file, one a thread."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any


class Connection:
    """Queries on a file that never changes; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        self._local = threading.local()

    def all(self, sql: str, *values: str | int) -> list[Any]:
        """Every row."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._uri, uri=True)
            self._local.connection = connection
        return connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: str | int) -> Any:
        """The first row, or None."""
        found = self.all(sql, *values)
        return found[0] if found else None
