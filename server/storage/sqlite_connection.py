"""A connection to SQLite as the rest of this package uses it.

A write transaction begins with its first statement, and work that can wait is kept back until then: what only
adds is made ready while others write, and the writers' lock is held for its statements alone.
Rows that nobody looks at yet are kept back and written together, a table at a time and in the order of its key:
a transaction of a hundred resources is some dozens of calls then instead of a thousand. Whoever names a table
in a statement finds its rows there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from server.storage.database import Row, Work
from server.storage.dialect import SQLITE, Dialect
from server.storage.statement_tables import tables_of


class SqliteConnection(sqlite3.Connection):
    """A connection that knows how SQL for it is written."""

    dialect: Dialect = SQLITE

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._wait: Callable[[], None] | None = None  # of a write transaction that has not begun
        self._work: list[Work] = []
        self._waiting: dict[str, list[Any]] = {}  # INSERT -> rows
        self._tables: set[str] = set()

    def begin_later(self, wait: Callable[[], None], /) -> None:
        """Open a write transaction that begins with its first statement. wait: for its turn among writers."""
        self._wait = wait

    def complete(self) -> bool:
        """End the write transaction with all that was kept back; whether there was anything to commit."""
        if self._wait and not self._work and not self._waiting:
            self._wait = None
            return False
        self.execute("COMMIT")
        return True

    def abandon(self) -> None:
        """Forget the write transaction."""
        self._wait, self._work, self._waiting, self._tables = None, [], {}, set()
        if self.in_transaction:
            super().execute("ROLLBACK")

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run one statement."""
        if self._wait or self._work or self._waiting:
            self._before(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Run one statement for each of the parameters."""
        if self._wait or self._work or self._waiting:
            self._before(sql)
        return super().executemany(sql, parameters)

    def named(self, sql: str, parameters: Mapping[str, Any] = {}, /) -> list[Mapping[str, Any]]:
        """All rows of a statement, by column name."""
        cursor = self.execute(sql, parameters)
        cursor.row_factory = sqlite3.Row
        return cursor.fetchall()

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], /) -> None:
        """Insert the index rows of a resource."""
        self._keep(_insertion(table, tuple(columns)), table, rows)

    def add(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], /) -> sqlite3.Cursor:
        """Insert those rows that are not there yet."""
        return self.executemany(f"{_insertion(table, tuple(columns))} ON CONFLICT DO NOTHING", rows)

    def change(
        self, table: str, id: str, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[Any]], /
    ) -> None:
        """Give columns of the rows that have a key other values."""
        values = ", ".join(f"{column} = ?{n}" for n, column in enumerate(columns, len(key) + 1))
        same = " AND ".join(f"{column} = ?{n}" for n, column in enumerate(key, 1))
        self.executemany(f"UPDATE {table} SET {values} WHERE {same}", rows)

    def later(self, sql: str, parameters: Mapping[str, Any], /) -> None:
        """Insert a row that nobody looks at yet."""
        self._keep(sql, next(iter(tables_of(sql))), (parameters,))

    def work(self, work: Work, key: Hashable = None, /) -> None:
        """Keep the work until the next statement."""
        if self._wait or self.in_transaction:
            self._work.append(work)
        else:
            _do(work)

    def lock(self, name: str, /) -> None:
        """Nothing: a writer is alone from its first statement."""

    def stream(self, sql: str, /) -> Iterator[Row]:
        """The rows of a statement one after the other."""
        return iter(self.execute(sql))

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        """Insert many rows."""
        names = ", ".join(f'"{column}"' for column in columns)
        places = ", ".join("?" for _ in columns)
        self.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({places})', rows)

    def _keep(self, sql: str, table: str, rows: Sequence[Any]) -> None:
        if not rows:
            return
        if not (self._wait or self.in_transaction):
            super().executemany(sql, rows)
            return
        self._waiting.setdefault(sql, []).extend(rows)
        self._tables.add(table)

    def _before(self, sql: str) -> None:
        """Begin, do the work that was kept, and write the rows that wait, if the statement could miss them."""
        if sql.startswith("ROLLBACK"):  # a savepoint leaves nothing waiting, so all of it came after
            self._work, self._waiting, self._tables = [], {}, set()
            return
        if self._wait:
            wait, self._wait = self._wait, None
            wait()
            super().execute("BEGIN IMMEDIATE")
        if self._work:
            kept, self._work = self._work, []
            try:
                for work in kept:
                    _do(work)
            except BaseException:
                self._work = kept  # whoever goes on meets the same again: such a transaction never commits
                raise
        named = tables_of(sql)
        if named and named.isdisjoint(self._tables):
            return
        waiting, self._waiting, self._tables = self._waiting, {}, set()
        for insertion, rows in waiting.items():
            if type(rows[0]) is tuple:  # index rows, in the order of the table's key
                rows.sort()
            super().executemany(insertion, rows)


@lru_cache(maxsize=256)
def _insertion(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _do(work: Work) -> None:
    """All its steps: answers are there at once."""
    for _ in work() or ():
        pass
