"""Running a search: choose what drives it, then one statement for the page, one for the total.

Every condition is a probe on one row, so a search costs what its driving rows cost. The planner counts each
condition's candidate list (never beyond a cap) and drives from the shortest. Only when all of them are long
does it walk the resources of the type in the order asked for, where matches are dense enough to fill a page
soon. So a search with few matches stays as fast when everything else grows.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from server.fhir.search_query import Chained, Clause, Condition, Has, SearchQuery
from server.fhir.visibility import Visibility
from server.storage.dialect import SQLITE, Parameters
from server.storage.includes import Included, included
from server.storage.interface import SearchPage, Total
from server.storage.resources import stored_version
from server.storage.search_sql import SearchSql
from server.storage.sort_sql import Key, continues, order_by, sort_keys

# A list this short is driven from without looking for a shorter one.
_SHORT = 50
# Candidate lists are first counted up to the small cap (tens of microseconds); only if all are longer, up to
# the large one. A list beyond that is no better than walking the type in order.
_CAPS = (500, 20_000)


@dataclass(frozen=True, slots=True)
class Plan:
    """driver: a SELECT of candidate rids, or "" to walk the type. driven_by: the condition it answers exactly."""

    driver: str
    size: int


class Search:
    """One search of one caller on one connection."""

    def __init__(self, connection: sqlite3.Connection, query: SearchQuery, visible: Visibility) -> None:
        self._connection = connection
        self._query = query
        self._visible = visible
        self._parameters = Parameters(SQLITE)
        self._sql = SearchSql(visible, self._parameters)
        self._type = query.resource_type or None

    def page(self, includes_maximum: int) -> SearchPage:
        """See Reader.search."""
        query = self._query
        keys = sort_keys(query.sort, self._parameters)
        source, where = self._source(keys)
        if query.after is not None:
            where.append(continues(keys, query.after, self._parameters))
        names = [f"k{position}" for position in range(len(keys))]
        columns = ", ".join(f"{key.expression} AS {name}" for key, name in zip(keys, names, strict=True))
        # Sort narrow rows first and fetch the bodies of the page alone.
        inner = (
            f"SELECT {columns} FROM {source} WHERE {' AND '.join(where)}"
            f" ORDER BY {order_by(keys, [key.expression for key in keys])}"
            f" LIMIT {self._parameters.bind(query.count + 1)}"
        )
        rows = self._connection.execute(
            "SELECT r.type, r.id, r.version, r.updated, r.body, r.method, r.deleted, page.*"
            f" FROM ({inner}) page CROSS JOIN resource r WHERE r.rid = page.{names[-1]}"
            f" ORDER BY {order_by(keys, [f'page.{name}' for name in names])}",
            self._parameters.values,
        ).fetchall()
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
        source, where = self._source(sort_keys((), self._parameters))
        limit = "" if cap is None else f" LIMIT {self._parameters.bind(cap + 1)}"
        counted = self._value(
            f"SELECT count(*) FROM (SELECT 1 FROM {source} WHERE {' AND '.join(where)}{limit}) c"
        )
        if cap is not None and counted > cap:
            return Total(cap, exact=False)
        return Total(counted, exact=True)

    def _source(self, keys: tuple[Key, ...]) -> tuple[str, list[str]]:
        """FROM and WHERE of the matches."""
        plan = self._plan()
        where = ["r.deleted = 0"]
        if self._type is not None:
            where.append(f"r.type = {self._parameters.bind(self._type)}")
        where.append(self._sql.visible("r", self._type))
        where.extend(self._sql.condition(condition, "r") for condition in self._query.conditions)
        if not plan.driver:
            return "resource r", where
        return f"(SELECT DISTINCT rid FROM ({plan.driver}) every) driver CROSS JOIN resource r", [
            "r.rid = driver.rid",
            *where,
        ]

    def _plan(self) -> Plan:
        lists = [
            candidates
            for condition in sorted(self._query.conditions, key=_rank)
            if (candidates := self._sql.candidates(condition, self._type))
        ]
        if self._type is not None and (own := self._sql.visible_candidates(self._type)):
            lists.append(own)
        for cap in _CAPS:
            best = Plan("", cap + 1)
            for candidates in lists:
                size = self._value(
                    f"SELECT count(*) FROM (SELECT 1 FROM ({candidates}) every LIMIT {best.size}) c"
                )
                if size < best.size:
                    best = Plan(candidates, size)
                if size <= _SHORT:
                    break
            if best.driver:
                return best
        return Plan("", 0)

    def _value(self, sql: str) -> int:
        value: Any = self._connection.execute(sql, self._parameters.values).fetchone()[0]
        return int(value)


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
