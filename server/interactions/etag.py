"""ETags of versions, written and read. FHIR uses weak ones: `W/"3"`.

Sources: hl7.org/fhir/R4/http.html#versioning, RFC 9110 sections 8.8.3 and 13.1
"""

from __future__ import annotations

import re

from server.errors import FhirError

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')


def etag(version_id: int) -> str:
    """The ETag of a version."""
    return f'W/"{version_id}"'


def read_if_match(value: str) -> str:
    """The version id of an If-Match, "*", or "" where there is none.

    Raises: FhirError invalid-request for anything that is not one ETag.
    """
    text = value.strip()
    if text in ("", "*"):
        return text
    found = _TAG.fullmatch(text)
    if found is None:
        raise FhirError("invalid-request", 'If-Match is one ETag, for example W/"3"')
    return found[1]


def read_if_none_match(value: str) -> str:
    """The version ids of an If-None-Match joined by commas, "*", or "". What is not an ETag matches nothing."""
    text = value.strip()
    if text in ("", "*"):
        return text
    return ",".join(_TAG.findall(text))
