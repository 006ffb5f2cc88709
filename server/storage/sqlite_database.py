"""SQLite connections and transactions: WAL, durable commits, writers in a fair queue, safe across fork.

SQLite's own waiting for the write lock is polling and unfair (stalls of up to 1.4 s with four writing
processes), so writers first queue on a `flock` of a lock file beside the database, from BEGIN IMMEDIATE (that
is from their first statement on) to COMMIT. Checkpoints run under the same lock with `wal_autocheckpoint=0`:
SQLite before 3.51.3 can corrupt a database when a checkpoint meets a write that resets the log
(sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import atexit
import fcntl
import math
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from server.errors import FhirError
from server.storage.database import Connection
from server.storage.dialect import SQLITE, Dialect, packed_any
from server.storage.sqlite_connection import SqliteConnection

# A commit that leaves the log longer than this checkpoints at once, so that it stays bounded where no worker
# runs (a bulk load from the command line). 64 MiB is about 10,000 small transactions.
LOG_LIMIT_BYTES = 64 * 1024 * 1024

SETTINGS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA busy_timeout = 30000",  # for foreign programs (a backup): our own writers queue on the lock file
    "PRAGMA cache_size = -16384",  # KiB a connection
    "PRAGMA temp_store = MEMORY",
)


_AWAY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
    }
)


# The disk refused what was to be written: a quota, a limit on the size of files, or room that was promised and
# not there when the file was synced. SQLite says FULL only for ENOSPC.
_REFUSED = frozenset(
    {
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_SHMSIZE,
    }
)


def _translated(error: sqlite3.Error) -> Exception:
    """The error a caller can answer; a defect of ours stays a sqlite3.Error."""
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if code == sqlite3.SQLITE_INTERRUPT:
        return FhirError("too-costly", "The query took longer than this server allows; narrow it.")
    if code == sqlite3.SQLITE_FULL or extended in _REFUSED:
        return FhirError("storage-full", "There is no room left to store this.")
    if code in _AWAY:
        return FhirError("unavailable", "The database cannot be reached at the moment.")
    return error


class _Deadline:
    """SQLite's progress handler: true interrupts the running statement. Apart from _ThreadState, which a
    connection must not keep alive.
    """

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = math.inf

    def __call__(self) -> bool:
        return time.monotonic() > self.at


class _ThreadState:
    """What one thread of one process holds: its connections, its lock file, its open transactions."""

    def __init__(self, database: SqliteDatabase) -> None:
        self.process = os.getpid()
        self.deadline = _Deadline()
        self.reading_depth = 0
        self.writing_depth = 0
        self.reader = database.connect(self.deadline)
        self.writer = database.connect(self.deadline)
        self.lock = os.open(database.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def wait(self) -> None:
        """Wait for the writers before this one."""
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Once; called at the end of the thread at the latest."""
        if self.lock >= 0:
            lock, self.lock = self.lock, -1
            self.reader.close()
            self.writer.close()
            os.close(lock)

    def __del__(self) -> None:
        with suppress(AttributeError, OSError, sqlite3.Error):  # it may not have been opened completely
            self.close()


_databases: weakref.WeakSet[SqliteDatabase] = weakref.WeakSet()
_pinned: list[_ThreadState] = []


def _pin() -> None:
    """Before a fork: what is open belongs to the parent; the child must neither use nor close it (closing could
    checkpoint the parent's log). So the child keeps it here for ever.
    """
    for database in _databases:
        _pinned.extend(database.states)


os.register_at_fork(before=_pin, after_in_parent=_pinned.clear)


