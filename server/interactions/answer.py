"""One stored version as an answer: status, headers and the body the client prefers.

Sources: hl7.org/fhir/R4/http.html#versions, #return, #return-prefer
"""

from __future__ import annotations

from datetime import datetime

from server.errors import FhirError, Issue, operation_outcome
from server.fhir.json_codec import encode
from server.interactions.etag import etag
from server.interactions.patients import patients_of
from server.interactions.request import Context, InteractionRequest, InteractionResponse
from server.storage.versions import StoredVersion

# Not strftime: the names of days and months must not follow the process's locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(moment: datetime) -> str:
    """An HTTP date (whole seconds, GMT) of a moment in UTC."""
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02d} {_MONTHS[moment.month]} {moment.year:04d} "
        f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d} GMT"
    )


def version_url(context: Context, version: StoredVersion) -> str:
    """`[base]/[type]/[id]/_history/[version]`."""
    return f"{context.base_url}/{version.resource_type}/{version.id}/_history/{version.version_id}"


def answer_version(
    context: Context,
    request: InteractionRequest,
    version: StoredVersion,
    status: int,
    *,
    body: bytes | None = None,
    patients: tuple[str, ...] | None = None,
    issues: tuple[Issue, ...] = (),
) -> InteractionResponse:
    """The answer that shows or acknowledges a version.

    body: replaces the stored bytes (a subset of them). patients: where the caller knows them already. Writes
    honour `Prefer: return`; without it the whole resource is returned.
    """
    headers = {"ETag": etag(version.version_id), "Last-Modified": http_date(version.last_updated)}
    content = version.body if body is None else body
    if request.interaction in ("create", "update"):
        headers["Location" if status == 201 else "Content-Location"] = version_url(context, version)
        if request.prefer_return == "minimal":
            content = b""
            headers.pop("Content-Location", None)
        elif request.prefer_return == "OperationOutcome":
            said = issues or (Issue("informational", "the resource is stored", severity="information"),)
            content = encode(operation_outcome(said))
            headers.pop("Content-Location", None)
    return InteractionResponse(
        status=status,
        body=content,
        headers=headers,
        id=version.id,
        version_id=version.version_id,
        last_updated=version.last_updated,
        patients=patients_of((version,), context.base_url) if patients is None else patients,
        results=1 if content else 0,
        issues=issues,
    )


def gone(context: Context, version: StoredVersion) -> FhirError:
    """The error that answers a deleted resource: 410 with the deletion's version."""
    return FhirError(
        "deleted",
        f"this {version.resource_type} was deleted; its earlier versions are in its history",
        headers={
            "ETag": etag(version.version_id),
            "Location": version_url(context, version),
            "Last-Modified": http_date(version.last_updated),
        },
    )


def absent(resource_type: str) -> FhirError:
    """The error that answers an id that is unknown, or hidden from the caller: nobody can tell which."""
    return FhirError("not-found", f"there is no {resource_type} with this id")
