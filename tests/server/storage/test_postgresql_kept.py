"""Rows that nobody looks at yet and work that can wait are kept back on PostgreSQL, too; nobody can tell but by
the number of statements.

Covers server/storage/postgresql_kept.py, and the statements for many rows of server/storage/postgresql_link.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from server.errors import FhirError
from server.storage.postgresql_kept import MOST, insertion
from server.storage.postgresql_link import Link

pytestmark = pytest.mark.postgresql("it is about its connections")
_READ = """
SELECT pg_stat_get_xact_tuples_returned('pair_key'::regclass)
     + pg_stat_get_xact_tuples_returned('pair_pkey'::regclass)
"""
_ROW = "INSERT INTO kept (n, text) VALUES (:n, :text)"


@pytest.fixture
def database(store: Any) -> Iterator[Any]:
    """With tables of the test's own."""
    with store.database.writing() as connection:
        connection.execute("CREATE TABLE kept (id bigserial, n bigint PRIMARY KEY, text text)")
        connection.execute("CREATE TABLE pair (id bigint PRIMARY KEY, a text, b text, value bigint)")
        connection.execute("CREATE INDEX pair_key ON pair (a, b)")
    yield store.database
    with store.database.writing() as connection:
        connection.execute("DROP TABLE kept")
        connection.execute("DROP TABLE pair")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that are sent from here on."""
    texts: list[str] = []
    send = Link._send

    def noted(self: Link, text: bytes, dumped: Any) -> Any:
        texts.append(text.decode())
        return send(self, text, dumped)

    monkeypatch.setattr(Link, "_send", noted)
    return texts


def kept(database: Any) -> list[tuple[Any, ...]]:
    with database.reading() as connection:
        return list(connection.execute("SELECT n, text FROM kept ORDER BY id").fetchall())


def test_rows_of_a_table_are_one_statement_and_keep_their_order(database: Any, sent: list[str]) -> None:
    rows = [(3, "c"), (1, None), (2, 'quote " \\ {,}'), (4, "NULL")]
    with database.writing() as connection:
        for n, text in rows:
            connection.later(_ROW, {"n": n, "text": text})
    assert len(sent) == 3  # BEGIN, INSERT, COMMIT
    assert kept(database) == rows


def test_a_column_of_nothing_but_null_is_one(database: Any) -> None:
    with database.writing() as connection:
        connection.insert("kept", ("n", "text"), [(1, None), (2, None)])
        connection.insert("kept", ("n", "text"), [])
    assert kept(database) == [(1, None), (2, None)]


@pytest.mark.parametrize("statement", ["SELECT count(*) FROM kept", "SELECT (SELECT count(*) FROM pair, kept)"])
def test_a_statement_that_names_the_table_finds_the_row(database: Any, statement: str) -> None:
    with database.writing() as connection:
        connection.execute("INSERT INTO pair VALUES (1, 'a', 'b', 0)")
        connection.later(_ROW, {"n": 1, "text": "first"})
        assert connection.execute(statement).fetchall() == [(1,)]


def test_an_insert_that_says_more_than_its_values_is_sent_as_it_is(database: Any) -> None:
    assert insertion("INSERT INTO kept (n, text) VALUES (:n, 'x')") is None
    assert insertion(_ROW + " ON CONFLICT DO NOTHING") is None
    with database.writing() as connection:
        connection.later("INSERT INTO kept (n, text) VALUES (:n, 'x')", {"n": 1})
    assert kept(database) == [(1, "x")]


def test_a_row_that_cannot_be_written_fails_the_transaction_as_a_whole(database: Any) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation), database.writing() as connection:
        connection.later(_ROW, {"n": 1, "text": "first"})
        connection.later(_ROW, {"n": 1, "text": "again"})
    with pytest.raises(RuntimeError), database.writing() as connection:
        connection.later(_ROW, {"n": 2, "text": "lost"})
        raise RuntimeError
    with database.writing() as connection:
        connection.later(_ROW, {"n": 3, "text": "kept"})
    assert kept(database) == [(3, "kept")]


def test_a_part_that_fails_takes_only_its_own_rows_and_work(database: Any) -> None:
    def add(connection: Any, n: int) -> None:
        connection.work(lambda: connection.later(_ROW, {"n": n, "text": "work"}), n)

    with database.writing() as outer:
        outer.later(_ROW, {"n": 1, "text": "row"})
        add(outer, 2)
        with pytest.raises(RuntimeError), database.writing() as inner:
            inner.later(_ROW, {"n": 3, "text": "lost"})
            add(inner, 4)
            raise RuntimeError
        with database.writing() as inner:
            add(inner, 5)
    assert kept(database) == [(1, "row"), (2, "work"), (5, "work")]


def test_pieces_of_work_ask_together(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for an answer, and together they wait once."""
    ways = []
    wait = Link.wait

    def counted(self: Link) -> None:
        if self._pending:
            ways.append(len(self._pending))
        wait(self)

    def work(connection: Any, n: int) -> Iterator[None]:
        answer = connection.execute("SELECT :n::bigint", {"n": n})
        yield
        connection.later(_ROW, {"n": answer.fetchone()[0], "text": "answered"})

    count = 50
    with database.writing() as connection:
        connection.execute("SELECT 1").fetchall()
        monkeypatch.setattr(Link, "wait", counted)
        for n in range(count):
            connection.work(lambda n=n: work(connection, n), n)
    assert len(ways) == 2  # the answers, the commit
    assert [n for n, _ in kept(database)] == list(range(count))


