"""Preconditions of a write: what the caller says it knows of the version it is about to replace.

Sources: hl7.org/fhir/R4/http.html#concurrency, RFC 9110 section 13.1
"""

from __future__ import annotations

from server.errors import FhirError
from server.interactions.call import Call
from server.interactions.etag import etag
from server.storage.interface import StoredVersion, Writer


def check_preconditions(call: Call[Writer], current: StoredVersion | None) -> None:
    """If-Match and If-None-Match hold for the version that is about to be replaced, as the caller sees it.

    Raises: FhirError precondition-failed, naming the current version.
    """
    _check_if_match(call, current)
    _check_if_none_match(call, current)


def _check_if_match(call: Call[Writer], current: StoredVersion | None) -> None:
    """The caller knows the current version."""
    request = call.request
    if not request.if_match:
        return
    if current is None or current.deleted:
        raise FhirError("precondition-failed", "If-Match names a version, but there is no current one")
    if request.if_match not in ("*", str(current.version_id)):
        raise FhirError(
            "precondition-failed",
            f"If-Match does not name the current version, which is {etag(current.version_id)}",
            headers={"ETag": etag(current.version_id)},
        )


def _check_if_none_match(call: Call[Writer], current: StoredVersion | None) -> None:
    """With "*" the caller means to create and to overwrite nobody (RFC 9110, 13.1.2)."""
    request = call.request
    if not request.if_none_match or current is None or current.deleted:
        return
    known = request.if_none_match.split(",")
    if "*" in known or str(current.version_id) in known:
        raise FhirError(
            "precondition-failed",
            f"If-None-Match refuses the current version, which is {etag(current.version_id)}",
            headers={"ETag": etag(current.version_id)},
        )
