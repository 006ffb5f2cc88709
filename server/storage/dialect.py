"""Where SQLite and PostgreSQL differ. All other SQL of this package is written for both.

A dialect is an object with these members; SQL text is otherwise the same. Parameters are named; `Parameters`
collects them while a statement is built.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Any, Protocol

from server.errors import FhirError

# SQLite takes 32,766 parameters a statement unless built for more, PostgreSQL 65,535.
PARAMETERS_MAXIMUM = 32_000

# More values than this travel as one array parameter, so that the text of a statement stays short and
# the number of prepared statements small.
_LISTED = 32


class Dialect(Protocol):
    """The differences, each as a function from column names and placeholders to SQL text."""

    name: str
    # A statement in a write transaction: nobody else writes a resource before its end, and all who did have
    # ended. The other one: as a writer, so that these two exclude each other. "" where there is one writer
    # anyway.
    keep_writers_out: str
    join_writers: str
    for_update: str  # behind a SELECT in a write transaction: nobody else changes these rows before its end

    def placeholder(self, name: str) -> str:
        """The parameter `name` inside a statement."""

    def array(self, values: Collection[int | str]) -> Any:
        """Many values as one parameter."""

    def in_array(self, placeholder: str) -> str:
        """What follows a column to ask whether it is one of an `array` parameter's values."""

    def each(self, placeholder: str) -> str:
        """A FROM item `each`: the values of an `array` parameter as its column `value`, one after the other."""

    def in_rows(self, select: str) -> str:
        """What follows a column to ask whether it is a value of a SELECT that depends on no row around it: run
        once, and each of its values looked up."""

    def unindexed(self, column: str) -> str:
        """The column, not to be looked up by an index: where another one is known to be the better way."""

    def contains(self, column: str, placeholder: str) -> str:
        """The text column contains the parameter's text."""

    def limit(self, number: int, bind: Callable[[int], str]) -> str:
        """What follows LIMIT or OFFSET."""

    def exists(self, source: str, where: str) -> str:
        """Whether there is such a row; asked for one row of the statement around it after the other."""

    def probe(self, table: str, alias: str, key: str, where: str) -> str:
        """`exists` on one table: rows are found by the key, whatever index `where` might use."""

    def before(
        self, table: str, alias: str, key: Mapping[str, str], column: str, below: str, where: str
    ) -> str:
        """`exists` on one table for these values of the key, and a positive number below one.

        Rows are found by the index on the key's columns and the number's, whatever index `where` might use; it
        must be the only one that begins with the key's first column.
        """

    def follow(self, table: str, alias: str, key: str) -> str:
        """Behind a FROM item: each of its rows with those that the key finds; in that order of work."""

    def arrivals(self, alias: str, kind: str, from_: str) -> tuple[str, str]:
        """A condition and an order on `resource`: the current rows of a type from a rid on, by their rids.

        Only the type's index can answer it: the primary key, in the same order, passes over all other types.
        """

    def again(self, order: str) -> str:
        """Behind a subquery with this order and a limit: its rows, one after the other, in that order."""

    def text_equals(self, column: str, text: str, bind: Callable[[str], str]) -> str:
        """An indexed text column is equal to the text."""

    def text_between(self, column: str, low: str, high: str, bind: Callable[[str], str]) -> str:
        """An indexed text column is at least low and below high, bytewise."""

    def explain(self, sql: str) -> str:
        """A statement that asks for the plan of another one, with the same parameters."""

    def steps(self, plan: Iterable[Any]) -> list[str]:
        """The steps of a plan out of its rows, without the values that are compared."""

    def pack(self, hashes: Iterable[int]) -> Any:
        """Token hashes as the resource row keeps them."""

    def unpack(self, value: Any) -> frozenset[int]:
        """The inverse of `pack`."""

    def packed_any(self, column: str, hashes: Iterable[int], bind: Callable[[Any], str]) -> str:
        """Any of the hashes is among those that the column keeps packed.

        A row costs the same however many are asked for, where probes would cost a look-up each.
        """


def pack_hashes(hashes: Iterable[int]) -> bytes:
    """Hashes in order, 8 bytes each."""
    ordered = sorted(hashes)
    return struct.pack(f"<{len(ordered)}q", *ordered)


def unpack_hashes(value: bytes) -> frozenset[int]:
    """The inverse of `pack_hashes`."""
    return frozenset(struct.unpack(f"<{len(value) // 8}q", value))


_ASKED_MAXIMUM = 16
_asked: dict[bytes, frozenset[int]] = {}


def packed_any(packed: bytes, key: bytes, wanted: bytes) -> bool:
    """SQLite's function for `packed_any`: key stands for wanted, so that those are unpacked once."""
    hashes = _asked.get(key)
    if hashes is None:
        if len(_asked) >= _ASKED_MAXIMUM:
            _asked.clear()
        hashes = _asked[key] = unpack_hashes(wanted)
    return not hashes.isdisjoint(struct.unpack(f"<{len(packed) // 8}q", packed))


