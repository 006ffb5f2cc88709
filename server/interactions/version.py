"""A new version of a resource: numbered, stamped, indexed, checked against what may be written, stored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from server.errors import FhirError
from server.fhir.changed_elements import canonical
from server.fhir.index_rows import IndexRows
from server.fhir.index_values import index_values
from server.fhir.json_codec import decode, encode
from server.interactions.call import Call
from server.interactions.definition import define
from server.interactions.lifecycle import check_lifecycle
from server.interactions.writable import is_replaceable, is_writable
from server.storage.interface import Writer
from server.storage.versions import NewVersion, StoredVersion


def instant(moment: datetime) -> str:
    """A FHIR instant in UTC with milliseconds."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def stamp(resource: dict[str, Any], id: str, version_id: int, last_updated: datetime) -> dict[str, Any]:
    """The resource with its id, meta.versionId and meta.lastUpdated; everything else as the client wrote it."""
    meta = {
        **resource.get("meta", {}),
        "versionId": str(version_id),
        "lastUpdated": instant(last_updated),
    }
    return {"resourceType": resource["resourceType"], "id": id, "meta": meta} | {
        name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta")
    }


def same_content(resource: dict[str, Any], current: StoredVersion) -> bool:
    """Whether the resource says exactly what the current version says, digits and all."""
    stamped = stamp(resource, current.id, current.version_id, current.last_updated)
    return encode(stamped) == current.body or canonical(stamped) == canonical(decode(current.body))


def store_version(
    call: Call[Writer], resource: dict[str, Any], id: str, current: StoredVersion | None, method: str
) -> tuple[StoredVersion, IndexRows]:
    """Write the next version of the content.

    current: the version it replaces (possibly a deletion), None for a new id. Returns what was stored.
    Raises: FhirError forbidden when the version lies outside what may be written, business-rule when it may not
    follow the current one; VersionConflict.
    """
    moment, number = _next(call, current)
    content = stamp(resource, id, number, moment)
    index = call.request.index
    assert index is not None  # the door prepares the body of every create and update
    if not is_writable(call, call.decision, index, content, new=current is None):
        raise FhirError("forbidden", "the token does not allow a resource with this content to be written")
    check_lifecycle(call, current, content)
    define(call, content["resourceType"], id, content)
    new = NewVersion(
        resource_type=resource["resourceType"],
        id=id,
        version_id=number,
        expected_version=current.version_id if current else 0,
        last_updated=moment,
        body=encode(content),
        method=method,
        index=index,
    )
    call.unit.put(new)
    return _stored(new), index


def store_deletion(call: Call[Writer], current: StoredVersion) -> tuple[StoredVersion, IndexRows]:
    """Write a deletion as the next version. The store keeps the compartments, so that whoever saw the resource
    can learn that it was deleted, and nobody else.

    Raises: FhirError forbidden, VersionConflict.
    """
    moment, number = _next(call, current)
    content = decode(current.body)
    index = index_values(content, base_url=call.context.base_url, time_zone=call.context.time_zone)
    if not is_replaceable(call, call.decision, index, content):
        raise FhirError("forbidden", "the token does not allow this resource to be deleted")
    define(call, current.resource_type, current.id, None)
    new = NewVersion(
        resource_type=current.resource_type,
        id=current.id,
        version_id=number,
        expected_version=current.version_id,
        last_updated=moment,
        body=b"",
        method="DELETE",
        index=IndexRows(),
    )
    call.unit.put(new)
    return _stored(new), index


def _next(call: Call[Writer], current: StoredVersion | None) -> tuple[datetime, int]:
    now = call.context.clock()
    moment = now.replace(microsecond=now.microsecond // 1000 * 1000)
    if current is None:
        return moment, 1
    # A clock that was set back must not make a later version look older than the one it replaces.
    return max(moment, current.last_updated), current.version_id + 1


def _stored(new: NewVersion) -> StoredVersion:
    return StoredVersion(
        resource_type=new.resource_type,
        id=new.id,
        version_id=new.version_id,
        last_updated=new.last_updated,
        body=new.body,
        method=new.method,
        deleted=new.method == "DELETE",
    )
