"""The databases of the benchmarks: one of each size, filled once through the store and copied for every run.

SQLite files are kept in the temporary folder under a name that follows from their content's makers, so that
they are made again when storage, index or charts change. PostgreSQL runs in a throwaway cluster of its own.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import click
from bare import prepare as prepare_bare
from charts import CHART, grow

from server.storage import open_store
from server.storage.database_store import DatabaseStore

ROOT = Path(__file__).resolve().parent.parent
_MAKERS = ("benchmarks/charts.py", "benchmarks/care_charts.py", "server/storage", "server/fhir")
_KEPT = Path(tempfile.gettempdir()) / "baton-benchmarks"

Grow = Callable[[DatabaseStore, range], Iterator[int]]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Charts of one kind. name: of its files. resources: of a patient. grow: writes the charts of patients."""

    name: str
    resources: int
    grow: Grow


CHARTS = DataSet("charts", CHART, grow)


def _key() -> str:
    digest = hashlib.sha256()
    for name in _MAKERS:
        place = ROOT / name
        for file in [place] if place.is_file() else sorted(place.rglob("*")):
            if file.suffix in (".py", ".sql", ".json"):
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _forget_old() -> None:
    """Remove what earlier states of the code left a day ago or more."""
    for folder in _KEPT.iterdir():
        if folder.name != _key() and folder.stat().st_mtime < time.time() - 86_400:
            shutil.rmtree(folder, ignore_errors=True)


def _fill(store: DatabaseStore, charts: DataSet, size: int, label: str) -> None:
    store.upgrade()
    # A bar of another terminal's work helps nobody: it is shown on standard error only.
    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
        for written in charts.grow(store, range(size // charts.resources)):
            bar.update(written)
    store.checkpoint(truncate=True)


def tests_postgresql() -> Any:
    """The module of the tests that starts throwaway clusters."""
    folder = str(ROOT / "tests")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return import_module("postgresql")


def can_run_postgresql() -> bool:
    """Whether the server programs are installed."""
    module = tests_postgresql()
    try:
        module.programs()
    except module.PostgresqlMissing:
        return False
    return True


class Sqlite:
    """Files in a folder of this run."""

    name = "sqlite"

    def __init__(self, folder: Path, charts: DataSet = CHARTS) -> None:
        self._folder = folder
        self._charts = charts
        self._copies = count()

    def open(self, size: int) -> tuple[str, str]:
        """URLs of two copies of the data set: for the server, and for the bare limits."""
        urls = self.open_one(size), self._copy(size, "bare")
        prepare_bare(urls[1])
        return urls

    def open_one(self, size: int) -> str:
        """The URL of a copy of the data set for the server."""
        return self._copy(size, "server")

    def _copy(self, size: int, role: str) -> str:
        copy = self._folder / f"{role}-{size}-{next(self._copies)}.sqlite3"
        shutil.copyfile(self._kept(size), copy)
        return f"sqlite:///{copy}"

    def _kept(self, size: int) -> Path:
        kept = _KEPT / _key() / f"{self._charts.name}-{size}.sqlite3"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            _forget_old()
            making = kept.with_suffix(".making")
            making.unlink(missing_ok=True)
            store = open_store(f"sqlite:///{making}")
            _fill(store, self._charts, size, f"filling SQLite with {size:,}")
            store.close()
            making.rename(kept)
        return kept

    def bytes_of(self, url: str) -> int:
        """Size of the database on disk."""
        return Path(url.removeprefix("sqlite:///")).stat().st_size

    def close(self) -> None:
        """Nothing runs; the files go with the folder of the run."""


class Postgresql:
    """A throwaway cluster; each data set is filled once and copied as a template."""

    name = "postgresql"

    def __init__(self, folder: Path, charts: DataSet = CHARTS) -> None:
        self._charts = charts
        self._number = count()
        self._filled: set[int] = set()
        self._cluster = tests_postgresql().Cluster(
            max_connections="200", shared_buffers="512MB", max_wal_size="4GB"
        )
        self._cluster.start()

    def open(self, size: int) -> tuple[str, str]:
        """As `Sqlite.open`."""
        ours, bare = self._copies(size, ("server", "bare"))
        prepare_bare(bare)
        return ours, bare

    def open_one(self, size: int) -> str:
        """As `Sqlite.open_one`."""
        return self._copies(size, ("server",))[0]

    def _copies(self, size: int, roles: Sequence[str]) -> list[str]:
        import psycopg

        filled, number = f"filled_{size}", next(self._number)
        if size not in self._filled:
            store = open_store(self._cluster.create_database(filled))
            _fill(store, self._charts, size, f"filling PostgreSQL with {size:,}")
            store.close()
            self._filled.add(size)
        names = [f"{role}_{size}_{number}" for role in roles]
        with psycopg.connect(self._cluster.url("postgres"), autocommit=True) as connection:
            for name in names:
                connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{filled}"')
        urls = [self._cluster.url(name) for name in names]
        for url in urls:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
        return urls

    def bytes_of(self, url: str) -> int:
        """Size of the database on disk."""
        import psycopg

        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row
        return int(row[0])

    def close(self) -> None:
        """End the cluster and delete it."""
        self._cluster.remove()


DATABASES = {"sqlite": Sqlite, "postgresql": Postgresql}
