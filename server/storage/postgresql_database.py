"""PostgreSQL connections and transactions: durable commits, snapshots, safe across fork, back after a restart.

A thread of a process opens a connection on first use and keeps it; a second one only if it writes while it
reads. Writers run side by side: READ COMMITTED, rows locked where a decision rests on them.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import pq

from server.errors import FhirError
from server.storage.database import Connection
from server.storage.dialect import Dialect
from server.storage.postgresql_dialect import POSTGRESQL
from server.storage.postgresql_errors import translated
from server.storage.postgresql_link import Link

# What a URL may override: a server that does not answer is given up within half a minute.
_CONNECT = {
    "connect_timeout": "5",
    "application_name": "baton",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
# Plans that do not depend on statistics or on the values of parameters: see `postgresql_dialect`.
SESSION = """
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_sort = off;
SET enable_incremental_sort = off;
SET join_collapse_limit = 1;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SET random_page_cost = 1.1;
SET lock_timeout = '30s';
SET idle_in_transaction_session_timeout = '5min';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
"""
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_MIGRATIONS = "migrations"


class _ThreadState:
    """What one thread of one process holds: its connections, its open units of work."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.deadline = [math.inf]
        self.free: list[Link] = []
        self.reader: Link | None = None
        self.writer: Link | None = None
        self.reading_depth = 0
        self.writing_depth = 0

    def close(self) -> None:
        for link in (*self.free, self.reader, self.writer):
            if link is not None:
                with suppress(psycopg.Error):
                    link.close()
        self.free = []

    def __del__(self) -> None:
        if self.process == os.getpid():
            self.close()


_databases: weakref.WeakSet[PostgresqlDatabase] = weakref.WeakSet()
_pinned: list[_ThreadState] = []


def _pin() -> None:
    """Before a fork: what is open belongs to the parent; the child keeps it for ever, unused and unclosed."""
    for database in _databases:
        _pinned.extend(database.states)


os.register_at_fork(before=_pin, after_in_parent=_pinned.clear)


