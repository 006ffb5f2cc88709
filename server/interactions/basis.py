"""What a write rests on: a version that was read before it, which nobody may have replaced in between.

Source: hl7.org/fhir/R4/http.html#concurrency
"""

from __future__ import annotations

from server.storage.versions import StoredVersion, VersionConflict


def check_basis(read: StoredVersion, written: int) -> None:
    """The version that was written, or found to say the same already, follows the one that was read.

    Writers run side by side on some databases: between the search that found a resource, or the reading of what
    a patch changes, and the write another one may have come. Raises: VersionConflict; then it is tried again.
    """
    if written not in (read.version_id, read.version_id + 1):
        raise VersionConflict
