"""How SQL for PostgreSQL is written; see `dialect.Dialect`.

The planner is never left a choice that statistics could turn into a bad one. Conditions are probes of one row
(`OFFSET 0` keeps the planner from turning them into joins), followed keys are lateral look-ups, limits are
literal. So a plan is as good for a million rows as for ten, before and after ANALYZE.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from server.storage.dialect import Dialect, pack_hashes, unpack_hashes

# An entry of a B-tree holds at most 2,704 bytes; so many characters of UTF-8 are at most 800.
INDEXED_CHARACTERS = 200

_LAST_RID = 2**63 - 1

# A parameter `:name`, neither part of a cast nor inside a literal.
_PARAMETER = re.compile(r"'(?:[^']|'')*'|(?<!:):([A-Za-z_]\w*)")

# A line of a plan that tells what a step compares ("Index Cond: ..."), and not that there is one.
_DETAIL = re.compile(r"\s*[A-Z][A-Za-z ]*: ")


class PostgresqlDialect:
    name = "postgresql"
    # Not against those who hold a row and have not written yet: they may be waiting for the one who asks this.
    keep_writers_out = "LOCK TABLE resource IN SHARE ROW EXCLUSIVE MODE"
    join_writers = "LOCK TABLE resource IN ROW EXCLUSIVE MODE"
    for_update = "FOR UPDATE"

    def placeholder(self, name: str) -> str:
        return f":{name}"

    def array(self, values: Collection[int | str]) -> list[int | str]:
        return list(values)

    def in_array(self, placeholder: str) -> str:
        return f"= ANY({placeholder})"

    def each(self, placeholder: str) -> str:
        return f"unnest({placeholder}) each(value)"

    def in_rows(self, select: str) -> str:
        return f"= ANY(ARRAY({select}))"

    def unindexed(self, column: str) -> str:
        return column  # `probe` looks up first and compares then

    def contains(self, column: str, placeholder: str) -> str:
        return f"strpos({column}, {placeholder}) > 0"

    def limit(self, number: int, bind: Callable[[int], str]) -> str:
        return str(int(number))  # the planner takes an unknown limit for a tenth of the rows

    def exists(self, source: str, where: str) -> str:
        return f"EXISTS (SELECT 1 FROM {source} WHERE {where} OFFSET 0)"

    def probe(self, table: str, alias: str, key: str, where: str) -> str:
        return self.exists(f"(SELECT * FROM {table} {alias} WHERE {key} OFFSET 0) {alias}", where)

    def before(
        self, table: str, alias: str, key: Mapping[str, str], column: str, below: str, where: str
    ) -> str:
        # In a small table all indexes cost the same, and the plan outlives that. Only one gives this order or
        # begins it, and sorting is off; a column equal to a value would not count as a part of the order.
        columns = ", ".join(f"{alias}.{name}" for name in (*key, column))
        values = ", ".join(key.values())
        return self.exists(
            f"{table} {alias}",
            f"ROW({columns}) > ROW({values}, 0) AND ROW({columns}) < ROW({values}, {below}) AND {where}"
            f" ORDER BY {columns}",
        )

    def follow(self, table: str, alias: str, key: str) -> str:
        return f"CROSS JOIN LATERAL (SELECT * FROM {table} {alias} WHERE {key} OFFSET 0) {alias}"

    def arrivals(self, alias: str, kind: str, from_: str) -> tuple[str, str]:
        # A type that is equal to a value would not count as a part of the order any more.
        columns = f"{alias}.type, {alias}.deleted, {alias}.rid"
        condition = (
            f"ROW({columns}) >= ROW({kind}, 0, {from_}) AND ROW({columns}) <= ROW({kind}, 0, {_LAST_RID})"
        )
        return condition, columns

    def again(self, order: str) -> str:
        return f" ORDER BY {order}"

    def text_equals(self, column: str, text: str, bind: Callable[[str], str]) -> str:
        head = bind(text[:INDEXED_CHARACTERS])
        return f"{_head(column)} = {head} AND {column} = {bind(text)}"

    def text_between(self, column: str, low: str, high: str, bind: Callable[[str], str]) -> str:
        heads = bind(low[:INDEXED_CHARACTERS]), bind(high[:INDEXED_CHARACTERS])
        return (
            f"{_head(column)} >= {heads[0]} AND {_head(column)} <= {heads[1]}"
            f" AND {column} >= {bind(low)} AND {column} < {bind(high)}"
        )

    def explain(self, sql: str) -> str:
        return f"EXPLAIN (COSTS OFF) {sql}"

    def steps(self, plan: Iterable[Any]) -> list[str]:
        return [line for (line,) in plan if not _DETAIL.match(line)]

    def pack(self, hashes: Iterable[int]) -> bytes:
        return pack_hashes(hashes)

    def unpack(self, value: bytes) -> frozenset[int]:
        return unpack_hashes(value)

    def packed_any(self, column: str, hashes: Iterable[int], bind: Callable[[Any], str]) -> str:
        # `IS TRUE` keeps the list from becoming a join: it is hashed once for all rows.
        wanted = bind(self.array([pack_hashes((hash,)).hex() for hash in hashes]))
        return (
            f"EXISTS (SELECT 1 FROM generate_series(0, octet_length({column}) / 8 - 1) at WHERE"
            f" (encode(substr({column}, 8 * at + 1, 8), 'hex') IN (SELECT unnest({wanted}::text[]))) IS TRUE)"
        )


def _head(column: str) -> str:
    """The part of a long text that an index holds."""
    return f"left({column}, {INDEXED_CHARACTERS})"


POSTGRESQL: Dialect = PostgresqlDialect()


@lru_cache(maxsize=4096)
def numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """A statement with `$n` for its named parameters, and their names in that order."""
    names: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        return f"${names.setdefault(found[1], len(names) + 1)}"

    return _PARAMETER.sub(number, sql).encode(), tuple(names)
