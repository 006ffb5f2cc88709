"""Units of work on PostgreSQL that go wrong: whose failure it is, whose rows they are, what is left open.

Statements travel in a pipeline, so an answer may be taken off the wire by a later unit of work, a failure may
show late, and what is interrupted may leave answers behind. None of that may reach another unit.
"""

from __future__ import annotations

import gc
import math
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest

from server.errors import FhirError
from server.fhir.visibility import EVERYTHING
from server.storage import open_store, postgresql_database
from server.storage.postgresql_link import Link
from server.storage.resources import held_sql

pytestmark = pytest.mark.postgresql("it is about its connections")
PATIENT = {"resourceType": "Patient", "id": "a"}


@pytest.fixture
def database(store: Any) -> Iterator[Any]:
    """With a table of the test's own."""
    with store.database.writing() as connection:
        connection.execute("CREATE TABLE kept (n bigint)")
    yield store.database
    with store.database.writing() as connection:
        connection.execute("DROP TABLE kept")


@pytest.fixture
def other(database_url: str) -> Iterator[psycopg.Connection]:
    """Somebody else's connection to the same database."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def kept(database: Any) -> list[int]:
    with database.reading() as connection:
        return [row[0] for row in connection.execute("SELECT n FROM kept ORDER BY n").fetchall()]


def backend(database: Any) -> int:
    with database.reading() as connection:
        return int(connection.execute("SELECT pg_backend_pid()::bigint").fetchone()[0])


def open_transactions(other: psycopg.Connection) -> int:
    """How many of the other sessions have a transaction open, once they had a moment to end it."""
    row = None
    for _ in range(50):
        row = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state LIKE '%transaction%'"
        ).fetchone()
        if row == (0,):
            break
        time.sleep(0.02)
    assert row is not None
    return int(row[0])


def test_a_stream_that_is_given_up_does_not_harm_a_later_transaction(database: Any) -> None:
    with database.reading() as connection:
        rows = connection.stream("SELECT generate_series(1, 5000)")
        assert next(rows) == (1,)
    with database.writing() as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
        rows.close()
        del rows
        gc.collect()
    assert kept(database) == [1]


def test_a_stream_may_be_given_up_and_others_begun_in_one_transaction(database: Any) -> None:
    with database.reading() as connection:
        with closing(connection.stream("SELECT generate_series(1, 5000)")) as rows:
            assert next(rows) == (1,)
        assert len(list(connection.stream("SELECT generate_series(1, 2500)"))) == 2500
        assert list(connection.stream("SELECT 1 WHERE false")) == []


def test_a_table_that_changes_under_a_prepared_statement_is_an_interruption_and_no_end(
    database: Any, other: psycopg.Connection
) -> None:
    other.execute("CREATE TABLE growing (a bigint)")
    try:

        def ask() -> list[Any]:
            with database.reading() as connection:
                return list(connection.execute("SELECT * FROM growing").fetchall())

        assert ask() == []
        other.execute("ALTER TABLE growing ADD COLUMN b bigint")
        with suppress(FhirError):
            ask()
        assert ask() == []
    finally:
        other.execute("DROP TABLE growing")


def test_a_transaction_that_never_began_keeps_nothing(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told to a connection without a transaction would be kept statement by statement."""
    with monkeypatch.context() as patch:
        patch.setattr(postgresql_database, "_WRITE", "BEGIN READ WRITE ON TUESDAYS")
        with pytest.raises((FhirError, psycopg.Error)), database.writing() as connection:
            with suppress(psycopg.Error):
                connection.execute("SELECT 1").fetchall()
            connection.execute("INSERT INTO kept VALUES (1)").rowcount  # noqa: B018
    assert kept(database) == []


def test_a_reader_that_looked_at_nothing_leaves_no_transaction_open(
    database: Any, other: psycopg.Connection
) -> None:
    with database.reading() as connection:
        connection.execute("SELECT 1 / 0")
    assert open_transactions(other) == 0


