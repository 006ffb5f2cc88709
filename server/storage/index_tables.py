"""The index rows of one resource in their tables: read by one statement, written as the difference to what is
there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

from server.fhir.hashing import reference_hash
from server.fhir.index_rows import IndexRows
from server.storage.database import Connection

Values = tuple[Any, ...]


# What a row of `stored_sql` holds behind the number of its table: whole numbers, fractions, texts.
_SLOTS = ("n",) * 5 + ("f",) * 2 + ("t",) * 2
_TYPES = {"n": "bigint", "f": "double precision", "t": "text"}


@dataclass(frozen=True, slots=True)
class IndexTable:
    """One table of typed values: its columns after `rid`, of which kind each is (a letter of `_TYPES`), and
    where IndexRows keeps them."""

    name: str
    columns: tuple[str, ...]
    kinds: str
    rows: Callable[[IndexRows], tuple[Values, ...]]

    @property
    def delete(self) -> str:
        same = " AND ".join(f"{column} = :{column}" for column in self.columns)
        return f"DELETE FROM {self.name} WHERE rid = :rid AND {same}"

    @property
    def places(self) -> tuple[int, ...]:
        """Where its columns stand in a row of `stored_sql`."""
        free = {kind: [n for n, slot in enumerate(_SLOTS, 1) if slot == kind] for kind in _TYPES}
        return tuple(free[kind].pop(0) for kind in self.kinds)


TABLES = (
    IndexTable(
        "date_value",
        ("parameter", "low", "high"),
        "nnn",
        attrgetter("dates"),
    ),
    IndexTable(
        "string_value",
        ("parameter", "normal", "exact"),
        "ntt",
        attrgetter("strings"),
    ),
    IndexTable(
        "quantity_value",
        ("parameter", "low", "high", "unit"),
        "nffn",
        attrgetter("quantities"),
    ),
    IndexTable(
        "uri_value",
        ("parameter", "uri"),
        "nt",
        attrgetter("uris"),
    ),
    IndexTable(
        "reference_value",
        ("parameter", "target"),
        "nn",
        attrgetter("references"),
    ),
)

# What a resource of the types that say so says of who may know which chart.
RELATIONS = (
    IndexTable(
        "relationship",
        ("actor", "patient", "starts", "until"),
        "nnnn",
        lambda index: index.relations.relationships if index.relations else (),
    ),
    IndexTable(
        "membership",
        ("member", "party", "kind", "starts", "until"),
        "nnnnn",
        lambda index: index.relations.memberships if index.relations else (),
    ),
)


_COMPARTMENT = IndexTable("compartment", ("patient",), "n", lambda index: ())
_ALL = (_COMPARTMENT, *TABLES, *RELATIONS)
# What is needed of a table, made once.
_COLUMNS = {table.name: ("rid", *table.columns) for table in _ALL}
_DELETIONS = {table.name: table.delete for table in _ALL}
_GETTERS = tuple(itemgetter(*table.places) for table in _ALL)


@dataclass(frozen=True, slots=True)
class StoredRows:
    """The index rows of a resource as they stand, by their table's name, and the compartments that it is in."""

    values: Mapping[str, set[Values]] = field(default_factory=dict)
    compartments: frozenset[int] = frozenset()


NO_ROWS = StoredRows()


@lru_cache(maxsize=8)
def stored_sql(rid: str, *, relations: bool) -> str:
    """The statement whose rows are those of one resource in all tables. rid: a SQL expression. relations:
    relationships and memberships are among them."""
    tables = _ALL if relations else _ALL[: -len(RELATIONS)]
    return " UNION ALL ".join(_of_table(number, table, rid) for number, table in enumerate(tables))


def _of_table(number: int, table: IndexTable, rid: str) -> str:
    columns = dict(zip(table.places, table.columns, strict=True))
    shown = [
        columns.get(place) or (f"CAST(NULL AS {_TYPES[slot]})" if number == 0 else "NULL")
        for place, slot in enumerate(_SLOTS, 1)
    ]
    return f"SELECT {number}, {', '.join(shown)} FROM {table.name} WHERE rid = {rid}"


def stored_rows(rows: Iterable[Values]) -> StoredRows:
    """What the statement of `stored_sql` has answered."""
    values: dict[str, set[Values]] = {}
    compartments = set()
    for row in rows:
        number = row[0]
        if number:
            values.setdefault(_ALL[number].name, set()).add(_GETTERS[number](row))
        else:
            compartments.add(_GETTERS[number](row))
    return StoredRows(values, frozenset(compartments))


def write_values(connection: Connection, rid: int, index: IndexRows, stored: StoredRows) -> None:
    """Make the typed tables hold exactly these rows of the resource. stored: what they hold of it. Of its
    relations nothing is written where its type never has any."""
    for table in TABLES + RELATIONS:
        rows, present = table.rows(index), stored.values.get(table.name)
        if not (rows or present):
            continue
        wanted = set(rows)
        if present:
            if gone := present - wanted:
                connection.executemany(
                    _DELETIONS[table.name],
                    [{"rid": rid, **dict(zip(table.columns, row, strict=True))} for row in gone],
                )
            wanted -= present
        connection.insert(table.name, _COLUMNS[table.name], [(rid, *row) for row in wanted])


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
