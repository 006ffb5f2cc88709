"""Whole tables out of a database and into an empty one of either kind.

Which tables and columns there are is asked of the database itself, so that the table of a later migration is
copied without anybody thinking of it. The neutral form of a row is a tuple of int, float, str, bytes and None;
token hashes, which the two databases keep differently, are 8 little-endian bytes each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from server.storage.database import Connection, Row
from server.storage.dialect import SQLITE
from server.storage.instants import milliseconds

# Not copied: the number of the schema is the backup's, hashes stand in `resource` too, and positions in segment
# files are told anew (`audit_tails`).
LEFT_OUT = frozenset({"schema_version", "token", "audit_segment"})
_FILLING_KIB = 256 * 1024
_ONE_ROW = "only"  # the column of tables with one row, which the migration puts there
_HASHES = {"resource": "tokens"}  # table -> the column that holds token hashes

_CATALOG = {
    "sqlite": """
SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_xinfo(m.name) AS c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite~_%' ESCAPE '~' AND c.hidden = 0 ORDER BY m.name, c.cid
""",
    "postgresql": """
SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY c.relname, a.attnum
""",
}
_COUNTERS = """
SELECT setval(s.sequence::regclass, greatest(s.last, 1), s.last > 0)
FROM (SELECT pg_get_serial_sequence(:table, :column) AS sequence,
      (SELECT coalesce(max("{column}"), 0) FROM "{table}") AS last) AS s
"""
_IDENTITIES = """
SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
AND a.attidentity <> '' AND NOT a.attisdropped
"""


def tables(connection: Connection) -> dict[str, tuple[str, ...]]:
    """The tables to copy with their columns, in the order of their names."""
    found: dict[str, tuple[str, ...]] = {}
    for table, column in connection.execute(_CATALOG[connection.dialect.name]).fetchall():
        if table not in LEFT_OUT:
            found[table] = (*found.get(table, ()), column)
    return found


def count(connection: Connection, table: str) -> int:
    """How many rows a table has."""
    return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])


def occupied(connection: Connection) -> str | None:
    """A table that holds rows other than a migration's own, None for a new database."""
    for table, columns in tables(connection).items():
        if _ONE_ROW not in columns and connection.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone():
            return table
    return None


def read_rows(connection: Connection, table: str, columns: Sequence[str]) -> Iterator[Row]:
    """All rows of a table in neutral form, in flat memory."""
    names = ", ".join(f'"{column}"' for column in columns)
    found = connection.stream(f'SELECT {names} FROM "{table}"')
    if table not in _HASHES or connection.dialect.name == SQLITE.name:
        return found
    place = columns.index(_HASHES[table])
    unpack = connection.dialect.unpack
    return ((*row[:place], SQLITE.pack(unpack(row[place])), *row[place + 1 :]) for row in found)


def write_rows(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert rows in neutral form, and what the database derives from them."""
    if table not in _HASHES:
        connection.fill(table, columns, rows)
        return
    place, internal = columns.index(_HASHES[table]), columns.index("rid")
    hashes = [(row[internal], SQLITE.unpack(row[place])) for row in rows]
    pack = connection.dialect.pack
    connection.fill(
        table,
        columns,
        ((*row[:place], pack(own), *row[place + 1 :]) for row, (_, own) in zip(rows, hashes, strict=True)),
    )
    if _has_token_table(connection):
        # In the order of the table's key, so that neighbours are written together.
        connection.fill("token", ("hash", "rid"), sorted((hash, rid) for rid, own in hashes for hash in own))


def _has_token_table(connection: Connection) -> bool:
    catalog = connection.execute(_CATALOG[connection.dialect.name]).fetchall()
    return any(table == "token" for table, _ in catalog)


def prepare(connection: Connection) -> None:
    """Before the first row: empty the tables of one row, which the backup's row replaces."""
    if connection.dialect.name == SQLITE.name:
        # Rows of `token` fall all over its tree; pages that do not fit are written to the log again and again.
        connection.execute(f"PRAGMA cache_size = -{_FILLING_KIB}")
    for table, columns in tables(connection).items():
        if _ONE_ROW in columns:
            connection.execute(f'DELETE FROM "{table}"')


def finish(connection: Connection, now: datetime) -> None:
    """After the last row: counters go on where the rows end, and the security epoch is one never seen before.

    A process that still remembers tokens of another database must not take this one's epoch for its own, so
    the epoch is at least the time in milliseconds.
    """
    connection.execute(
        "UPDATE security_epoch SET value = CASE WHEN value >= :now THEN value + 1 ELSE :now END",
        {"now": milliseconds(now)},
    )
    if connection.dialect.name != "postgresql":
        return  # SQLite counts from the highest number there is
    for table, column in connection.execute(_IDENTITIES).fetchall():
        connection.execute(
            _COUNTERS.format(table=table, column=column), {"table": f'"{table}"', "column": column}
        ).fetchone()
