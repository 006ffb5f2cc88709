"""The bare limits: what the same work costs where nothing has to be decided.

Reading: a WSGI application under granian (`bare:endpoints`) that fetches stored bytes by a unique index, with
Flask around it (/flask/...), without (/wsgi/...), and one that answers fixed bytes (/fixed). Writing: `python
bare.py URL NUMBER` in as many processes as the server has; they insert rows copied from real resources by plain
statements, one durable transaction each. Both use the drivers and settings of the server.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

SETTINGS = "BARE_DATABASES"  # JSON: name of a data set -> database URL
READS = "bare_read"  # the table that the endpoints read

_TEMPLATES = 200
_FIXED = b'{"resourceType":"Observation"}' + b" " * 430
_JSON = "application/fhir+json"


def connect(url: str) -> Any:
    """A connection of the driver that the server uses, with its settings, in autocommit."""
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(
            url.removeprefix("sqlite:///"),
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "wal_autocheckpoint = 0",
            "busy_timeout = 30000",
            "cache_size = -16384",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection
    import psycopg

    return psycopg.connect(url, autocommit=True, prepare_threshold=1)


def mark(url: str) -> str:
    """How the driver writes a parameter."""
    return "?" if url.startswith("sqlite:///") else "%s"


def prepare(url: str) -> None:
    """Give a copy of a data set the table that the endpoints read."""
    connection = connect(url)
    connection.execute(
        f"CREATE TABLE {READS} AS SELECT type || '/' || id AS name, body FROM resource WHERE deleted = 0"
    )
    connection.execute(f"CREATE UNIQUE INDEX {READS}_name ON {READS} (name)")
    if url.startswith("sqlite:///"):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        connection.execute(f"ANALYZE {READS}")
    connection.close()


def endpoints() -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """The endpoints, for granian."""
    from flask import Flask, Response

    urls: dict[str, str] = json.loads(os.environ[SETTINGS])
    connections = {name: connect(url) for name, url in urls.items()}
    statements = {name: f"SELECT body FROM {READS} WHERE name = {mark(url)}" for name, url in urls.items()}
    app = Flask("bare", static_folder=None)

    def fetch(data_set: str, name: str) -> bytes | None:
        row = connections[data_set].execute(statements[data_set], (name,)).fetchone()
        return None if row is None else row[0]

    @app.get("/flask/<data_set>/<resource_type>/<id>")
    def read(data_set: str, resource_type: str, id: str) -> Response:
        body = fetch(data_set, f"{resource_type}/{id}")
        return Response(status=404) if body is None else Response(body, content_type=_JSON)

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith("/wsgi/"):
            _, _, data_set, name = path.split("/", 3)
            body = fetch(data_set, name)
        elif path == "/fixed":
            body = _FIXED
        else:
            return app(environ, start_response)
        if body is None:
            start_response("404 Not Found", [("Content-Length", "0")])
            return (b"",)
        start_response("200 OK", [("Content-Type", _JSON), ("Content-Length", str(len(body)))])
        return (body,)

    return serve


Rows = list[tuple[str, list[list[Any]]]]  # INSERT statement -> rows


class Inserts:
    """The rows that creates left, ready to be inserted again as those of resources that do not exist yet.

    One for each process: `number` tells them apart.
    """

    def __init__(self, connection: Any, url: str, number: int, resource_type: str = "Observation") -> None:
        self._connection = connection
        self._mark = mark(url)
        self._sqlite = url.startswith("sqlite:///")
        self._next = (number + 1) * 10**12
        tables = [name for name in self._tables() if name == "audit" or "rid" in self._columns(name)]
        tables.sort(key=lambda name: name != "resource")
        self._statements = {name: self._insert(name) for name in tables}
        found = connection.execute(
            f"SELECT rid FROM resource WHERE type = {self._mark} ORDER BY rid LIMIT {_TEMPLATES}",
            (resource_type,),
        ).fetchall()
        self._templates = [self._copied(rid) for (rid,) in found]

    def insert(self, number: int) -> None:
        """One transaction with the rows of one create."""
        rows = self._fresh(self._templates[number % len(self._templates)])
        if self._sqlite:
            self._connection.execute("BEGIN IMMEDIATE")
            self._send(rows, self._connection)
            self._connection.execute("COMMIT")
        else:  # every statement is on its way before the first is answered
            with self._connection.pipeline(), self._connection.transaction():
                self._send(rows, self._connection.cursor())

    @staticmethod
    def _send(rows: Rows, to: Any) -> None:
        for sql, values in rows:
            if len(values) == 1:
                to.execute(sql, values[0])
            else:
                to.executemany(sql, values)

    def _fresh(self, template: list[tuple[str, list[dict[str, Any]]]]) -> Rows:
        self._next += 1
        rows: Rows = []
        for table, copies in template:
            sql, columns = self._statements[table]
            for copy in copies:
                if "rid" in copy:
                    copy["rid"] = self._next
                if table == "resource":
                    copy["self_hash"], copy["id"] = random.getrandbits(62), f"bare-{self._next}"
            rows.append((sql, [[copy[name] for name in columns] for copy in copies]))
        return rows

    def _copied(self, rid: int) -> list[tuple[str, list[dict[str, Any]]]]:
        copies = []
        for table in self._statements:
            columns = self._statements[table][1]
            which = (
                f"rid = {self._mark}"
                if table != "audit"
                else f"id = (SELECT min(id) + {self._mark} FROM audit)"
            )
            key = rid if table != "audit" else rid % _TEMPLATES
            cursor = self._connection.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE {which}", (key,))
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            if rows:
                copies.append((table, rows))
        return copies

    def _insert(self, table: str) -> tuple[str, list[str]]:
        columns = [name for name in self._columns(table) if name not in self._given_by_database(table)]
        marks = ", ".join(self._mark for _ in columns)
        return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", columns

    def _tables(self) -> list[str]:
        sql = (
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            if self._sqlite
            else "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        )
        return [name for (name,) in self._connection.execute(sql).fetchall()]

    def _columns(self, table: str) -> list[str]:
        if self._sqlite:
            return [row[1] for row in self._connection.execute(f"PRAGMA table_info({table})").fetchall()]
        return self._of_information_schema(table, "is_generated = 'NEVER'")

    def _given_by_database(self, table: str) -> set[str]:
        """Numbers that the database gives, apart from rid, which ties the rows of a resource together."""
        if self._sqlite:
            keys = [row for row in self._connection.execute(f"PRAGMA table_info({table})").fetchall() if row[5]]
            given = {keys[0][1]} if len(keys) == 1 and keys[0][2] == "INTEGER" else set()
        else:
            given = set(self._of_information_schema(table, "is_identity = 'YES'"))
        return given - {"rid"}

    def _of_information_schema(self, table: str, condition: str) -> list[str]:
        rows = self._connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema()"
            f" AND table_name = %s AND {condition} ORDER BY ordinal_position",
            (table,),
        ).fetchall()
        return [name for (name,) in rows]


def _rounds() -> Iterator[float]:
    """Seconds, a line of standard input each."""
    for line in sys.stdin:
        yield float(line)


def main(url: str, number: int) -> None:
    """Insert for as long as each line says; print how many transactions were committed and the seconds."""
    connection = connect(url)
    inserts = Inserts(connection, url, number)
    print("ready", flush=True)
    for seconds in _rounds():
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            inserts.insert(done)
            done += 1
        print(json.dumps([done, time.perf_counter() - started]), flush=True)
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
