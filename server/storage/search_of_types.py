"""A search over several types: each type's own search, merged in the order asked for.

So every plan stays that of a search of one type, whose conditions and visibility are its own. Of each type as
many rows are ordered as the page has; only the bodies of the page are read.
Source: hl7.org/fhir/R4/http.html#search (whole system, compartments)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from server.fhir.generated.resource_types import RESOURCE_TYPES
from server.fhir.search_query import SearchQuery, SortKey
from server.fhir.visibility import Visibility
from server.storage.answers import SearchPage, Total
from server.storage.database import Connection
from server.storage.dialect import Parameters
from server.storage.includes import Included, included
from server.storage.resources import stored_version
from server.storage.search import Row, Search
from server.storage.versions import StoredVersion


class SearchOfTypes:
    """One search of the parts of a query by one caller on one connection; without parts: of every type."""

    def __init__(self, connection: Connection, query: SearchQuery, visible: Visibility) -> None:
        self._connection = connection
        self._query = query
        self._visible = visible
        parts = query.parts or tuple(SearchQuery(name) for name in sorted(RESOURCE_TYPES))
        self.searches = [
            Search(connection, replace(part, after=query.after), visible)
            for part in parts
            if visible.of(part.resource_type)
        ]
        self._sort = parts[0].sort

    def page(self, includes_maximum: int) -> SearchPage:
        """See Reader.search."""
        query = self._query
        rows = [row for search in self.searches for row in search.positions(query.count + 1)]
        found = in_order(rows, self._sort)[: query.count]
        versions = self._versions([row[-1] for row in found])
        more = Included((), False)
        if query.includes and found:
            more = included(self._connection, query.includes, versions, self._visible, includes_maximum)
        return SearchPage(
            matches=tuple(versions.values()),
            included=more.versions,
            next_after=tuple(found[-1]) if found and len(rows) > query.count else None,
            includes_truncated=more.truncated,
        )

    def total(self, cap: int | None) -> Total:
        """See Reader.total."""
        counted = 0
        for search in self.searches:
            part = search.total(None if cap is None else cap - counted)
            if not part.exact:
                assert cap is not None  # nothing else makes a count end early
                return Total(cap, exact=False)
            counted += part.value
        return Total(counted, exact=True)

    def _versions(self, rids: Sequence[int]) -> dict[int, StoredVersion]:
        """Rid -> what is stored, in the order of the rids."""
        if not rids:
            return {}
        parameters = Parameters(self._connection.dialect)
        rows = self._connection.execute(
            "SELECT r.type, r.id, r.version, r.updated, r.body, r.method, r.deleted, r.rid FROM resource r"
            f" WHERE r.rid {parameters.among(rids)}",
            parameters.values,
        ).fetchall()
        found = {row[7]: stored_version(row) for row in rows}
        return {rid: found[rid] for rid in rids}


def in_order(rows: Sequence[Row], sort: Sequence[SortKey]) -> list[Row]:
    """Rows of sort values, their rid last, in the order in which the database puts those of one type."""
    ordered = sorted(rows, key=lambda row: row[-1])
    for position, key in reversed(list(enumerate(sort))):
        valued = [row for row in ordered if row[position] is not None]
        valued.sort(key=lambda row: _comparable(row[position]), reverse=key.descending)
        ordered = valued + [row for row in ordered if row[position] is None]
    return ordered


def _comparable(value: Any) -> Any:
    """Text is compared by its bytes."""
    return value.encode() if isinstance(value, str) else value
