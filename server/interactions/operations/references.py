"""What stored versions refer to, out of their bytes, without decoding them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from server.fhir.compartments import RESOURCE_TYPES
from server.storage.versions import StoredVersion


@lru_cache(maxsize=8)
def _pattern(base_url: str) -> re.Pattern[bytes]:
    # A quotation mark inside a string is escaped, so only elements of these names look like this; `url` is
    # where an Attachment says which Binary it is.
    base = re.escape(base_url.encode())
    return re.compile(
        rb'"(?:reference|url)":\s*"(?:' + base + rb'/)?([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})["/]'
    )


def references_of(versions: Iterable[StoredVersion], base_url: str) -> frozenset[str]:
    """`Type/id` of the resources of this server that the versions refer to. base_url: no slash at its end."""
    find = _pattern(base_url).findall
    pairs = {pair for version in versions for pair in find(version.body)}
    named = ((resource_type.decode(), id.decode()) for resource_type, id in pairs)
    return frozenset(f"{resource_type}/{id}" for resource_type, id in named if resource_type in RESOURCE_TYPES)
