"""One connection to PostgreSQL in pipeline mode: statements are sent at once and answered when somebody looks.

A unit of work is BEGIN, some statements, COMMIT. Each is put on the wire without waiting for the one before;
only a result that is asked for, or a commit that must be durable, costs a round trip. So BEGIN travels with the
first statement, the index rows of all resources travel with COMMIT (`postgresql_kept`), and the end of a
snapshot is not waited for.

This is libpq as psycopg wraps it (`psycopg.pq`). psycopg's own cursors cost twice as much for a read and wait
after every statement. Statements are prepared when first used.
Source: postgresql.org/docs/current/libpq-pipeline-mode.html
"""

from __future__ import annotations

import math
import select
import time
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import errors, pq
from psycopg.adapt import Transformer

from server.errors import FhirError
from server.storage import postgresql_many_rows
from server.storage.database import Work
from server.storage.dialect import Dialect
from server.storage.postgresql_dialect import POSTGRESQL, numbered
from server.storage.postgresql_kept import Kept, insertion
from server.storage.postgresql_values import Dumped, dump

_PREPARED_MAXIMUM = 1_000  # a connection; each holds some tens of kB on the server
_STREAM_ROWS = 1_000
_SENDING_MAXIMUM = 500  # commands on the way before their answers are taken off the wire
_CANCEL_SECONDS = 5  # for the server to take a cancellation
_CANCEL_AGAIN = (20, 40, 80, 160, 320, 640, 1_280, 2_560)  # milliseconds for it to follow one

_Status = pq.ExecStatus
_FAILED = (_Status.FATAL_ERROR, _Status.NONFATAL_ERROR, _Status.BAD_RESPONSE)
# A prepared statement that its table has outgrown, or that a pooler has lost: only a new connection helps.
_OUTDATED = ("0A000", "26000")

# A statement as it is prepared: its text and the types of its parameters.
_Key = tuple[bytes, tuple[int, ...]]


class Answer:
    """What a statement answers; waits for it when it is looked at."""

    __slots__ = ("_at", "_link", "_result", "_rows")

    def __init__(self, link: Link | None) -> None:
        self._link = link
        self._result: pq.abc.PGresult | None = None
        self._rows: list[Any] | None = None
        self._at = 0

    def _arrived(self) -> pq.abc.PGresult:
        if self._result is None:
            if self._link is not None:
                self._link.wait()
            if self._result is None:
                raise psycopg.OperationalError("the statement was not answered")
        return self._result

    @property
    def rowcount(self) -> int:
        return self._arrived().command_tuples or 0

    @property
    def command(self) -> str:
        """What the server says it did: COMMIT of a failed transaction is answered ROLLBACK, and no error."""
        return (self._arrived().command_status or b"").decode()

    @property
    def columns(self) -> tuple[str, ...]:
        result = self._arrived()
        return tuple((result.fname(n) or b"").decode() for n in range(result.nfields))

    def fetchall(self) -> list[Any]:
        """The rows that were not fetched yet."""
        if self._rows is None:
            result = self._arrived()
            assert self._link is not None
            self._rows = self._link.rows(result)
        found, self._at = self._rows[self._at :], len(self._rows)
        return found

    def fetchone(self) -> Any:
        if self._rows is None:
            self._rows = self.fetchall()
            self._at = 0
        if self._at >= len(self._rows):
            return None
        self._at += 1
        return self._rows[self._at - 1]


