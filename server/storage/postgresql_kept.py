"""What a transaction on PostgreSQL keeps back, so that its statements are few and share their ways.

Rows that nobody looks at yet are written together, a table by one statement. Work runs side by side with the
other work that waits: each asks all it has to ask, then the answers of all are taken off the wire at once, and
so on. So a hundred resources cost as many round trips as one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from server.storage.database import Work
from server.storage.statement_tables import tables_of

MOST = 200  # pieces of work that wait, and what they hold in memory

_INSERTION = re.compile(r"\s*INSERT INTO (\w+) \(([\w, ]+)\)\s+VALUES \(((?::\w+(?:, )?)+)\)\s*")

# A table, its columns, rows of them.
Rows = tuple[str, tuple[str, ...], list[Sequence[Any]]]


@lru_cache(maxsize=64)
def insertion(sql: str) -> tuple[str, tuple[str, ...], tuple[str, ...]] | None:
    """The table, the columns and the parameters of an INSERT that says nothing else; None for any other."""
    found = _INSERTION.fullmatch(sql)
    if found is None:
        return None
    return found[1], tuple(found[2].split(", ")), tuple(name[1:] for name in found[3].split(", "))


class Kept:
    """Work and rows in the order in which they came. running: work is under way."""

    __slots__ = ("_failed", "_keys", "_rows", "_tables", "_work", "running")

    def __init__(self) -> None:
        self.running = False
        self.forget()

    def __bool__(self) -> bool:
        return bool(self._work or self._rows or self._failed)

    @property
    def has_work(self) -> bool:
        return bool(self._work)

    def forget(self) -> None:
        """All of it: it is rolled back. A savepoint leaves nothing waiting, so all of it came after."""
        self._work: list[Work] = []
        self._keys: set[Hashable] = set()
        self._rows: dict[tuple[str, tuple[str, ...]], list[Sequence[Any]]] = {}
        self._tables: set[str] = set()
        self._failed: BaseException | None = None

    def is_due(self, key: Hashable) -> bool:
        """Whether what waits has to be done before work of this key may join it."""
        return key in self._keys or len(self._work) >= MOST

    def add_work(self, work: Work, key: Hashable) -> None:
        """Keep work. key: of what it changes; no two that wait have the same."""
        self._work.append(work)
        self._keys.add(key)

    def add_rows(self, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
        """Keep rows of a table."""
        self._rows.setdefault((table, columns), []).extend(rows)
        self._tables.add(table)

    def take_rows(self, sql: str = "") -> Iterator[Rows]:
        """Forget the rows that a statement could miss, and yield them to be written."""
        named = tables_of(sql)
        if named and named.isdisjoint(self._tables):
            return
        rows, self._rows, self._tables = self._rows, {}, set()
        for (table, columns), values in rows.items():
            yield table, columns, values

    def run(self, write: Callable[[], None]) -> None:
        """Do all the work. write: writes the rows that wait, before answers are waited for.

        Raises: what any of it raises, and so again for whoever goes on: such a transaction never commits.
        """
        if self._failed is not None:
            raise self._failed
        work, self._work, self._keys = self._work, [], set()
        self.running = True
        try:
            under_way = [steps for each in work if (steps := each()) is not None]
            while under_way:
                under_way = [steps for steps in under_way if next(steps, self) is not self]
                write()
        except BaseException as error:
            self._failed = error
            raise
        finally:
            self.running = False
