"""What a chart takes in the database, measured: the synthetic charts are loaded through the server's own door.

Sizes are those of the whole relation: table, indexes, and what PostgreSQL keeps out of line.
"""

from __future__ import annotations

import importlib.util
import math
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from server.app import make_context
from server.demo_data.fill import fill
from server.settings import read_settings
from server.storage import open_store

ROOT = Path(__file__).resolve().parents[1]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
# Tables whose rows stay with the resource they are of, by `rid`. What a relay removes again is not counted.
TABLES = (
    "resource", "version", "token", "date_value", "string_value", "quantity_value", "uri_value",
    "reference_value", "compartment",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChartSizes:
    """rows, bytes_a_row: by table, bytes with indexes. resources: of each chart. kinds: how many resources
    belong to one chart, to several, to none. shared: types of those that belong to none, with their number.
    """

    database: str
    rows: dict[str, int]
    bytes_a_row: dict[str, float]
    resources: tuple[int, ...]
    kinds: dict[str, int]
    shared: dict[str, int]

    @property
    def rows_a_resource(self) -> float:
        return sum(self.rows.values()) / self.rows["resource"]

    @property
    def bytes_a_resource(self) -> float:
        return sum(self.rows[t] * self.bytes_a_row[t] for t in self.rows) / self.rows["resource"]

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithm of a chart's number of resources."""
        return statistics.stdev(math.log(count) for count in self.resources)


def measure(database: str) -> ChartSizes:
    """Load every synthetic chart into a throwaway database and look. database: sqlite or postgresql."""
    with tempfile.TemporaryDirectory() as folder, _url(database, Path(folder)) as url:
        given = {"BATON_HOME": folder, "BATON_SECRET_KEY": "s" * 32, "BATON_TIME_ZONE": "America/New_York"}
        store = open_store(url)
        store.upgrade()
        fill(make_context(read_settings(given), store), NOW, ())
        store.checkpoint()
        with store.database.writing() as connection:
            sizes = _look(connection, database)
        store.close()
        return sizes


def _look(connection: Any, database: str) -> ChartSizes:
    def one(sql: str) -> int:
        return int(connection.execute(sql).fetchone()[0] or 0)

    rows = {table: one(f"SELECT count(*) FROM {table}") for table in TABLES}
    if database == "postgresql":
        size = {table: one(f"SELECT pg_total_relation_size('{table}')") for table in TABLES}
    else:
        size = {
            table: one(
                "SELECT sum(pgsize) FROM dbstat WHERE aggregate = 1 AND name IN"
                f" (SELECT name FROM sqlite_master WHERE tbl_name = '{table}')"
            )
            for table in TABLES
        }
    charts = connection.execute(
        "SELECT count(*) FROM resource WHERE patient IS NOT NULL GROUP BY patient ORDER BY 1"
    ).fetchall()
    several = one(
        "SELECT count(*) FROM resource WHERE patient IS NULL AND rid IN (SELECT rid FROM compartment)"
    )
    own = one("SELECT count(*) FROM resource WHERE patient IS NOT NULL")
    shared = connection.execute(
        "SELECT type, count(*) FROM resource WHERE patient IS NULL"
        " AND rid NOT IN (SELECT rid FROM compartment) GROUP BY type ORDER BY 2 DESC"
    ).fetchall()
    return ChartSizes(
        database=database,
        rows=rows,
        bytes_a_row={table: size[table] / max(1, rows[table]) for table in TABLES},
        resources=tuple(int(row[0]) for row in charts),
        kinds={"one": own, "several": several, "none": rows["resource"] - own - several},
        shared={str(kind): int(count) for kind, count in shared},
    )


@contextmanager
def _url(database: str, folder: Path) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{folder / 'baton.sqlite3'}"
        return
    cluster = _postgresql().Cluster()
    try:
        cluster.start()
        yield cluster.create_database("chart_sizes")
    finally:
        cluster.remove()


def _postgresql() -> ModuleType:
    spec = importlib.util.spec_from_file_location("postgresql", ROOT / "tests" / "postgresql.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["postgresql"] = module
    spec.loader.exec_module(module)
    return module
