"""The store as the rest of the server sees it: values in, values out, one transaction per unit of work.

Everything that returns resources takes a Visibility and applies it in SQL before LIMIT. A resource that
exists but may not be seen is answered as if it did not exist. Implementations: `sqlite_store` (and, behind the
same statements, PostgreSQL).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from server.fhir.index_rows import IndexRows
from server.fhir.search_query import SearchQuery
from server.fhir.visibility import Visibility


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of one resource. body: the stored JSON, byte for byte; b"" for a deletion.

    last_updated: UTC, millisecond precision. method: POST, PUT or DELETE, for history bundles.
    """

    resource_type: str
    id: str
    version_id: int
    last_updated: datetime
    body: bytes
    method: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to write. expected_version: the current version it replaces, 0 for none.

    body already carries meta.versionId and meta.lastUpdated; b"" with method DELETE deletes.
    """

    resource_type: str
    id: str
    version_id: int
    expected_version: int
    last_updated: datetime
    body: bytes
    method: str
    index: IndexRows


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what to which resource; never content. outcome: HTTP status."""

    recorded: datetime
    principal: str
    client_id: str
    interaction: str
    resource_type: str
    id: str
    version_id: int
    patient: str
    outcome: int
    request_id: str


@dataclass(frozen=True, slots=True)
class SearchPage:
    """matches in order, then `included` (never counted). next_after: for SearchQuery.after, None at the end."""

    matches: tuple[StoredVersion, ...]
    included: tuple[StoredVersion, ...]
    next_after: tuple[str | int | float | None, ...] | None


@dataclass(frozen=True, slots=True)
class Total:
    """value is exact unless `exact` is False (the published cap was reached, or an estimate was asked for)."""

    value: int
    exact: bool


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Newest first. next_after: opaque number for the next page, None at the end."""

    versions: tuple[StoredVersion, ...]
    next_after: int | None
    total: int


class VersionConflict(Exception):
    """The current version is not the expected one: somebody wrote in between."""


class Reader(Protocol):
    """A consistent snapshot of the store."""

    def read(self, resource_type: str, id: str, visible: Visibility) -> StoredVersion | None:
        """The current version (possibly a deletion), None where absent or not visible."""

    def vread(self, resource_type: str, id: str, version_id: int, visible: Visibility) -> StoredVersion | None:
        """A given version, None where absent or not visible."""

    def history(
        self,
        resource_type: str | None,
        id: str | None,
        visible: Visibility,
        *,
        since: datetime | None,
        at: datetime | None,
        count: int,
        after: int | None,
    ) -> HistoryPage:
        """Versions of an instance, of a type (id None) or of the system (both None)."""

    def search(self, query: SearchQuery, visible: Visibility) -> SearchPage:
        """One page of matches with what its includes bring."""

    def total(self, query: SearchQuery, visible: Visibility, cap: int | None) -> Total:
        """How many resources match all pages together; counting stops at cap when one is given."""


class Writer(Reader, Protocol):
    """One write transaction: everything or nothing. It reads what it wrote."""

    def put(self, new: NewVersion) -> None:
        """Write the version, its history row, the difference of its index rows and its outbox row.

        Raises: VersionConflict if the current version is not new.expected_version.
        """

    def claim(self, key: bytes) -> bool:
        """Take a unique claim within this transaction (conditional creates); False if it is taken."""

    def audit(self, row: AuditRow) -> None:
        """Add an audit row to the transaction."""


class Store(Protocol):
    def reading(self) -> AbstractContextManager[Reader]:
        """A snapshot for one interaction."""

    def writing(self) -> AbstractContextManager[Writer]:
        """A transaction: committed once when the block ends, rolled back when it raises."""

    def ready(self) -> bool:
        """Whether the database answers and has the schema this program needs."""


IndexFunction = Callable[[dict], IndexRows]
Versions = Sequence[StoredVersion]
