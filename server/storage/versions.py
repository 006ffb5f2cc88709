"""One version of one resource: as it is stored, and as it is to be written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from server.fhir.index_rows import IndexRows


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of one resource. body: the stored JSON, byte for byte; b"" for a deletion.

    last_updated: UTC, millisecond precision. method: POST, PUT or DELETE, for history bundles.
    deleted: this version is a deletion; in a history only the deletions themselves are.
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

    The current version may be a deletion: writing a resource again after its deletion expects that one.
    body already carries meta.versionId and meta.lastUpdated; b"" with method DELETE deletes, and its index
    is not used: the resource leaves every search but stays in the compartments it was in.
    """

    resource_type: str
    id: str
    version_id: int
    expected_version: int
    last_updated: datetime
    body: bytes
    method: str
    index: IndexRows


class VersionConflict(Exception):
    """Somebody wrote at the same moment: the current version is not the expected one, or the database had to
    choose between two transactions. Nothing of this one was written; it may be tried again.
    """