@pytest.mark.parametrize("where", ["before the wait", "result", "end of a command"])
def test_an_interrupted_wait_gives_nobody_the_rows_of_another_statement(
    database: Any, other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A time limit or Ctrl-C may strike anywhere, also between taking an answer off the wire and noting it."""

    class Interruption(BaseException):
        pass

    real, left = Link._take, {"before the wait": 0, "result": 4, "end of a command": 5}[where]

    def struck(self: Link, result: Any) -> None:
        nonlocal left
        if left == 0:
            left = -1
            raise Interruption
        left -= 1
        real(self, result)

    def asked(number: int) -> Any:
        with database.reading() as connection:
            first = connection.execute("SELECT :n::bigint", {"n": number})
            second = connection.execute("SELECT :n::bigint + 1", {"n": number})
            return first.fetchone()[0], second.fetchone()[0]

    monkeypatch.setattr(Link, "_take", struck)
    with pytest.raises(Interruption):
        asked(10)
    monkeypatch.setattr(Link, "_take", real)
    for number in (20, 30):
        assert asked(number) == (number, number + 1)
    assert open_transactions(other) == 0


def test_an_interrupted_commit_is_rolled_back_or_done_and_its_connection_is_left_to_nobody(
    store: Any, chart: Any, other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interruption(BaseException):
        pass

    real = Link._take

    def struck(self: Link, result: Any) -> None:
        monkeypatch.setattr(Link, "_take", real)
        raise Interruption

    with pytest.raises(Interruption), store.writing() as writer:
        chart.put_in(writer, PATIENT)
        monkeypatch.setattr(Link, "_take", struck)
    assert open_transactions(other) == 0
    chart.put({"resourceType": "Patient", "id": "b"})
    assert chart.reading(lambda reader: reader.read("Patient", "b", EVERYTHING)) is not None


def test_a_failed_part_leaves_the_transaction_around_it_as_it_was(database: Any) -> None:
    with database.writing() as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
        for statement in ("SELECT 1 / 0", "SELECT * FROM nowhere", "INSERT INTO kept VALUES (1, 2)"):
            with suppress(psycopg.Error), database.writing() as inner:
                inner.execute("INSERT INTO kept VALUES (2)")
                inner.execute(statement)  # nobody looks at it
        with suppress(ZeroDivisionError), database.writing() as inner:
            inner.execute("INSERT INTO kept VALUES (3)")
            with suppress(psycopg.Error), database.writing() as innermost:
                innermost.execute("SELECT 1 / 0").fetchall()
            raise ZeroDivisionError
        with database.writing() as inner:
            inner.execute("INSERT INTO kept VALUES (4)")
    assert kept(database) == [1, 4]


def test_what_interrupts_a_part_is_passed_on_also_where_its_connection_is_gone(
    database: Any, other: psycopg.Connection
) -> None:
    pid = backend(database)
    with pytest.raises(KeyboardInterrupt), database.writing() as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
        with database.writing() as inner:
            inner.execute("SELECT 1").fetchall()
            other.execute("SELECT pg_terminate_backend(%s::int)", [pid])
            time.sleep(0.1)
            raise KeyboardInterrupt
    assert kept(database) == []


def test_a_copy_that_breaks_off_takes_its_transaction_along_and_nothing_else(database: Any) -> None:
    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.fill("kept", ("n",), rows())
    with pytest.raises(psycopg.Error), database.writing() as connection:
        connection.fill("kept", ("n",), [("no number",)])
    with pytest.raises((psycopg.Error, FhirError)), database.writing() as connection:
        with suppress(psycopg.Error):
            connection.fill("kept", ("n",), [(1,), ("no number",)])
        connection.execute("INSERT INTO kept VALUES (2)")
    with pytest.raises((psycopg.Error, FhirError)), database.writing() as connection:
        with suppress(psycopg.Error):
            database.script(connection, "INSERT INTO kept VALUES (3); nonsense")
        connection.execute("INSERT INTO kept VALUES (3)")
    assert kept(database) == []
    with database.writing() as connection:
        connection.execute("INSERT INTO kept VALUES (4)")
        connection.fill("kept", ("n",), [(5,), (6,)])
    assert kept(database) == [4, 5, 6]


def test_a_failure_nobody_looked_at_is_not_hidden_by_a_part_that_works(database: Any) -> None:
    with pytest.raises((FhirError, psycopg.Error)), database.writing() as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
        connection.execute("SELECT 1 / 0")
        for _ in range(3):
            with suppress(psycopg.Error, FhirError), database.writing() as inner:
                inner.execute("INSERT INTO kept VALUES (2)")
    assert kept(database) == []


def test_what_is_read_ahead_is_held_and_nothing_else(store: Any, chart: Any, other: psycopg.Connection) -> None:
    chart.put(*({**PATIENT, "id": id} for id in "abcd"))
    free = "SELECT id FROM resource ORDER BY id FOR UPDATE SKIP LOCKED"
    with store.writing() as writer:
        writer.read_ahead([("Patient", "c"), ("Patient", "none"), ("Patient", "a")])
        assert writer.read("Patient", "none", EVERYTHING) is None
        assert [writer.read("Patient", id, EVERYTHING).id for id in "ca"] == ["c", "a"]
        assert other.execute(free).fetchall() == [("b",), ("d",)]
    with store.database.reading() as connection:
        asked = f"EXPLAIN {held_sql(connection.dialect).removesuffix('FOR UPDATE')}"
        plan = "\n".join(row[0] for row in connection.execute(asked, {"hashes": [1, 2]}).fetchall())
        assert "resource_self" in plan
        assert "Sort" not in plan
        assert "Seq Scan" not in plan


@pytest.mark.parametrize("rows", [1, 600])
def test_a_pipeline_that_fills_both_directions_does_not_stall(database: Any, rows: int) -> None:
    text = "x" * 20_000
    with database.writing() as connection:
        answers = [
            connection.execute("SELECT :n::bigint, repeat(:text, 2)", {"n": n, "text": text})
            for n in range(rows)
        ]
        assert [answer.fetchone()[0] for answer in answers[::100]] == list(range(rows))[::100]


def test_after_errors_of_all_kinds_no_transaction_is_left_open(
    store: Any, chart: Any, other: psycopg.Connection
) -> None:
    database = store.database
    chart.put(PATIENT)
    for statement in (
        "SELECT 1 / 0",
        "SELECT * FROM nowhere",
        "nonsense",
        "SELECT pg_cancel_backend(pg_backend_pid())",
    ):
        for unit in (database.reading, database.writing):
            with suppress(psycopg.Error, FhirError), unit() as connection:
                connection.execute(statement).fetchall()
            with suppress(psycopg.Error, FhirError, ZeroDivisionError), unit() as connection:
                connection.execute(statement)
                raise ZeroDivisionError
    database.statement_seconds = 0.05
    for unit in (database.reading, database.writing):
        with pytest.raises(FhirError, match="too-costly"), unit() as connection, database.limited():
            connection.execute("SELECT 1 FROM pg_sleep(5)").fetchall()
    chart.put(PATIENT)
    assert open_transactions(other) == 0
    with database.reading() as connection:  # the limit is over
        assert connection.execute("SELECT 1 FROM pg_sleep(0.2)").fetchall() == [(1,)]


def test_a_limit_ends_the_statement_it_was_meant_for_and_no_other(database: Any) -> None:
    """The cancellation is sent from elsewhere and may arrive when the statement is just done."""
    database.statement_seconds = 0.01
    for n in range(40):
        with suppress(FhirError), database.reading() as connection, database.limited():
            connection.execute("SELECT 1 FROM pg_sleep(:s)", {"s": 0.008 + n / 10_000}).fetchall()
        with database.reading() as connection:
            assert connection.execute("SELECT 1 FROM pg_sleep(0.001)").fetchall() == [(1,)]


def test_a_limit_that_cannot_be_enforced_gives_the_connection_up(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Any, **_: Any) -> None:
        raise psycopg.errors.CancellationTimeout("the server does not answer")

    database.statement_seconds = 0.05
    started = time.monotonic()
    monkeypatch.setattr(psycopg.Connection, "cancel_safe", refused)
    with pytest.raises(FhirError) as error, database.reading() as connection, database.limited():
        connection.execute("SELECT 1 FROM pg_sleep(4)").fetchall()
    assert error.value.kind in ("unavailable", "too-costly")
    with database.reading() as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert time.monotonic() - started < 3


def test_a_connection_ended_from_outside_is_replaced_whatever_it_was_doing(
    store: Any, chart: Any, other: psycopg.Connection
) -> None:
    database = store.database
    chart.put(PATIENT)

    def end() -> None:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        time.sleep(0.05)

    with pytest.raises(FhirError) as refused, database.reading() as connection:
        connection.execute("SELECT 1").fetchall()
        end()
        connection.execute("SELECT 1").fetchall()
    assert refused.value.kind == "unavailable"
    with pytest.raises(FhirError) as refused, database.writing() as connection:
        connection.execute("SELECT 1")
        end()
    assert refused.value.kind == "unavailable"
    with pytest.raises(FhirError) as refused, store.writing() as writer:
        chart.put_in(writer, {"resourceType": "Patient", "id": "b"})
        end()
        with suppress(FhirError), store.writing() as inner:
            chart.put_in(inner, {"resourceType": "Patient", "id": "c"})
    assert refused.value.kind == "unavailable"
    end()
    assert chart.reading(lambda reader: reader.read("Patient", "b", EVERYTHING)) is None
    assert chart.reading(lambda reader: reader.read("Patient", "a", EVERYTHING)) is not None


def test_a_session_without_its_settings_is_not_used(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They make commits durable; one that fails takes all with it."""
    monkeypatch.setattr(
        postgresql_database, "SESSION", postgresql_database.SESSION + "SET no_such_setting = 1;"
    )
    store = open_store(database_url)
    with pytest.raises((psycopg.Error, FhirError)):
        store.ready()
        with store.reading():
            pass
    store.close()


def test_threads_that_write_and_read_at_once_see_only_their_own_rows(store: Any) -> None:
    database, wrong = store.database, []

    def work(own: int) -> None:
        for n in range(60):
            with database.reading() as connection:
                first = connection.execute("SELECT :own::bigint, :n::bigint", {"own": own, "n": n})
                with suppress(psycopg.Error, FhirError), database.writing() as writer:
                    writer.execute("SELECT 1 / :zero::bigint", {"zero": n % 2})
                second = connection.execute("SELECT :n::bigint, :own::bigint", {"own": own, "n": n})
                if (second.fetchone(), first.fetchone()) != ((n, own), (own, n)):
                    wrong.append((own, n))

    threads = [threading.Thread(target=work, args=(own,)) for own in range(1000, 1004)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_no_limit_stays_behind(store: Any) -> None:
    state = store.database._state()
    with pytest.raises(ZeroDivisionError), store.database.limited():
        raise ZeroDivisionError
    assert state.deadline == [math.inf]
