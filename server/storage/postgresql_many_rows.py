"""Statements that write many rows at once: a column is one array, and the server makes rows of the arrays.

Source: postgresql.org/docs/current/functions-array.html (unnest)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from server.storage.postgresql_values import ARRAYS, Dumped, dump

Rows = Sequence[Sequence[Any]]  # at least one
Statement = tuple[bytes, list[Dumped]]


def insert(table: str, columns: Sequence[str], rows: Rows) -> Statement:
    """Insert rows of ints, floats or texts."""
    dumped, unnest = _columns(rows)
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM {unnest}".encode(), dumped


def add(table: str, columns: Sequence[str], rows: Rows) -> Statement:
    """Insert those rows that are not there yet."""
    text, dumped = insert(table, columns, rows)
    return text + b" ON CONFLICT DO NOTHING", dumped


def change(table: str, id: str, key: Sequence[str], columns: Sequence[str], rows: Rows) -> Statement:
    """Give columns of the rows that have a key other values, in the order of the rows. id: the primary key."""
    dumped, unnest = _columns(rows)
    return _change(table, id, tuple(key), tuple(columns), unnest), dumped


def _columns(rows: Rows) -> tuple[list[Dumped], str]:
    """Rows as parameters, a column as one array, and the SQL that makes rows of them."""
    dumped = [dump(list(values)) for values in zip(*rows, strict=True)]
    arrays = ", ".join(f"${n}::{ARRAYS[column[0]]}" for n, column in enumerate(dumped, 1))
    return dumped, f"unnest({arrays})"


@lru_cache(maxsize=64)
def _change(table: str, id: str, key: tuple[str, ...], columns: tuple[str, ...], unnest: str) -> bytes:
    """The statement of `change`.

    Made for an empty table it must do for a full one. With a plain join the planner would then go through the
    whole table in the order of an index. So rows are looked up by their key, one given row after the other, and
    changed by their id, with a condition that is none to join by.
    """
    given = f"{unnest} given({', '.join((*key, *columns))})"
    same = " AND ".join(f"{column} = given.{column}" for column in key)
    found = f"CROSS JOIN LATERAL (SELECT {id} FROM {table} WHERE {same} OFFSET 0) found"
    still = " AND ".join(f"old.{column} IS NOT DISTINCT FROM new.{column}" for column in key)
    return (
        f"UPDATE {table} old SET {', '.join(f'{column} = new.{column}' for column in columns)}"
        f" FROM (SELECT given.*, found.{id} FROM {given} {found} OFFSET 0) new"
        f" WHERE old.{id} = ANY(ARRAY[new.{id}]) AND {still}"
    ).encode()