class Link:
    """One open connection; used by one thread at a time.

    deadline: when the running statement is cancelled, in seconds of time.monotonic().
    """

    dialect: Dialect = POSTGRESQL

    def __init__(self, connection: psycopg.Connection[Any], deadline: list[float]) -> None:
        self._connection = connection
        self._wire = connection.pgconn
        self._deadline = deadline
        self._transformer = Transformer(connection)
        self._prepared: OrderedDict[_Key, bytes] = OrderedDict()
        self._names = 0
        # What is sent and not answered: a statement, one that is being prepared, None for the end of a batch.
        self._pending: deque[Answer | _Key | None] = deque()
        self._error: psycopg.Error | None = None
        self._outdated = False
        self._kept = Kept()
        self._poll = select.poll()
        self._poll.register(self._wire.socket, select.POLLIN)
        self._poll_both = select.poll()
        self._poll_both.register(self._wire.socket, select.POLLIN | select.POLLOUT)
        self._wire.enter_pipeline_mode()

    # -- Connection

    def execute(self, sql: str, parameters: Mapping[str, Any] = {}, /) -> Answer:
        """Send one statement; its answer is waited for when it is looked at, its error at the latest then."""
        self._due(sql)
        text, names = numbered(sql)
        dumped = [dump(parameters[name]) for name in names]
        return self._send(text, dumped)

    def executemany(self, sql: str, parameters: Iterable[Mapping[str, Any]], /) -> None:
        """Send one statement for each of the parameters."""
        for values in parameters:
            self.execute(sql, values)
            if len(self._pending) > _SENDING_MAXIMUM:
                self.wait()

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], /) -> None:
        """Insert rows of ints, floats or texts."""
        if rows:
            self._kept.add_rows(table, tuple(columns), rows)

    def add(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], /) -> Answer:
        """Insert those rows that are not there yet, by one statement."""
        self._due(f"INTO {table}")
        return self._send(*postgresql_many_rows.add(table, columns, rows))

    def change(
        self, table: str, id: str, key: Sequence[str], columns: Sequence[str], rows: Sequence[Sequence[Any]], /
    ) -> None:
        """Give columns of the rows that have a key other values, by one statement in the order of the rows."""
        if rows:
            self._due(f"UPDATE {table}")
            self._send(*postgresql_many_rows.change(table, id, key, columns, rows))

    def later(self, sql: str, parameters: Mapping[str, Any], /) -> None:
        """Insert a row that nobody looks at yet."""
        plain = insertion(sql)
        if plain is None:
            self.execute(sql, parameters)
        else:
            table, columns, names = plain
            self._kept.add_rows(table, columns, ([parameters[name] for name in names],))

    def work(self, work: Work, key: Hashable = None, /) -> None:
        """Keep the work until the next statement, to be done beside the other work that waits."""
        if self._kept.is_due(key):
            self._before("")
        self._kept.add_work(work, key)

    def complete(self) -> None:
        """Do and write all that was kept back, and wait for it. Raises: what that raises, and as `wait`."""
        if self._kept:
            self._before("")
        self.wait()

    def named(self, sql: str, parameters: Mapping[str, Any] = {}, /) -> list[Mapping[str, Any]]:
        """All rows of one statement, by column name."""
        answer = self.execute(sql, parameters)
        names = answer.columns
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def stream(self, sql: str, /) -> Iterator[tuple[Any, ...]]:
        """The rows of one statement one after the other, fetched a thousand at a time.

        One that is given up ends with its transaction, not when it is collected: that may be in a later one.
        """
        self._names += 1
        name = f"stream_{self._names}"
        self.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {sql}")
        while rows := self.execute(f"FETCH {_STREAM_ROWS} FROM {name}").fetchall():
            yield from rows
        self.execute(f"CLOSE {name}")

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], /) -> None:
        """Insert many rows by COPY."""
        names = ", ".join(f'"{column}"' for column in columns)
        into = f'COPY "{table}" ({names}) FROM STDIN'
        with self._plainly(), self._connection.cursor() as cursor, cursor.copy(into) as copy:
            for row in rows:
                copy.write_row(row)

    def lock(self, name: str, /) -> None:
        """Hold a lock of that name until the transaction ends."""
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))", {"name": f"baton {name}"})

    # -- transactions

    def end(self, sql: str) -> None:
        """Send the end of a snapshot without waiting for it; errors of it are of no interest."""
        with suppress(psycopg.Error):
            if self._pending:
                self._sync()  # what fails before it must not keep the end from being reached
            self.execute(sql)
            self._sync()

    def abandon(self) -> None:
        """Roll back whatever is open; errors of it are of no interest."""
        self._kept.forget()
        with suppress(psycopg.Error, FhirError):
            self.wait()
        with suppress(psycopg.Error, FhirError):
            self.execute("ROLLBACK")
            self.wait()

    def script(self, text: str) -> None:
        """Run many statements inside the open transaction."""
        with self._plainly():
            result = self._wire.exec_(text.encode())
            if result.status in _FAILED:
                raise errors.error_from_result(result)

    def alive(self) -> bool:
        """Whether it can be used again. What an idle server says unasked is its farewell, or as rare."""
        try:
            self.wait()
        except (psycopg.Error, FhirError):
            return False
        return (
            not self._outdated
            and not self._poll.poll(0)
            and self._wire.status == pq.ConnStatus.OK
            and self._wire.transaction_status == pq.TransactionStatus.IDLE
        )

    def close(self) -> None:
        """What was not answered never will be, nor what was not sent."""
        self._kept.forget()
        self._pending.clear()
        self._connection.close()

    def wait(self) -> None:
        """Wait until everything sent is answered.

        Raises: psycopg.Error, the first one of what was sent; FhirError too-costly.
        """
        if not self._pending:
            return
        try:
            if self._pending[-1] is not None:
                self._sync()
            self._flush()
            while self._pending:
                while self._wire.is_busy():
                    self._readable()
                    self._wire.consume_input()
                self._take(self._wire.get_result())
        except BaseException:  # broken off anywhere: which answer is whose is not known any more
            self.close()
            raise
        if self._error is not None:
            error, self._error = self._error, None
            if self._wire.transaction_status != pq.TransactionStatus.INERROR:
                # No transaction is left to fail as a whole: what follows would be kept, each by itself.
                self.close()
            raise error

    # -- what was kept back

    def _due(self, sql: str) -> None:
        """Before a statement: `_before`, where anything was kept back."""
        if self._kept and not self._kept.running:
            self._before(sql)

    def _before(self, sql: str) -> None:
        """Do the work, and write the rows that a statement could miss."""
        kept = self._kept
        if sql.startswith("ROLLBACK"):
            kept.forget()
            return
        if kept.has_work:  # it may look for them
            self._write()
        kept.run(self._write)
        self._write(sql)

    def _write(self, sql: str = "") -> None:
        """Insert kept rows, a table by one statement."""
        for table, columns, rows in self._kept.take_rows(sql):
            self._send(*postgresql_many_rows.insert(table, columns, rows))

    # -- the wire

    def rows(self, result: pq.abc.PGresult) -> list[Any]:
        """The rows of a result as tuples."""
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)

    def _send(self, text: bytes, dumped: Sequence[Dumped]) -> Answer:
        key = (text, tuple(value[0] for value in dumped))
        values, formats = [value[1] for value in dumped], [value[2] for value in dumped]
        answer = Answer(self)
        try:
            name = self._prepared.get(key)
            if name is None:
                name = self._prepare(key)
            else:
                self._prepared.move_to_end(key)
            self._wire.send_query_prepared(name, values, formats, 1)
            self._pending.append(answer)
        except BaseException:  # as in `wait`
            self.close()
            raise
        return answer

    def _prepare(self, key: _Key) -> bytes:
        if len(self._prepared) >= _PREPARED_MAXIMUM:
            _, oldest = self._prepared.popitem(last=False)
            self._wire.send_query_params(b"DEALLOCATE " + oldest, None)
            self._pending.append(Answer(None))
        self._names += 1
        name = b"s%d" % self._names
        self._wire.send_prepare(name, key[0], key[1])
        self._pending.append(key)
        self._prepared[key] = name
        return name

    def _sync(self) -> None:
        try:
            self._wire.pipeline_sync()
            self._pending.append(None)
            self._flush()
        except BaseException:  # as in `wait`
            self.close()
            raise

    def _flush(self) -> None:
        while self._wire.flush():
            self._poll_both.poll()
            if self._poll.poll(0):  # the server may be waiting for us to read before it reads on
                self._wire.consume_input()

    def _readable(self) -> None:
        """Wait for the server, at most until the deadline."""
        until = self._deadline[0]
        if until == math.inf:
            self._poll.poll()
        elif not self._poll.poll(max(0.0, (until - time.monotonic()) * 1000)):
            for milliseconds in _CANCEL_AGAIN:  # one that comes between two statements cancels nothing
                self._connection.cancel_safe(timeout=_CANCEL_SECONDS)
                if self._poll.poll(milliseconds):
                    return
            raise psycopg.OperationalError("the server neither answers nor gives up")

    def _take(self, result: pq.abc.PGresult | None) -> None:
        """Note one result of the first pending command; None ends that command."""
        if result is None or result.status == _Status.PIPELINE_SYNC:
            self._pending.popleft()
            return
        first = self._pending[0]
        if result.status in _FAILED or result.status == _Status.PIPELINE_ABORTED:
            if isinstance(first, tuple):  # it was not prepared
                self._prepared.pop(first, None)
            if result.status in _FAILED:
                self._failed(errors.error_from_result(result))
        elif isinstance(first, Answer):
            first._result = result
        else:
            assert first is not None

    def _failed(self, error: psycopg.Error) -> None:
        self._outdated = self._outdated or error.sqlstate in _OUTDATED
        self._error = self._error or error
        if self._wire.status == pq.ConnStatus.BAD:
            self._pending.clear()

    def _plainly(self) -> _Plainly:
        return _Plainly(self)


class _Plainly:
    """Out of pipeline mode for a while, for what cannot be pipelined."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def __enter__(self) -> None:
        self._link.complete()
        self._link._wire.exit_pipeline_mode()

    def __exit__(self, *_: object) -> None:
        self._link._wire.enter_pipeline_mode()
