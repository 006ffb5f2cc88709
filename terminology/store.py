"""The one SQLite file of the terminology: built once, then only read. The only SQL of this package.

The file's name carries the hash of what it was built from, so that a new release is a new file and
open readers keep theirs. Readers open it immutable, one connection a thread.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from terminology import release
from terminology.names import fold

_SCHEMA = """
create table meta (key text primary key, value text not null) without rowid;
create table concept (code text primary key, tty text not null, name text not null) without rowid;
create table name (folded text not null, code text not null, primary key (folded, code)) without rowid;
create table drug (code text primary key, body text not null) without rowid;
create table product (ingredients text not null, code text not null, primary key (ingredients, code))
    without rowid;
create table ndc (ndc11 text primary key, code text not null) without rowid;
create table class (ingredient text not null, code text not null, name text not null,
    primary key (ingredient, code)) without rowid;
"""


def file_name() -> str:
    """Name of the file that the shipped tables and this code build."""
    return f"{release.RELEASE}-{release.content_hash()[:12]}-{release.code_hash()[:8]}.sqlite"


def build(directory: Path, progress: Callable[[str], None] = lambda words: None) -> Path:
    """Build the file in `directory` and move it into place in one step; returns its path.

    An existing file of the same content is replaced by an equal one, so builders may race.
    """
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / file_name()
    handle, scratch = tempfile.mkstemp(dir=directory, prefix=target.name, suffix=".building")
    os.close(handle)
    try:
        with closing(sqlite3.connect(scratch)) as database:
            database.executescript("pragma journal_mode=off; pragma synchronous=off;" + _SCHEMA)
            _fill(database, progress)
            database.commit()
            database.execute("analyze")
            database.commit()
        os.chmod(scratch, 0o644)
        os.replace(scratch, target)
    finally:
        Path(scratch).unlink(missing_ok=True)
    return target


def _fill(database: sqlite3.Connection, progress: Callable[[str], None]) -> None:
    tables = release.Release()
    progress(f"{len(tables.concepts)} concepts")
    database.executemany(
        "insert into concept values (?, ?, ?)",
        ((code, tty, name) for code, (tty, name) in sorted(tables.concepts.items())),
    )
    database.executemany(
        "insert or ignore into name values (?, ?)",
        sorted((fold(name), code) for code, (_, name) in tables.concepts.items()),
    )
    drugs = sorted(tables.drugs(), key=lambda drug: drug.rxcui)
    progress(f"{len(drugs)} drugs")
    database.executemany("insert into drug values (?, ?)", ((drug.rxcui, _body(drug)) for drug in drugs))
    database.executemany(
        "insert into product values (?, ?)",
        sorted((d.ingredient_key, d.rxcui) for d in drugs if d.precision == "product" and d.ingredient_key),
    )
    codes = sorted((row["ndc11"], row["rxcui"]) for row in release.rows("ndc"))
    progress(f"{len(codes)} NDCs")
    database.executemany("insert or ignore into ndc values (?, ?)", codes)
    database.executemany("insert or ignore into class values (?, ?, ?)", sorted(tables.classes()))
    database.execute(
        "insert into meta values ('version', ?)", (f"{release.RELEASE}+{release.content_hash()[:12]}",)
    )


def _body(drug: release.DrugRow) -> str:
    fields = (drug.precision, drug.components, drug.product, drug.brand, drug.form, drug.release)
    return json.dumps([*fields, drug.route, drug.package, drug.inferred], separators=(",", ":"))


class Store:
    """Reader of a built file; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()

    def _all(self, sql: str, *values: str) -> list[Any]:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
            self._local.connection = connection
        return connection.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: str) -> Any:
        found = self._all(sql, *values)
        return found[0] if found else None

    def version(self) -> str:
        return str(self._one("select value from meta where key = 'version'")[0])

    def concept(self, code: str) -> tuple[str, str, str] | None:
        """(code, tty, name)"""
        return self._one("select code, tty, name from concept where code = ?", code)

    def named(self, folded: str) -> list[tuple[str, str, str]]:
        """Concepts whose folded name this is, by code."""
        return self._all(
            "select c.code, c.tty, c.name from name n join concept c on c.code = n.code"
            " where n.folded = ? order by c.code",
            folded,
        )

    def of_types(self, *types: str) -> list[tuple[str, str, str]]:
        """All concepts of some term types: (code, tty, name), by code."""
        marks = ", ".join("?" * len(types))
        return self._all(f"select code, tty, name from concept where tty in ({marks}) order by code", *types)

    def drug(self, code: str) -> list[Any] | None:
        found = self._one("select body from drug where code = ?", code)
        return json.loads(found[0]) if found else None

    def products(self, ingredients: str) -> list[str]:
        """Codes of the products with exactly these ingredients (RxCUIs sorted, joined by +)."""
        return [row[0] for row in self._all("select code from product where ingredients = ?", ingredients)]

    def ndc(self, ndc11: str) -> str | None:
        found = self._one("select code from ndc where ndc11 = ?", ndc11)
        return found[0] if found else None

    def classes(self, ingredient: str) -> list[tuple[str, str]]:
        return self._all("select code, name from class where ingredient = ? order by code", ingredient)


def open_store(directory: Path) -> Store:
    """The store of the shipped tables in `directory`, built there first if it is missing."""
    path = directory / file_name()
    return Store(path if path.exists() else build(directory))
