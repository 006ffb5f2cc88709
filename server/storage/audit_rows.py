"""Audit rows as columns, and the rows that wait to be sealed.

A row never holds content. What could carry it (an id out of a path, a detail) is checked where rows are made;
here text is only brought into a form that every database and every line of a segment can hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any

from server.storage.audit_values import AuditRow
from server.storage.database import Connection
from server.storage.instants import instant, milliseconds

# Field of AuditRow -> column of `audit` and `audit_chain`.
COLUMNS = {field.name: field.name for field in fields(AuditRow)} | {
    "resource_type": "type",
    "id": "resource_id",
    "version_id": "version",
}
NAMES = tuple(COLUMNS)
_LIST = ", ".join(COLUMNS.values())
INSERT = f"INSERT INTO audit ({_LIST}) VALUES ({', '.join(f':{name}' for name in NAMES)})"


_TEXTS = tuple(field.name for field in fields(AuditRow) if field.type in (str, "str"))
_fields, _texts = attrgetter(*NAMES), attrgetter(*_TEXTS)


def column_list(alias: str) -> str:
    """The columns of a row in the order that `audit_row` takes them."""
    return ", ".join(f"{alias}.{column}" for column in COLUMNS.values())


def row_values(row: AuditRow) -> dict[str, Any]:
    """A row as parameters of INSERT. recorded: milliseconds since 1970 UTC."""
    values = dict(zip(NAMES, _fields(row), strict=True))
    values["recorded"] = milliseconds(row.recorded)
    together = "".join(_texts(row))
    if together.isascii() and "\0" not in together:  # hardly any row has more than that
        return values
    for name in _TEXTS:
        # What UTF-8 cannot say (half of a surrogate pair), and what PostgreSQL's text cannot hold.
        values[name] = values[name].encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    return values


def audit_row(values: Iterable[Any]) -> AuditRow:
    """The row of the columns of `column_list`."""
    recorded, *more = values
    return AuditRow(instant(recorded), *more)


def insert(connection: Connection, row: AuditRow) -> None:
    """Add a row to the open transaction."""
    connection.later(INSERT, row_values(row))


def newest_rows(connection: Connection, *, limit: int) -> tuple[AuditRow, ...]:
    """The last rows, sealed or not, newest first."""
    waiting = connection.execute(
        f"SELECT {column_list('a')} FROM audit a ORDER BY a.id DESC LIMIT :limit", {"limit": limit}
    ).fetchall()
    sealed = connection.execute(
        f"SELECT {column_list('a')} FROM audit_chain a ORDER BY a.sequence DESC LIMIT :limit",
        {"limit": limit - len(waiting)},
    ).fetchall()
    return tuple(audit_row(row) for row in (*waiting, *sealed))
