"""Whose records a stored version belongs to, for the audit trail: out of its bytes, without decoding them.

Named are the Patients that the content refers to anywhere and, for a Patient, its own id. That is every patient
in whose compartment the version is; one who is only mentioned counts as well, because the mention goes out too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from server.storage.versions import StoredVersion


@lru_cache(maxsize=8)
def _pattern(base_url: str) -> re.Pattern[bytes]:
    # A quotation mark inside a string is escaped, so nothing but an element named `reference` looks like this.
    base = re.escape(base_url.encode())
    return re.compile(rb'"reference":\s*"(?:' + base + rb')?/?Patient/([A-Za-z0-9\-.]{1,64})["/#]')


def patients_of(versions: Iterable[StoredVersion], base_url: str) -> tuple[str, ...]:
    """Ids of the patients whose records the versions belong to, sorted. base_url: without a trailing slash."""
    named: set[bytes] = set()
    own: set[str] = set()
    find = _pattern(base_url).findall
    for version in versions:
        if version.resource_type == "Patient":
            own.add(version.id)
        named.update(find(version.body))
    return tuple(sorted({*own, *(id.decode() for id in named)}))
