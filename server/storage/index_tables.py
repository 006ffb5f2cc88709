"""The index rows of one resource in their tables: written as the difference to what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from server.fhir.hashing import reference_hash
from server.fhir.index_rows import IndexRows
from server.storage.database import Connection

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class IndexTable:
    """One table of typed values: its columns after `rid`, and where IndexRows keeps them."""

    name: str
    columns: tuple[str, ...]
    rows: Callable[[IndexRows], tuple[Values, ...]]

    @property
    def delete(self) -> str:
        same = " AND ".join(f"{column} = :{column}" for column in self.columns)
        return f"DELETE FROM {self.name} WHERE rid = :rid AND {same}"

    @property
    def select(self) -> str:
        return f"SELECT {', '.join(self.columns)} FROM {self.name} WHERE rid = :rid"


TABLES = (
    IndexTable(
        "date_value",
        ("parameter", "low", "high"),
        attrgetter("dates"),
    ),
    IndexTable(
        "string_value",
        ("parameter", "normal", "exact"),
        attrgetter("strings"),
    ),
    IndexTable(
        "quantity_value",
        ("parameter", "low", "high", "unit"),
        attrgetter("quantities"),
    ),
    IndexTable(
        "uri_value",
        ("parameter", "uri"),
        attrgetter("uris"),
    ),
    IndexTable(
        "reference_value",
        ("parameter", "target"),
        attrgetter("references"),
    ),
)

# What a resource of the types that say so says of who may know which chart.
RELATIONS = (
    IndexTable(
        "relationship",
        ("actor", "patient", "starts", "until"),
        lambda index: index.relations.relationships if index.relations else (),
    ),
    IndexTable(
        "membership",
        ("member", "party", "kind", "starts", "until"),
        lambda index: index.relations.memberships if index.relations else (),
    ),
)


def _statements(tables: tuple[IndexTable, ...]) -> tuple[_Statements, ...]:
    return tuple((table, ("rid", *table.columns), table.delete, table.select) for table in tables)


# The statements of a table, made once.
_Statements = tuple[IndexTable, tuple[str, ...], str, str]
_OF_VALUES, _OF_RELATIONS = _statements(TABLES), _statements(RELATIONS)


def write_values(connection: Connection, rid: int, index: IndexRows, *, new: bool) -> None:
    """Make the typed tables hold exactly these rows of the resource. new: it has none yet."""
    _write(connection, _OF_VALUES, rid, index, new)


def write_relations(connection: Connection, rid: int, index: IndexRows, *, new: bool) -> None:
    """The same of its relationships and memberships; nothing where its type never has any."""
    if index.relations is not None:
        _write(connection, _OF_RELATIONS, rid, index, new)


def remove_relations(connection: Connection, rid: int) -> None:
    """A resource that is deleted relates nobody any more."""
    for table in RELATIONS:
        connection.execute(f"DELETE FROM {table.name} WHERE rid = :rid", {"rid": rid})


def _write(
    connection: Connection, statements: tuple[_Statements, ...], rid: int, index: IndexRows, new: bool
) -> None:
    if new:
        for table, columns, _, _ in statements:
            if rows := table.rows(index):
                connection.insert(table.name, columns, [(rid, *row) for row in rows])
        return
    # All are asked before any is answered: that is one way to the database and back.
    asked = [connection.execute(select, {"rid": rid}) for *_, select in statements]
    stored = [set(answer.fetchall()) for answer in asked]
    for (table, columns, delete, _), present in zip(statements, stored, strict=True):
        wanted = set(table.rows(index))
        if wanted == present:
            continue
        if present:
            connection.executemany(
                delete,
                [{"rid": rid, **dict(zip(table.columns, row, strict=True))} for row in present - wanted],
            )
        connection.insert(table.name, columns, [(rid, *row) for row in wanted - present])


def write_tokens(connection: Connection, rid: int, wanted: frozenset[int], present: frozenset[int]) -> None:
    """Turn the resource's token rows from present into wanted, in the order of the tree."""
    if present - wanted:
        connection.executemany(
            "DELETE FROM token WHERE hash = :hash AND rid = :rid",
            [{"hash": hash, "rid": rid} for hash in present - wanted],
        )
    if wanted - present:
        connection.insert("token", ("hash", "rid"), [(hash, rid) for hash in sorted(wanted - present)])


def compartment_hashes(index: IndexRows) -> frozenset[int]:
    return frozenset(reference_hash(f"Patient/{patient}") for patient in index.compartments)


def write_compartments(
    connection: Connection,
    rid: int,
    resource_type: str,
    wanted: frozenset[int],
    present: frozenset[int],
) -> None:
    """Turn the compartments the resource is in from present into wanted."""
    if wanted == present:
        return
    if present - wanted:
        connection.executemany(
            "DELETE FROM compartment WHERE patient = :patient AND type = :type AND rid = :rid",
            [{"patient": patient, "type": resource_type, "rid": rid} for patient in present - wanted],
        )
    connection.insert(
        "compartment",
        ("patient", "type", "rid"),
        [(patient, resource_type, rid) for patient in wanted - present],
    )