class SqliteDialect:
    name = "sqlite"
    keep_writers_out = join_writers = ""
    for_update = ""  # there is one write transaction at a time

    def placeholder(self, name: str) -> str:
        return f":{name}"

    def array(self, values: Collection[int | str]) -> str:
        return json.dumps(list(values))

    def in_array(self, placeholder: str) -> str:
        return f"IN (SELECT value FROM json_each({placeholder}))"

    def each(self, placeholder: str) -> str:
        return f"json_each({placeholder}) each"

    def in_rows(self, select: str) -> str:
        return f"IN ({select})"

    def unindexed(self, column: str) -> str:
        return f"+{column}"  # without statistics SQLite prefers a range of any index to a clustered probe

    def contains(self, column: str, placeholder: str) -> str:
        return f"instr({column}, {placeholder}) > 0"

    def limit(self, number: int, bind: Callable[[int], str]) -> str:
        return bind(number)

    def exists(self, source: str, where: str) -> str:
        return f"EXISTS (SELECT 1 FROM {source} WHERE {where})"

    def probe(self, table: str, alias: str, key: str, where: str) -> str:
        return self.exists(f"{table} {alias}", f"{key} AND {where}")

    def before(
        self, table: str, alias: str, key: Mapping[str, str], column: str, below: str, where: str
    ) -> str:
        equal = "".join(f"{alias}.{name} = {value} AND " for name, value in key.items())
        return self.exists(f"{table} {alias}", f"{equal}{alias}.{column} < {below} AND {where}")

    def follow(self, table: str, alias: str, key: str) -> str:
        return f"CROSS JOIN {table} {alias} ON {key}"

    def arrivals(self, alias: str, kind: str, from_: str) -> tuple[str, str]:
        return f"{alias}.type = {kind} AND {alias}.deleted = 0 AND {alias}.rid >= {from_}", f"{alias}.rid"

    def again(self, order: str) -> str:
        # A subquery with a limit is a co-routine, whose rows come as they are ordered; asked for the order
        # again, SQLite would wait for the last one.
        return ""

    def text_equals(self, column: str, text: str, bind: Callable[[str], str]) -> str:
        return f"{column} = {bind(text)}"

    def text_between(self, column: str, low: str, high: str, bind: Callable[[str], str]) -> str:
        return f"{column} >= {bind(low)} AND {column} < {bind(high)}"

    def explain(self, sql: str) -> str:
        return f"EXPLAIN QUERY PLAN {sql}"

    def steps(self, plan: Iterable[Any]) -> list[str]:
        depths = {0: -1}  # each step names the one above it
        found = []
        for step, above, _, text in plan:
            depths[step] = depths[above] + 1
            found.append("  " * depths[step] + text)
        return found

    def pack(self, hashes: Iterable[int]) -> bytes:
        return pack_hashes(hashes)

    def unpack(self, value: bytes) -> frozenset[int]:
        return unpack_hashes(value)

    def packed_any(self, column: str, hashes: Iterable[int], bind: Callable[[Any], str]) -> str:
        wanted = pack_hashes(hashes)
        key = blake2b(wanted, digest_size=16).digest()
        return f"packed_any({column}, {bind(key)}, {bind(wanted)})"


SQLITE: Dialect = SqliteDialect()


class Parameters:
    """The parameters of one statement under construction."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.values: dict[str, Any] = {}
        self._aliases = 0

    def alias(self) -> str:
        """A table alias that no other part of the statement uses."""
        self._aliases += 1
        return f"t{self._aliases}"

    def bind(self, value: int | float | str | bytes | None) -> str:
        """Add a parameter; its placeholder. A lone surrogate, which no stored text holds, becomes "?".

        Raises: FhirError too-costly for more parameters than a statement can have.
        """
        if len(self.values) >= PARAMETERS_MAXIMUM:
            raise FhirError("too-costly", "The search has more values than one statement can hold.")
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode("utf-8")
        name = f"p{len(self.values)}"
        self.values[name] = value
        return self.dialect.placeholder(name)

    def limit(self, number: int) -> str:
        """What follows LIMIT or OFFSET."""
        return self.dialect.limit(number, self.bind)

    def among(self, values: Collection[int | str]) -> str:
        """What follows a column to ask whether it is one of the values: `= :p0`, `IN (...)`; never empty."""
        if len(values) == 1:
            return "= " + self.bind(next(iter(values)))
        if len(values) > _LISTED:
            return self.dialect.in_array(self.bind(self.dialect.array(values)))
        return "IN (" + ", ".join(self.bind(value) for value in values) + ")"
