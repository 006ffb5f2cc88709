"""Running a search: choose what drives it, then one statement for the page, one for the total.

Every condition is a probe on one row, so a search costs what its driving rows cost. The planner counts each
condition's candidate list (never beyond a cap) and drives from the shortest. Where all are long, matches may
be dense: then it looks through the first rows of the type in the order asked for, which soon fills a page.
Only if that does not, it drives from a long list after all, or walks the whole type. So a search with few
matches stays as fast when everything else grows. Each step's work is bounded by a number that stands here,
whatever the database believes to know of its tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from server.fhir.search_query import Chained, Clause, Condition, Has, SearchQuery
from server.fhir.visibility import Visibility
from server.storage.database import Connection
from server.storage.dialect import Parameters
from server.storage.includes import Included, included
from server.storage.interface import SearchPage, Total
from server.storage.logic_sql import FALSE, TRUE, all_of
from server.storage.resources import stored_version
from server.storage.search_sql import SearchSql
from server.storage.sort_sql import (
    RID,
    Key,
    at_or_after,
    check_position,
    continues,
    order_by,
    sort_keys,
)

Row = tuple[Any, ...]

# A list this short is driven from without looking for a shorter one. One statement counts all of them so far:
# what it costs is the same for a small database, where most lists are short, and a large one.
_SHORT = 100
# Candidate lists are counted up to the small cap first (tens of microseconds), up to the large one (about a
# millisecond) only if that does not decide.
_SMALL, _LARGE = 500, 20_000
# How many rows of the type are looked through before anything costlier is tried, and how many at the end.
_WINDOW, _ALL = 5_000, 2**62
# What the conditions and keys of a search read of a resource's row; the bodies stay where they are.
_NARROW = "r.rid, r.type, r.id, r.updated, r.deleted, r.self_hash, r.main_date"


@dataclass(frozen=True, slots=True)
class Driver:
    """A SELECT of candidate rids, "" for none, and what it already answers exactly.

    answers: the condition, or VISIBLE, that every resource of the type in the list fulfils; None if it must
    still be asked. through: the lists that it follows references from, the first one first.
    """

    rids: str = ""
    answers: Condition | str | None = None
    through: tuple[str, ...] = ()

    def counted(self, cap: int) -> str:
        """An expression: how long the list is, or one that it follows; cap + 1 for longer than cap.

        A list is not asked for before those it follows are known to be short enough: it may be empty after
        following a million rows.
        """
        *through, length = (
            f"(SELECT count(*) FROM (SELECT 1 FROM ({rids}) every LIMIT {cap + 1}) c)"
            for rids in (*self.through, self.rids)
        )
        for before in reversed(through):
            length = f"CASE WHEN {before} > {cap} THEN {cap + 1} ELSE {length} END"
        return length


VISIBLE = "visible"
_NO_DRIVER = Driver()


class Search:
    """One search of one caller on one connection."""

    def __init__(self, connection: Connection, query: SearchQuery, visible: Visibility) -> None:
        self._connection = connection
        self._query = query
        self._visible = visible
        self._parameters = Parameters(connection.dialect)
        self._sql = SearchSql(visible, self._parameters)
        self._type = query.resource_type or None
        self._conditions = tuple(dict.fromkeys(query.conditions))
        self._drivers: list[Driver] | None = None

    def page(self, includes_maximum: int) -> SearchPage:
        """See Reader.search."""
        query = self._query
        keys = sort_keys(query.sort, self._parameters)
        if query.after is not None:
            check_position(keys, query.after)
        if self._hidden():
            return SearchPage((), (), None)
        rows = self._rows(keys, query.count + 1)
        found = rows[: query.count]
        matches = tuple(stored_version(row) for row in found)
        more = Included((), False)
        if query.includes and found:
            rids = {row[-1]: version for row, version in zip(found, matches, strict=True)}
            more = included(self._connection, query.includes, rids, self._visible, includes_maximum)
        return SearchPage(
            matches=matches,
            included=more.versions,
            next_after=tuple(found[-1][7:]) if found and len(rows) > query.count else None,
            includes_truncated=more.truncated,
        )

    def total(self, cap: int | None) -> Total:
        """See Reader.total."""
        if self._hidden():
            return Total(0, exact=True)
        driver = self._driver(_SMALL)
        if not driver.rids:
            driver = self._driver(_LARGE)
        limit = "" if cap is None else f" LIMIT {self._parameters.limit(cap + 1)}"
        source, where = self._matches(driver)
        matches = f"SELECT 1 FROM {source} WHERE {all_of(where)}{limit}"
        counted = self._values([f"(SELECT count(*) FROM ({matches}) c)"])[0]
        if cap is not None and counted > cap:
            return Total(cap, exact=False)
        return Total(counted, exact=True)

    def _hidden(self) -> bool:
        """Nothing of the type may be seen: there is nothing to ask."""
        return self._sql.visible("r", self._type) == FALSE

    def _rows(self, keys: tuple[Key, ...], limit: int) -> list[Row]:
        """The rows of the page: the columns of `stored_version` and the values of the keys."""
        driver = self._driver(_SMALL)
        if driver.rids:
            return self._run(keys, limit, driver)
        if not keys[0].indexed or self._type is None:
            return self._run(keys, limit, self._driver(_LARGE))
        rows = self._walk(keys, limit, _WINDOW)
        if len(rows) == limit:
            return rows
        driver = self._driver(_LARGE)
        return self._run(keys, limit, driver) if driver.rids else self._walk(keys, limit, _ALL)

    def _run(self, keys: tuple[Key, ...], limit: int, driver: Driver) -> list[Row]:
        """Collect all matches, sort them and cut: for short lists, and orders that no index has."""
        source, where = self._matches(driver)
        if self._query.after is not None:
            where.append(continues(keys, self._query.after, self._parameters))
        order = f" ORDER BY {order_by(keys, [key.expression for key in keys])}"
        return self._fetch(keys, limit, source, where, order)

    def _walk(self, keys: tuple[Key, ...], limit: int, window: int) -> list[Row]:
        """Go through the type in the order of the first key's index until the page is full.

        window: give up after so many rows. Rows without a value of the first key come last.
        """
        first, after = keys[0], self._query.after
        rows: list[Row] = []
        if not first.nullable:
            return self._part(keys, limit, window, TRUE)
        if after is None or after[0] is not None:
            rows = self._part(keys, limit, window, f"{first.expression} IS NOT NULL")
        if len(rows) < limit and (window == _ALL or len(keys) == 2):
            # Among rows without a value the order is that of the next key.
            rows += self._part(keys, limit - len(rows), window, f"{first.expression} IS NULL", missing=True)
        return rows

    def _part(
        self, keys: tuple[Key, ...], limit: int, window: int, part: str, *, missing: bool = False
    ) -> list[Row]:
        """The rows of one part of the type, whose order an index has: of rows with the first key's value, or
        of those where it is missing.

        ORDER BY says what the index says: for PostgreSQL missing values are at its other end, and equal, so
        that the key behind them is the next one.
        """
        first, after = keys[0], self._query.after
        ordered = (replace(first, descending=first.descending and not missing, nullable=False), *keys[1:])
        columns = [key.expression for key in ordered]
        if first.expression == RID:
            from_ = self._parameters.bind(0 if after is None else after[0])
            where, columns[0] = self._arrivals(from_)
        else:
            where = f"r.deleted = 0 AND r.type = {self._parameters.bind(self._type)} AND {part}"
            if after is not None and after[0] is not None and not missing:
                where += f" AND {at_or_after(first, after[0], self._parameters)}"
        if after is not None:
            where += f" AND {continues(keys, after, self._parameters)}"
        order = order_by(ordered, columns)
        looked = (
            f"(SELECT {_NARROW} FROM resource r WHERE {where}"
            f" ORDER BY {order} LIMIT {self._parameters.limit(window)}) r"
        )
        asked = [self._sql.visible("r", self._type)]
        asked.extend(self._sql.condition(condition, "r") for condition in self._conditions)
        return self._fetch(keys, limit, looked, asked, self._parameters.dialect.again(order))

    def _arrivals(self, from_: str) -> tuple[str, str]:
        """The type's rows from a rid on, and the order of their rids as the type's index has it."""
        return self._parameters.dialect.arrivals("r", self._parameters.bind(self._type), from_)

    def _fetch(self, keys: tuple[Key, ...], limit: int, source: str, where: list[str], order: str) -> list[Row]:
        """Sort narrow rows first and fetch the bodies of the page alone."""
        names = [f"k{position}" for position in range(len(keys))]
        columns = ", ".join(f"{key.expression} AS {name}" for key, name in zip(keys, names, strict=True))
        inner = (
            f"SELECT {columns} FROM {source} WHERE {all_of(where)}{order} LIMIT {self._parameters.limit(limit)}"
        )
        return self._connection.execute(
            "SELECT r.type, r.id, r.version, r.updated, r.body, r.method, r.deleted, page.*"
            f" FROM ({inner}) page {self._follow(f'r.rid = page.{names[-1]}')}"
            f" ORDER BY {order_by(keys, [f'page.{name}' for name in names])}",
            self._parameters.values,
        ).fetchall()

    def _matches(self, driver: Driver) -> tuple[str, list[str]]:
        """FROM and WHERE of the matches."""
        where = []
        if driver.answers is not VISIBLE:
            where.append(self._sql.visible("r", self._type))
        where.extend(
            self._sql.condition(condition, "r")
            for condition in self._conditions
            if condition is not driver.answers
        )
        if not driver.rids and self._type is not None:
            arrivals, order = self._arrivals("0")
            return f"(SELECT {_NARROW} FROM resource r WHERE {arrivals} ORDER BY {order}) r", where
        where.insert(0, "r.deleted = 0")
        if not driver.rids:
            return "resource r", where
        if self._type is not None:
            where.insert(1, f"r.type = {self._parameters.bind(self._type)}")
        distinct = f"(SELECT DISTINCT rid FROM ({driver.rids}) every) driver"
        return f"{distinct} {self._follow('r.rid = driver.rid')}", where

    def _follow(self, key: str) -> str:
        return self._parameters.dialect.follow("resource", "r", key)

    def _driver(self, cap: int) -> Driver:
        """The shortest of the candidate lists, none where all are longer than cap."""
        if self._drivers is None:
            self._drivers = list(self._possible_drivers())
            best = self._at_a_glance(min(_SHORT, cap))
            if best is not _NO_DRIVER:
                return best
        best, shortest = _NO_DRIVER, cap + 1
        for driver in self._drivers:
            size = self._values([driver.counted(shortest - 1)])[0]
            if size < shortest:
                best, shortest = driver, size
            if size <= _SHORT:
                break
        return best

    def _at_a_glance(self, cap: int) -> Driver:
        """The shortest of the lists that follow nothing, all counted by one statement."""
        drivers = [driver for driver in self._drivers or () if not driver.through]
        if len(drivers) < 2:
            return _NO_DRIVER
        sizes = self._values([driver.counted(cap) for driver in drivers])
        size, driver = min(zip(sizes, drivers, strict=True), key=lambda pair: pair[0])
        return driver if size <= cap else _NO_DRIVER

    def _possible_drivers(self) -> Iterator[Driver]:
        for condition in sorted(self._conditions, key=_rank):
            *through, rids = self._sql.candidates(condition, self._type) or ("",)
            if rids:
                yield Driver(rids, condition if isinstance(condition, Clause) else None, tuple(through))
        if self._type is not None:
            rids, exact = self._sql.visible_candidates(self._type)
            if rids:
                yield Driver(rids, VISIBLE if exact else None)

    def _values(self, expressions: list[str]) -> list[int]:
        row: Any = self._connection.execute(
            f"SELECT {', '.join(expressions)}", self._parameters.values
        ).fetchone()
        return [int(value) for value in row]


# Which lists are probably short: asked first, so that the others need not be counted far.
_RANKS = {"reference": 1, "token": 2, "uri": 2, "string": 3, "quantity": 4, "number": 4, "date": 5}


def _rank(condition: Condition) -> int:
    if isinstance(condition, Clause):
        if condition.parameter.code in ("_id", "identifier"):
            return 0
        return _RANKS.get(condition.parameter.type, 9)
    if isinstance(condition, Chained):
        return 6 + max((_rank(inner) for _, inner in condition.targets), default=0)
    assert isinstance(condition, Has)
    return 6 + _rank(condition.condition)
