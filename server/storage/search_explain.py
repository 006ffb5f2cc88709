"""How the store answers a search: what could have driven it, what did, and the statements with their plans.

The search is run, so that its times are real. Texts hold names, numbers and placeholders, never a value: plans
are cut to their steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any, cast

from server.fhir.search_query import SearchQuery
from server.fhir.search_words import describe
from server.fhir.visibility import Visibility
from server.storage.answers import CandidateList, SearchExplanation, Statement, TypeSearched
from server.storage.database import Connection, Rows
from server.storage.search import Search
from server.storage.search_drivers import VISIBLE, Driver
from server.storage.search_of_types import SearchOfTypes


def explain(
    connection: Connection, query: SearchQuery, visible: Visibility, includes_maximum: int
) -> SearchExplanation:
    """Run one page of a search and tell how it was done. Raises: as Reader.search."""
    noting = _Noting(connection)
    asked = cast(Connection, noting)  # a search only executes
    if query.resource_type:
        one = Search(asked, query, visible)
        one.page(includes_maximum)
        searches = [one]
    else:
        several = SearchOfTypes(asked, query, visible)
        several.page(includes_maximum)
        searches = several.searches
    return SearchExplanation(
        tuple(_told(search) for search in searches),
        tuple(noting.statements),
        sum(statement.milliseconds for statement in noting.statements),
    )


def _told(search: Search) -> TypeSearched:
    lists = tuple(
        CandidateList(_name(driver), length, cap, driver is search.driver)
        for driver, length, cap in search.drivers.counts
    )
    conditions = tuple(describe(condition) for condition in search.query.conditions)
    return TypeSearched(search.query.resource_type, conditions, search.way, lists)


def _name(driver: Driver) -> str:
    if driver.of == VISIBLE:
        return "what the caller may see"
    return "" if driver.of is None or isinstance(driver.of, str) else describe(driver.of)


class _Noting:
    """A connection that notes every statement that runs on it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect
        self.statements: list[Statement] = []

    def execute(self, sql: str, parameters: Mapping[str, Any], /) -> Rows:
        """Run the statement, after having asked for its plan."""
        planned = self._connection.execute(self.dialect.explain(sql), parameters).fetchall()
        started = perf_counter()
        rows = self._connection.execute(sql, parameters).fetchall()
        spent = (perf_counter() - started) * 1_000
        steps = tuple(self.dialect.steps(planned))
        self.statements.append(Statement(sql, steps, round(spent, 3), len(rows)))
        return _Fetched(rows)


class _Fetched:
    """Rows that were fetched already."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows
        self.rowcount = len(rows)

    def fetchone(self) -> Any:
        """The next row, None after the last one."""
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        rows, self._rows = self._rows, []
        return rows
