"""The one SQLite file of the terminology: built once, then only read. What drugs are asked of it.

Code systems in general are read by `concepts`; this is RxNorm resolved for reconciliation.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from terminology import editions, tier_a
from terminology.carrying import carry_over, loads
from terminology.carrying import edition as edition_of
from terminology.connection import Connection
from terminology.drugs import write_drugs
from terminology.systems import RXNORM
from terminology.writing import Writer

Progress = Callable[[str], None]


def file_name() -> str:
    """Name of the file that the shipped tables and this code build."""
    return editions.base_name()


def build(directory: Path, progress: Progress = lambda words: None) -> Path:
    """Build the file of the shipped tables in `directory` and make it current in one step; returns its path.

    What was loaded there is taken over. Builders and loads of one directory wait for each other.
    """
    with editions.alone(directory):
        return _build(directory, progress)


def current_or_built(directory: Path) -> Path:
    """The current file, built if there is none; for a caller that is `editions.alone`."""
    return editions.current(directory) or _build(directory, lambda words: None)


def _build(directory: Path, progress: Progress) -> Path:
    old = editions.with_loads(directory)
    loaded = loads(old) if old else ()
    edition = edition_of(editions.base(), loaded)
    with editions.scratch(directory) as scratch:
        with closing(connect(scratch)) as database:
            writer = Writer(database)
            writer.create()
            _fill(writer, progress)
            if old and loaded:
                carry_over(writer, old)
                progress(f"{len(loaded)} loaded releases taken over")
            elif old:
                progress(f"{old.name} has other tables: load its releases again")
            finish(writer, edition)
        return editions.publish(scratch, directory, editions.file_name(edition))


def connect(scratch: Path) -> sqlite3.Connection:
    """A connection to a file that nobody reads yet and that is thrown away if anything goes wrong."""
    database = sqlite3.connect(scratch, uri=True)
    database.executescript("pragma journal_mode=off; pragma synchronous=off; pragma cache_size=-65536;")
    return database


def _fill(writer: Writer, progress: Progress) -> None:
    tier_a.write(writer, progress)


def finish(writer: Writer, edition: str, drugs: bool = True) -> None:
    """Indexes, drugs resolved from the default RxNorm, statistics; then the file is whole."""
    writer.index()
    if drugs:
        write_drugs(writer.database)
    writer.meta("edition", edition)
    writer.database.execute("analyze")
    writer.database.commit()


class Store:
    """Reader of a built file; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = Connection(path)

    def version(self) -> str:
        """The RxNorm release and the checksum of its tables or file: `rxnorm-2025-11+1a2b...`."""
        release, checksum = self._db.one(
            "select version, sha256 from code_system where url = ? and is_default", RXNORM
        )
        return f"rxnorm-{release}+{checksum[:12]}"

    def concept(self, code: str) -> tuple[str, str, str] | None:
        """(code, tty, name)"""
        return self._db.one(
            "select code, kind, display from concept where code = ? and cs ="
            " (select id from code_system where url = ? and is_default)",
            code,
            RXNORM,
        )

    def named(self, folded: str) -> list[tuple[str, str, str]]:
        """Concepts whose folded name this is, by code."""
        return self._db.all(
            "select c.code, c.kind, c.display from name n join concept c on c.code = n.code and c.cs ="
            " (select id from code_system where url = ? and is_default)"
            " where n.folded = ? order by c.code",
            RXNORM,
            folded,
        )

    def drug(self, code: str) -> list[Any] | None:
        """The fields of `rxnorm.Drug` in order, as JSON has them; None for what resolves to no ingredient."""
        found = self._db.one("select body from drug where code = ?", code)
        return json.loads(found[0]) if found else None

    def products(self, ingredients: str) -> list[str]:
        """Codes of the products with exactly these ingredients (RxCUIs sorted, joined by +)."""
        return [
            row[0]
            for row in self._db.all("select code from product where ingredients = ? order by code", ingredients)
        ]

    def ndc(self, ndc11: str) -> str | None:
        """The RxCUI of an NDC of 11 digits."""
        found = self._db.one("select rxcui from ndc where ndc11 = ?", ndc11)
        return found[0] if found else None

    def classes(self, ingredient: str) -> list[tuple[str, str]]:
        """(class, name) of an ingredient's established pharmacologic classes, by class."""
        return self._db.all(
            "select distinct code, name from class where ingredient = ? and type = 'EPC' order by code",
            ingredient,
        )

    def classes_of_type(self, ingredient: str, kind: str) -> list[tuple[str, str, str]]:
        """(class, name, who says so) of one type: EPC, MOA, PE or CHEM."""
        return self._db.all(
            "select code, name, source from class where ingredient = ? and type = ? order by code, source",
            ingredient,
            kind,
        )


def open_store(directory: Path) -> Store:
    """The store in `directory` with what was loaded there, built from the shipped tables if it is missing."""
    path = editions.current(directory)
    if path is None:
        with editions.alone(directory):
            path = current_or_built(directory)
    return Store(path)