class SqliteDatabase:
    """One SQLite file for many threads and processes.

    Each thread of each process opens its own connections on first use, also after fork.
    statement_seconds: how long one search may run before it is refused as `too-costly`.
    """

    def __init__(self, path: Path, *, statement_seconds: float = 10.0) -> None:
        self.path = path
        self.lock_path = path.with_name(path.name + ".lock")
        self.log_path = path.with_name(path.name + "-wal")
        self.statement_seconds = statement_seconds
        self.dialect: Dialect = SQLITE
        self._local = threading.local()
        self.states: weakref.WeakSet[_ThreadState] = weakref.WeakSet()
        _databases.add(self)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # never world-readable
        atexit.register(_close_at_exit, weakref.ref(self))

    def connect(self, deadline: _Deadline | None = None) -> SqliteConnection:
        """A new connection with this program's settings, outside of any transaction."""
        connection = sqlite3.connect(
            self.path,
            isolation_level=None,
            cached_statements=512,
            check_same_thread=False,
            factory=SqliteConnection,
        )
        self._log_ahead(connection)
        for statement in SETTINGS:
            connection.execute(statement)
        connection.create_function("packed_any", 3, packed_any, deterministic=True)
        if deadline is not None:
            connection.set_progress_handler(deadline, 100_000)  # about 1 ms of work between looks
        return connection

    def _log_ahead(self, connection: SqliteConnection) -> None:
        """Have the database write its log ahead, which whoever opens a new file first turns on for all."""
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:  # another one turns it on at this moment, and SQLite waits for nobody
            lock = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                connection.execute("PRAGMA journal_mode = WAL")
            finally:
                os.close(lock)

    def _state(self) -> _ThreadState:
        state: _ThreadState | None = getattr(self._local, "state", None)
        if state is None or state.process != os.getpid():
            if state is not None:
                self.states = weakref.WeakSet()
            try:
                state = _ThreadState(self)
            except sqlite3.Error as error:
                raise _translated(error) from error
            except OSError as error:
                raise FhirError("unavailable", "The database cannot be opened at the moment.") from error
            self._local.state = state
            self.states.add(state)
        return state

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A snapshot. Inside a transaction of this thread: that transaction, so that it sees its own writes.

        Raises: FhirError too-costly, unavailable.
        """
        state = self._state()
        if state.writing_depth:
            yield state.writer
            return
        connection = state.reader
        try:
            if state.reading_depth == 0:
                connection.execute("BEGIN")
            state.reading_depth += 1
            try:
                yield connection
            finally:
                state.reading_depth -= 1
                if state.reading_depth == 0:
                    connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _translated(error) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A write transaction: committed when the block ends, rolled back when it raises.

        Inside another one of the same thread it is a savepoint of that one.
        Raises: FhirError storage-full, unavailable.
        """
        state = self._state()
        connection = state.writer
        try:
            if state.writing_depth:
                yield from self._nested(state)
                return
            state.writing_depth = 1
            connection.begin_later(state.wait)
            try:
                try:
                    yield connection
                    committed = connection.complete()
                except BaseException:
                    with suppress(sqlite3.Error):  # the first error is the one to report
                        connection.abandon()
                    raise
                if committed:
                    self._bound_log(connection)
            finally:
                state.writing_depth = 0
                fcntl.flock(state.lock, fcntl.LOCK_UN)
        except sqlite3.Error as error:
            raise _translated(error) from error

    @contextmanager
    def joining(self) -> Iterator[Connection]:
        """The open write transaction of the thread as it is, or one of its own; see `Database.joining`."""
        state = self._state()
        if not state.writing_depth:
            with self.writing() as connection:
                yield connection
            return
        try:
            yield state.writer
        except sqlite3.Error as error:
            raise _translated(error) from error

    def _nested(self, state: _ThreadState) -> Iterator[Connection]:
        name = f"nested_{state.writing_depth}"
        state.writing_depth += 1
        state.writer.execute(f"SAVEPOINT {name}")
        try:
            yield state.writer
            state.writer.execute(f"RELEASE {name}")
        except BaseException:
            # A full disk or an I/O error has already rolled back everything, savepoints included.
            if state.writer.in_transaction:
                state.writer.execute(f"ROLLBACK TO {name}")
                state.writer.execute(f"RELEASE {name}")
            raise
        finally:
            state.writing_depth -= 1

    def upgrading(self) -> AbstractContextManager[Connection]:
        """`writing`: the writers' queue serialises migrations as well."""
        return self.writing()

    def script(self, connection: Connection, text: str) -> None:
        """Run the statements of a migration inside the open transaction."""
        for statement in _statements(text):
            connection.execute(statement)

    def schema_version(self, connection: Connection) -> int:
        """The number of the last migration applied, 0 for an empty database."""
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone()
        if known is None:
            return 0
        row = connection.execute("SELECT value FROM schema_version").fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Statements of this thread inside the block are interrupted after `statement_seconds`."""
        deadline = self._state().deadline
        previous, deadline.at = deadline.at, time.monotonic() + self.statement_seconds
        try:
            yield
        finally:
            deadline.at = previous

    def _bound_log(self, connection: sqlite3.Connection) -> None:
        """Checkpoint a log that has grown too long. The caller holds the lock and no transaction."""
        with suppress(FileNotFoundError, sqlite3.OperationalError):
            if os.stat(self.log_path).st_size > LOG_LIMIT_BYTES:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                # Never wait for readers with every other writer behind us: truncate only if nobody reads.
                connection.execute("PRAGMA busy_timeout = 0")
                try:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                finally:
                    connection.execute("PRAGMA busy_timeout = 30000")

    def checkpoint(self, *, truncate: bool = False) -> tuple[int, int]:
        """Copy the log into the database file, under the writers' lock: (frames in the log, frames copied).

        The worker calls it every second or so. truncate: also shorten the log file, if nobody reads.
        Raises: FhirError unavailable.
        """
        state = self._state()
        if state.writing_depth:
            raise RuntimeError("a checkpoint cannot run inside a write transaction")
        try:
            fcntl.flock(state.lock, fcntl.LOCK_EX)
            try:
                row = state.writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if truncate:
                    state.writer.execute("PRAGMA busy_timeout = 100")
                    row = state.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                    state.writer.execute("PRAGMA busy_timeout = 30000")
                return int(row[1]), int(row[2])
            finally:
                fcntl.flock(state.lock, fcntl.LOCK_UN)
        except sqlite3.Error as error:
            raise _translated(error) from error

    def others(self) -> bool:
        """Whether another connection than this process's is open: then the journal mode cannot change."""
        self.close()
        lock = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        probe = sqlite3.connect(self.path, isolation_level=None, timeout=0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the change of mode checkpoints
            probe.execute("PRAGMA journal_mode = DELETE")
            return False
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return True
            raise _translated(error) from error
        finally:
            probe.close()
            os.close(lock)

    def close(self) -> None:
        """Close every connection this process opened. The last close checkpoints, hence under the lock."""
        own = [state for state in self.states if state.process == os.getpid()]
        self.states = weakref.WeakSet()
        self._local = threading.local()
        if not own:
            return
        lock = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for state in own:
                state.close()
        finally:
            os.close(lock)


def _close_at_exit(reference: weakref.ref[SqliteDatabase]) -> None:
    database = reference()
    if database is not None:
        with suppress(OSError, sqlite3.Error):
            database.close()


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
