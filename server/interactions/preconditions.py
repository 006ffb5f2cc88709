"""Preconditions of a write: what the caller says it knows of the version it is about to replace.

Existing resources of some types (`policy/if_match_required.json`) are written only by whoever names that
version, because several people work on them. That is asked of callers who know which resource they change: not
of an update that creates, not of what finds its resource by criteria, and not in a Context of `blind_writes`
(loading, mappings).
Sources: hl7.org/fhir/R4/http.html#concurrency, RFC 9110 section 13.1, RFC 6585 section 3
"""

from __future__ import annotations

from server.errors import FhirError
from server.fhir.changed_elements import changed_elements
from server.fhir.json_codec import decode
from server.interactions.call import Call
from server.interactions.etag import etag
from server.policy.if_match_required import if_match_required
from server.storage.interface import Writer
from server.storage.versions import StoredVersion


def check_preconditions(
    call: Call[Writer], current: StoredVersion | None, *, by_criteria: bool = False
) -> None:
    """If-Match and If-None-Match hold for the version that is about to be replaced, as the caller sees it, and
    If-Match is there where it has to be.

    by_criteria: the resource was found by a condition instead of being named.
    Raises: FhirError precondition-failed, naming the current version and, where the caller may see the one it
    named, the elements that changed since; precondition-required, naming the current version.
    """
    _check_if_match(call, current)
    _check_if_none_match(call, current)
    if current is not None and not current.deleted and not by_criteria:
        _require_if_match(call, current)


def _check_if_match(call: Call[Writer], current: StoredVersion | None) -> None:
    """The caller knows the current version."""
    known = call.request.if_match
    if not known:
        return
    if current is None or current.deleted:
        raise FhirError("precondition-failed", "If-Match names a version, but there is no current one")
    if known not in ("*", str(current.version_id)):
        raise FhirError(
            "precondition-failed",
            f"If-Match does not name the current version, which is {etag(current.version_id)}"
            + _changed_since(call, known, current),
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


def _require_if_match(call: Call[Writer], current: StoredVersion) -> None:
    """A version is named; "*" names none."""
    if call.request.if_match not in ("", "*") or call.context.blind_writes:
        return
    if current.resource_type in if_match_required():
        raise FhirError(
            "precondition-required",
            f"an existing {current.resource_type} is changed or deleted only with If-Match (in a Bundle:"
            f" request.ifMatch) naming the version that is replaced; the current one is"
            f" {etag(current.version_id)}",
            headers={"ETag": etag(current.version_id)},
        )


def _changed_since(call: Call[Writer], known: str, current: StoredVersion) -> str:
    """Which elements changed since the version the caller knows, "" where that is none it may see."""
    if not (known.isascii() and known.isdecimal()) or len(known) > len(str(current.version_id)):
        return ""
    version = call.unit.vread(current.resource_type, current.id, int(known), call.decision.visible)
    if version is None or version.deleted:
        return ""
    names = changed_elements(decode(version.body), decode(current.body))
    return f"; changed since then: {', '.join(names) or 'nothing'}"
