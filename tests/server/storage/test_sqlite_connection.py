"""Rows that nobody looks at yet and work that can wait are kept in the connection; nobody can tell."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from server.storage.sqlite_database import SqliteDatabase

_ROW = "INSERT INTO note (id, text) VALUES (:id, :text)"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    made = SqliteDatabase(tmp_path / "some.sqlite3")
    with made.writing() as connection:
        connection.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")
        connection.execute("CREATE TABLE other (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE pair (a INTEGER, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID")
    yield made
    made.close()


def texts(database: SqliteDatabase) -> list[str]:
    with database.reading() as connection:
        return [text for (text,) in connection.execute("SELECT text FROM note ORDER BY id").fetchall()]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM note",
        "SELECT count(*) FROM other, note",
        "SELECT count(*) FROM other o, note n WHERE n.id = n.id",
        "SELECT (SELECT count(*) FROM note)",
        "SELECT count(*) FROM (SELECT id FROM note) found",
        "SELECT count(*) FROM note LEFT JOIN other ON other.id = note.id",
    ],
)
def test_a_statement_that_names_the_table_finds_the_row(database: SqliteDatabase, statement: str) -> None:
    with database.writing() as connection:
        connection.execute("INSERT INTO other (id) VALUES (1)")
        connection.later(_ROW, {"id": 1, "text": "first"})
        assert connection.execute(statement).fetchall() == [(1,)]


def test_an_update_and_a_deletion_reach_rows_that_waited(database: SqliteDatabase) -> None:
    with database.writing() as connection:
        connection.later(_ROW, {"id": 1, "text": "first"})
        connection.execute("UPDATE note SET text = 'changed' WHERE id = 1")
        connection.later(_ROW, {"id": 2, "text": "second"})
        connection.executemany("DELETE FROM note WHERE id = :id", [{"id": 2}])
    assert texts(database) == ["changed"]


def test_the_commit_writes_what_waits(database: SqliteDatabase) -> None:
    with database.writing() as connection:
        connection.later(_ROW, {"id": 1, "text": "first"})
        connection.insert("pair", ("a", "b"), [(2, 1), (1, 2)])
        connection.insert("pair", ("a", "b"), [])
    assert texts(database) == ["first"]
    with database.reading() as connection:
        assert connection.execute("SELECT a, b FROM pair ORDER BY a").fetchall() == [(1, 2), (2, 1)]


def test_a_transaction_that_fails_leaves_nothing_waiting(database: SqliteDatabase) -> None:
    with pytest.raises(RuntimeError), database.writing() as connection:
        connection.later(_ROW, {"id": 1, "text": "lost"})
        raise RuntimeError
    with database.writing() as connection:
        connection.later(_ROW, {"id": 1, "text": "kept"})
    assert texts(database) == ["kept"]


def test_a_part_that_fails_takes_only_its_own_rows(database: SqliteDatabase) -> None:
    with database.writing() as outer:
        outer.later(_ROW, {"id": 1, "text": "before"})
        with pytest.raises(RuntimeError), database.writing() as inner:
            inner.later(_ROW, {"id": 2, "text": "lost"})
            raise RuntimeError
        outer.later(_ROW, {"id": 3, "text": "after"})
        with database.writing() as inner:
            inner.later(_ROW, {"id": 4, "text": "part"})
    assert texts(database) == ["before", "after", "part"]


def test_a_row_that_cannot_be_written_fails_the_transaction_as_a_whole(database: SqliteDatabase) -> None:
    with pytest.raises(sqlite3.IntegrityError), database.writing() as connection:
        connection.later(_ROW, {"id": 1, "text": "first"})
        connection.later(_ROW, {"id": 1, "text": "again"})
    assert texts(database) == []


def test_outside_of_a_transaction_nothing_waits(database: SqliteDatabase) -> None:
    connection = database.connect()
    connection.later(_ROW, {"id": 1, "text": "first"})
    connection.close()
    assert texts(database) == ["first"]


def is_locked(database: SqliteDatabase) -> bool:
    """Whether somebody is in the writers' turn."""
    with database.lock_path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _fail() -> None:
    raise ZeroDivisionError


def test_what_only_adds_holds_up_nobody_before_it_ends(database: SqliteDatabase) -> None:
    with database.writing() as connection:
        connection.later(_ROW, {"id": 1, "text": "first"})
        connection.work(partial(connection.execute, _ROW, {"id": 2, "text": "second"}))
        assert not is_locked(database)
        connection.execute("SELECT count(*) FROM other")
        assert is_locked(database)
    assert not is_locked(database)
    assert texts(database) == ["first", "second"]


def test_work_is_done_before_the_next_statement_and_in_its_order(database: SqliteDatabase) -> None:
    with database.writing() as connection:
        connection.work(partial(connection.execute, _ROW, {"id": 1, "text": "first"}))
        connection.work(partial(connection.execute, "UPDATE note SET text = text || ' changed'"))
        assert connection.execute("SELECT text FROM note").fetchall() == [("first changed",)]
        connection.work(partial(connection.later, _ROW, {"id": 2, "text": "second"}))
    assert texts(database) == ["first changed", "second"]


def test_work_that_fails_fails_the_transaction_even_of_who_goes_on(database: SqliteDatabase) -> None:
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.later(_ROW, {"id": 1, "text": "first"})
        connection.work(_fail)
        with pytest.raises(ZeroDivisionError):
            connection.execute("SELECT count(*) FROM other")
    assert texts(database) == []
    assert not is_locked(database)


def test_work_of_a_part_fails_that_part_alone(database: SqliteDatabase) -> None:
    with database.writing() as outer:
        outer.work(partial(outer.execute, _ROW, {"id": 1, "text": "before"}))
        with pytest.raises(ZeroDivisionError), database.writing() as inner:
            inner.later(_ROW, {"id": 2, "text": "lost"})
            inner.work(_fail)
        outer.work(partial(outer.execute, _ROW, {"id": 3, "text": "after"}))
    assert texts(database) == ["before", "after"]


def test_a_transaction_that_does_nothing_waits_for_nobody(database: SqliteDatabase) -> None:
    with database.lock_path.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with database.writing():
            pass
        with pytest.raises(RuntimeError), database.writing() as connection:
            connection.later(_ROW, {"id": 1, "text": "lost"})
            raise RuntimeError
    assert texts(database) == []


def test_outside_of_a_transaction_work_is_done_at_once(database: SqliteDatabase) -> None:
    connection = database.connect()
    connection.work(partial(connection.execute, _ROW, {"id": 1, "text": "first"}))
    assert texts(database) == ["first"]
    connection.close()