def test_work_of_one_key_is_done_in_turn_and_no_more_waits_than_has_room(database: Any) -> None:
    done: list[int] = []

    def work(n: int) -> Iterator[None]:
        done.append(n)
        yield
        done.append(-n)

    with database.writing() as connection:
        connection.work(lambda: work(1), "same")
        connection.work(lambda: work(2), "same")
        assert done == [1, -1]
        for n in range(MOST):
            connection.work(lambda: work(3), n)
        assert done == [1, -1, 2, *[3] * (MOST - 1), -2, *[-3] * (MOST - 1)]


def test_work_that_fails_is_never_committed_whoever_hides_it(database: Any) -> None:
    def work(connection: Any) -> Iterator[None]:
        connection.execute("INSERT INTO kept (n) VALUES (1)")
        yield
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.work(lambda: work(connection), "failing")
        with pytest.raises(ZeroDivisionError):
            connection.execute("SELECT 1")
        with pytest.raises(ZeroDivisionError):
            connection.execute("SELECT 1")
    assert kept(database) == []
    with database.writing() as connection:  # a part that is rolled back takes its failure along
        with pytest.raises(ZeroDivisionError), database.writing() as inner:
            inner.work(lambda: work(inner), "failing")
        connection.execute("INSERT INTO kept (n) VALUES (2)")
    assert kept(database) == [(2, None)]


def test_a_failure_at_the_server_reaches_whoever_waits_for_the_work(database: Any) -> None:
    def work(connection: Any) -> Iterator[None]:
        answer = connection.execute("SELECT 1 / 0")
        yield
        answer.fetchall()

    with pytest.raises((psycopg.Error, FhirError)), database.writing() as connection:
        connection.work(lambda: work(connection), "failing")
    with database.writing() as connection:
        connection.later(_ROW, {"n": 1, "text": "after"})
    assert kept(database) == [(1, "after")]


def test_rows_are_added_where_there_are_none(database: Any) -> None:
    with database.writing() as connection:
        assert connection.add("kept", ("n", "text"), [(1, "a"), (2, "b")]).rowcount == 2
        assert connection.add("kept", ("n", "text"), [(2, "c"), (3, "d")]).rowcount == 1
    assert kept(database) == [(1, "a"), (2, "b"), (3, "d")]


def test_rows_are_changed_by_their_key_however_few_there_were_when_it_was_planned(database: Any) -> None:
    """Made for one row, the statement is kept for all that come."""
    with database.writing() as connection:
        connection.execute("INSERT INTO pair VALUES (0, 'a', 'b0', 0)")
    with database.writing() as connection:
        connection.execute("ANALYZE pair")
    with database.writing() as connection:
        connection.change("pair", "id", ("a", "b"), ("value",), [("a", "b0", 7)])
        connection.execute("INSERT INTO pair SELECT n, 'a', 'b' || n, 0 FROM generate_series(1, 5000) n")
    with database.writing() as connection:
        connection.change(
            "pair", "id", ("a", "b"), ("value",), [("a", "b5", 1), ("a", "none", 2), ("a", "b77", 3)]
        )
        read = connection.execute(_READ).fetchone()[0]
        changed = connection.execute("SELECT b, value FROM pair WHERE value > 0 ORDER BY b").fetchall()
    assert changed == [("b0", 7), ("b5", 1), ("b77", 3)]
    assert 0 < read < 20
