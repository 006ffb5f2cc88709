"""A database as the rest of this package sees it: connections that run SQL, snapshots and transactions.

Implementations: `sqlite_database`, `postgresql_database`. SQL names its parameters `:name` and takes them as a
mapping; what the two databases write differently stands in `dialect`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from server.errors import FhirError
from server.storage.dialect import Dialect

Row = tuple[Any, ...]

# Something to be done in a transaction. What it yields are pauses: it has sent statements and looks at none of
# their answers before it is gone on with.
Work = Callable[[], Iterator[None] | None]


class Overtaken(FhirError):
    """A transaction was rolled back because of another one at the same moment; it may be tried again."""

    def __init__(self) -> None:
        super().__init__("unavailable", "Somebody else changed the same data at the same moment; try again.")


class Rows(Protocol):
    """The result of a statement. rowcount: rows changed. columns: the names, in the order of the rows."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """One open snapshot or transaction. dialect: how SQL for it is written."""

    dialect: Dialect

    def execute(self, sql: str, parameters: Mapping[str, Any] = ..., /) -> Rows:
        """Run one statement. Rows are tuples."""

    def executemany(self, sql: str, parameters: Iterable[Mapping[str, Any]], /) -> object:
        """Run one statement for each of the parameters."""

    def named(self, sql: str, parameters: Mapping[str, Any] = ..., /) -> list[Mapping[str, Any]]:
        """All rows of one statement, by column name."""

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], /) -> None:
        """Insert the index rows of a resource: whole numbers, fractions or texts, none of them NULL. Kept back
        like the row of `later`."""

    def add(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], /) -> Rows:
        """Insert at once those rows, at least one, that are not there yet; `rowcount` says how many."""

    def change(
        self, table: str, id: str, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[Any]], /
    ) -> None:
        """Give columns of the rows that have a key other values, one after the other. rows: key, then values.

        There is an index that begins with the key. id: the table's primary key, which never changes.
        """

    def later(self, sql: str, parameters: Mapping[str, Any], /) -> None:
        """Insert a row that nobody looks at yet: written before a statement that names its table, at the latest
        with the commit."""

    def work(self, work: Work, key: Hashable = None, /) -> None:
        """Do what nobody waits for: before the transaction's next statement, at the latest with the commit.
        What it raises is raised there. key: of what it changes; of two with one key the first is done first."""

    def lock(self, name: str, /) -> None:
        """Within `writing`: wait for the lock of that name and hold it until the transaction ends.

        For what is decided by rows that are not there yet; SQLite has one writer at a time anyway.
        """

    def stream(self, sql: str, /) -> Iterator[Row]:
        """The rows of one statement one after the other, never all of them in memory."""

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        """Insert many rows, by the quickest way the database has."""


class Database(Protocol):
    """One database for many threads and processes; carried across fork without harm."""

    dialect: Dialect

    def reading(self) -> AbstractContextManager[Connection]:
        """A snapshot. Inside `writing()` of the same thread: that transaction, so that it sees its own writes.

        Raises: FhirError too-costly, unavailable.
        """

    def writing(self) -> AbstractContextManager[Connection]:
        """A write transaction: durable when the block has ended, rolled back when it raises.

        Inside another one of the same thread it is a savepoint of that one. On PostgreSQL transactions run side
        by side, and each statement sees what was committed before it began: lock what a decision rests on
        (`for_update`, `lock`), or decide in the statement that writes.
        Raises: FhirError storage-full, unavailable.
        """

    def joining(self) -> AbstractContextManager[Connection]:
        """The write transaction of the thread that is open, or one of its own like `writing`.

        There is no savepoint: what the block raises has to end that transaction, or to come of a statement that
        changed nothing. Raises: as `writing`.
        """

    def limited(self) -> AbstractContextManager[None]:
        """Statements of this thread inside the block may take as long as one search may."""

    def upgrading(self) -> AbstractContextManager[Connection]:
        """`writing`, serialised with every other migration of the database."""

    def script(self, connection: Connection, text: str) -> None:
        """Run the statements of a migration inside the open transaction."""

    def schema_version(self, connection: Connection) -> int:
        """The number of the last migration applied, 0 for an empty database."""

    def checkpoint(self, *, truncate: bool = False) -> tuple[int, int]:
        """Bring a write-ahead log of ours into the database: (frames in the log, frames copied)."""

    def others(self) -> bool:
        """Whether anybody else has this database open. Asked outside of transactions."""

    def close(self) -> None:
        """Close every connection this process opened."""