class PostgresqlDatabase:
    """One PostgreSQL database for many threads and processes.

    conninfo: a URL or what else libpq takes. statement_seconds: how long one search may run before it is
    refused as `too-costly`.
    """

    def __init__(self, conninfo: str, *, statement_seconds: float = 10.0) -> None:
        given = {name: str(value) for name, value in psycopg.conninfo.conninfo_to_dict(conninfo).items()}
        self._conninfo = psycopg.conninfo.make_conninfo("", **(_CONNECT | given | {"client_encoding": "UTF8"}))
        self.statement_seconds = statement_seconds
        self.dialect: Dialect = POSTGRESQL
        self._local = threading.local()
        self.states: weakref.WeakSet[_ThreadState] = weakref.WeakSet()
        _databases.add(self)
        atexit.register(_close_at_exit, weakref.ref(self))

    def connect(self, deadline: list[float] | None = None) -> Link:
        """A new connection with this program's settings, outside of any transaction.

        Raises: psycopg.Error; FhirError unavailable for a database of another encoding than UTF-8.
        """
        connection = psycopg.connect(self._conninfo, autocommit=True)
        if connection.pgconn.parameter_status(b"server_encoding") != b"UTF8":
            connection.close()
            raise FhirError("unavailable", "The database must have the encoding UTF8.")
        result = connection.pgconn.exec_(SESSION.encode())
        if result.status != pq.ExecStatus.TUPLES_OK:  # one that fails takes all with it
            connection.close()
            raise psycopg.errors.error_from_result(result)
        return Link(connection, deadline or [math.inf])

    def _state(self) -> _ThreadState:
        state: _ThreadState | None = getattr(self._local, "state", None)
        if state is None or state.process != os.getpid():
            if state is not None:
                self.states = weakref.WeakSet()
            state = self._local.state = _ThreadState()
            self.states.add(state)
        return state

    def _link(self, state: _ThreadState) -> Link:
        """A connection that works: a kept one, or a new one where the server has gone in between."""
        while state.free:
            link = state.free.pop()
            if link.alive():
                return link
            link.close()
        return self.connect(state.deadline)

    @staticmethod
    def _give_back(state: _ThreadState, link: Link) -> None:
        state.free.append(link)  # whether it still works is asked when it is taken

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A snapshot. Inside a transaction of this thread: that transaction, so that it sees its own writes.

        Raises: FhirError too-costly, unavailable.
        """
        state = self._state()
        try:
            if state.writer is not None:
                yield state.writer
                return
            if state.reader is None:
                link = self._link(state)
                link.execute(_READ)
                state.reader = link
            state.reading_depth += 1
            try:
                yield state.reader
            finally:
                state.reading_depth -= 1
                if state.reading_depth == 0:
                    link, state.reader = state.reader, None
                    link.end("COMMIT")
                    self._give_back(state, link)
        except psycopg.Error as error:
            raise translated(error) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A write transaction: committed when the block ends, rolled back when it raises.

        Inside another one of the same thread it is a savepoint of that one.
        Raises: FhirError storage-full, unavailable; Overtaken if another transaction was in the way.
        """
        state = self._state()
        try:
            if state.writer is not None:
                yield from self._nested(state, state.writer)
                return
            link = state.writer = self._link(state)
            try:
                link.execute(_WRITE)
                yield link
                committed = link.execute("COMMIT")
                link.wait()
                if committed.command != "COMMIT":  # a statement had failed and somebody hid it: ROLLBACK
                    raise FhirError("unavailable", "The transaction was rolled back.")
            except BaseException:
                link.abandon()
                raise
            finally:
                state.writer = None
                self._give_back(state, link)
        except psycopg.Error as error:
            raise translated(error) from error

    @contextmanager
    def joining(self) -> Iterator[Connection]:
        """The open write transaction of the thread as it is, or one of its own; see `Database.joining`."""
        state = self._state()
        if state.writer is None:
            with self.writing() as connection:
                yield connection
            return
        try:
            yield state.writer
        except psycopg.Error as error:
            raise translated(error) from error

    @staticmethod
    def _nested(state: _ThreadState, link: Link) -> Iterator[Connection]:
        state.writing_depth += 1
        name = f"nested_{state.writing_depth}"
        link.execute(f"SAVEPOINT {name}")
        try:
            yield link
            link.complete()  # what fails in here fails here
        except BaseException:
            with suppress(psycopg.Error, FhirError):
                link.wait()
            with suppress(
                psycopg.Error
            ):  # it is gone, with the transaction around this; what was raised counts
                link.execute(f"ROLLBACK TO {name}")
                link.execute(f"RELEASE {name}")
            raise
        else:
            link.execute(f"RELEASE {name}")
        finally:
            state.writing_depth -= 1

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Statements of this thread inside the block are cancelled after `statement_seconds`."""
        deadline = self._state().deadline
        previous, deadline[0] = deadline[0], time.monotonic() + self.statement_seconds
        try:
            yield
        finally:
            deadline[0] = previous

    @contextmanager
    def upgrading(self) -> Iterator[Connection]:
        """`writing`, one migration at a time."""
        with self.writing() as connection:
            connection.lock(_MIGRATIONS)
            yield connection

    def script(self, connection: Connection, text: str) -> None:
        """Run the statements of a migration inside the open transaction."""
        assert isinstance(connection, Link)
        connection.script(text)

    def schema_version(self, connection: Connection) -> int:
        """The number of the last migration applied, 0 for an empty database."""
        # Not to_regclass: it may answer from the backend's cache, of before the wait for the migrations' lock.
        known = connection.execute(
            "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_version'"
        ).fetchone()
        if known is None:
            return 0
        row = connection.execute("SELECT value FROM schema_version").fetchone()
        return int(row[0]) if row else 0

    def checkpoint(self, *, truncate: bool = False) -> tuple[int, int]:
        """Nothing to do: PostgreSQL keeps its log itself."""
        return 0, 0

    def others(self) -> bool:
        """Whether anybody else is connected to this database."""
        self.close()
        try:
            with psycopg.connect(self._conninfo, autocommit=True) as connection:
                found: Any = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                ).fetchone()
            return bool(found[0])
        except psycopg.Error as error:
            raise translated(error) from error

    def close(self) -> None:
        """Close every connection this process opened."""
        own = [state for state in self.states if state.process == os.getpid()]
        self.states = weakref.WeakSet()
        self._local = threading.local()
        for state in own:
            state.close()


def _close_at_exit(reference: weakref.ref[PostgresqlDatabase]) -> None:
    database = reference()
    if database is not None:
        database.close()
