"""Running a search: choose what drives it, then one statement for the page, one for the total.

Every condition is a probe on one row, so a search costs what its driving rows cost. The planner counts each
condition's candidate list (never beyond a cap) and drives from the shortest. Where all are long, matches may
be dense: then it looks through the first rows of the type in the order asked for, which soon fills a page.
Only if that does not, it drives from a long list after all, or walks the whole type. So a search with few
matches stays as fast when everything else grows. Each step's work is bounded by a number that stands here,
whatever the database believes to know of its tables.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from server.fhir.search_query import SearchQuery
from server.fhir.visibility import Visibility
from server.storage.answers import SearchPage, Total
from server.storage.database import Connection
from server.storage.dialect import Parameters
from server.storage.includes import Included, included
from server.storage.logic_sql import FALSE, TRUE, all_of
from server.storage.resources import stored_version
from server.storage.search_drivers import VISIBLE, Driver, Drivers
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

# Candidate lists are counted up to the small cap first (tens of microseconds), up to the large one (about a
# millisecond) only if that does not decide.
_SMALL, _LARGE = 500, 20_000
# How many rows of the type are looked through before anything costlier is tried, and how many at the end.
_WINDOW, _ALL = 5_000, 2**62
# What the conditions and keys of a search read of a resource's row; the bodies stay where they are.
_NARROW = "r.rid, r.type, r.id, r.updated, r.deleted, r.self_hash, r.main_date"


class Search:
    """One search of one type by one caller on one connection.

    way: how its rows were found, for those who want to know: "driven" (by `driver`), "window", "whole type".
    """

    def __init__(self, connection: Connection, query: SearchQuery, visible: Visibility) -> None:
        self._connection = connection
        self.query = query
        self._visible = visible
        self._parameters = Parameters(connection.dialect)
        self._sql = SearchSql(visible, self._parameters)
        self._type = query.resource_type
        self._conditions = tuple(dict.fromkeys(query.conditions))
        self._bodies = True
        self.drivers = Drivers(connection, self._parameters, self._sql, self._type, self._conditions)
        self.driver: Driver | None = None
        self.way = ""

    def page(self, includes_maximum: int) -> SearchPage:
        """See Reader.search."""
        query = self.query
        rows = self._found(query.count + 1)
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

    def positions(self, limit: int) -> list[Row]:
        """The values of the sort keys of the first matches after the page before, the rid as the last one."""
        self._bodies = False
        return self._found(limit)

    def total(self, cap: int | None) -> Total:
        """See Reader.total."""
        if self._hidden():
            return Total(0, exact=True)
        driver = self.drivers.shortest(_SMALL)
        if not driver.rids:
            driver = self.drivers.shortest(_LARGE)
        limit = "" if cap is None else f" LIMIT {self._parameters.limit(cap + 1)}"
        source, where = self._matches(driver)
        matches = f"SELECT 1 FROM {source} WHERE {all_of(where)}{limit}"
        row: Any = self._connection.execute(
            f"SELECT count(*) FROM ({matches}) c", self._parameters.values
        ).fetchone()
        counted = int(row[0])
        if cap is not None and counted > cap:
            return Total(cap, exact=False)
        return Total(counted, exact=True)

    def _hidden(self) -> bool:
        """Nothing of the type may be seen: there is nothing to ask."""
        return self._sql.visible("r", self._type) == FALSE

    def _found(self, limit: int) -> list[Row]:
        keys = sort_keys(self.query.sort, self._parameters)
        if self.query.after is not None:
            check_position(keys, self.query.after)
        return [] if self._hidden() else self._rows(keys, limit)

    def _rows(self, keys: tuple[Key, ...], limit: int) -> list[Row]:
        """The rows of the page: the columns of `stored_version` and the values of the keys."""
        driver = self.drivers.shortest(_SMALL)
        if driver.rids:
            return self._run(keys, limit, driver)
        if not keys[0].indexed:
            return self._run(keys, limit, self.drivers.shortest(_LARGE))
        self.way = "window"
        rows = self._walk(keys, limit, _WINDOW)
        if len(rows) == limit:
            return rows
        driver = self.drivers.shortest(_LARGE)
        if driver.rids:
            return self._run(keys, limit, driver)
        self.way = "whole type"
        return self._walk(keys, limit, _ALL)

    def _run(self, keys: tuple[Key, ...], limit: int, driver: Driver) -> list[Row]:
        """Collect all matches, sort them and cut: for short lists, and orders that no index has."""
        self.driver, self.way = driver, "driven" if driver.rids else "whole type"
        source, where = self._matches(driver)
        if self.query.after is not None:
            where.append(continues(keys, self.query.after, self._parameters))
        order = f" ORDER BY {order_by(keys, [key.expression for key in keys])}"
        return self._fetch(keys, limit, source, where, order)

    def _walk(self, keys: tuple[Key, ...], limit: int, window: int) -> list[Row]:
        """Go through the type in the order of the first key's index until the page is full.

        window: give up after so many rows. Rows without a value of the first key come last.
        """
        first, after = keys[0], self.query.after
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
        first, after = keys[0], self.query.after
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
        if not self._bodies:
            return self._connection.execute(inner, self._parameters.values).fetchall()
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
        if not driver.rids:
            arrivals, order = self._arrivals("0")
            return f"(SELECT {_NARROW} FROM resource r WHERE {arrivals} ORDER BY {order}) r", where
        where[:0] = ["r.deleted = 0", f"r.type = {self._parameters.bind(self._type)}"]
        distinct = f"(SELECT DISTINCT rid FROM ({driver.rids}) every) driver"
        return f"{distinct} {self._follow('r.rid = driver.rid')}", where

    def _follow(self, key: str) -> str:
        return self._parameters.dialect.follow("resource", "r", key)
