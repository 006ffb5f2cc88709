"""$validate: would this server take the resource? Nothing is stored.

The answer is 200 with an OperationOutcome, whatever it says; another status means that nothing was checked.
What was not checked (a profile) is said, and an asked-for profile that cannot be checked is an error: silence
would pass for a yes.
Source: hl7.org/fhir/R4/resource-operation-validate.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from server.auth.access import Decision
from server.errors import FhirError, Issue, operation_outcome
from server.fhir.index_rows import IndexRows
from server.fhir.index_values import index_values
from server.fhir.json_codec import decode, encode
from server.fhir.validation import validate as faults
from server.interactions.answer import absent, gone
from server.interactions.call import Call
from server.interactions.lifecycle import check_lifecycle
from server.interactions.operations.definition import Arguments
from server.interactions.operations.parameters import place_of
from server.interactions.patients import patients_of
from server.interactions.request import InteractionResponse
from server.interactions.writable import is_replaceable, is_writable
from server.storage.interface import Reader, Writer
from server.storage.versions import StoredVersion

# Code of resource-validation-mode -> whether it speaks of one resource of this server.
_MODES = {"create": False, "update": True, "delete": True, "profile": True}
_PROFILES = "http://hl7.org/fhir/StructureDefinition/"
_MODE = "mode"
_ALL_OK = Issue("informational", "no fault was found", severity="information")


def validate(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """An OperationOutcome: what is wrong with the resource, or that nothing is.

    Raises: FhirError required (no resource), invalid-search (mode), and as a read where a stored resource is
    the one to be checked.
    """
    mode, resource = arguments.one(_MODE), arguments.one("resource")
    _check_mode(call, mode)
    stored: StoredVersion | None = None
    if resource is None and mode != "delete":
        if not call.request.id or mode in ("create", "update"):
            raise FhirError(
                "required", "$validate needs the parameter resource", place_of(call.request, "resource")
            )
        stored = _stored(call)
        resource = decode(stored.body)
    issues = list(_deletion(call) if mode == "delete" else _content(call, resource, mode))
    if mode != "delete":
        issues += _profile_issues(call, resource, arguments.one("profile"))
    if not any(issue.severity in ("error", "fatal") for issue in issues):
        issues.append(_ALL_OK)
    patients = patients_of((stored,), call.context.base_url) if stored else ()
    return InteractionResponse(200, encode(operation_outcome(issues)), patients=patients)


def _check_mode(call: Call[Reader], mode: str | None) -> None:
    if mode is None:
        return
    if mode not in _MODES:
        raise FhirError("invalid-search", f"mode is one of {', '.join(_MODES)}", place_of(call.request, "mode"))
    if _MODES[mode] and not call.request.id:
        raise FhirError(
            "invalid-search",
            f"mode {mode} is asked of one resource: [type]/[id]",
            place_of(call.request, "mode"),
        )


def _stored(call: Call[Reader]) -> StoredVersion:
    request = call.request
    visible = call.decide("read", request.resource_type).visible
    version = call.unit.read(request.resource_type, request.id, visible)
    if version is None:
        raise absent(request.resource_type)
    if version.deleted:
        raise gone(call.context, version)
    return version


def _content(call: Call[Reader], resource: dict[str, Any], mode: str | None) -> Iterator[Issue]:
    """What is wrong with the content, and with writing it as the mode says."""
    request = call.request
    if resource.get("resourceType") != request.resource_type:
        yield Issue("invalid", "the resource is not of the type in the URL", "resourceType")
        return
    found = faults(resource)
    yield from found
    if found:
        return
    id = request.id or "new"
    try:
        index = index_values(
            {**resource, "id": id}, base_url=call.context.base_url, time_zone=call.context.time_zone
        )
    except FhirError as error:
        yield from error.issues
        return
    most = call.context.limits.index_values
    if index.size > most:
        yield Issue(
            "too-costly",
            f"the resource has more than {most} values that can be searched for (limit: index-values)",
        )
    if mode in ("create", "update"):
        yield from _writing(call, mode, resource, index)


def _writing(call: Call[Reader], mode: str, resource: dict[str, Any], index: IndexRows) -> Iterator[Issue]:
    request = call.request
    if mode == "update" and resource.get("id") != request.id:
        yield Issue("invalid", "the resource's id is not that of the URL", f"{request.resource_type}.id")
    decision = _decision(call, mode)
    if not isinstance(decision, Decision):
        yield from decision
        return
    if not is_writable(call, decision, index, {**resource, "id": request.id or "new"}, new=mode == "create"):
        yield Issue("forbidden", "the token does not allow a resource with this content to be written")
    if mode == "update":
        current = call.unit.read(request.resource_type, request.id, decision.visible)
        if current is None or current.deleted:
            yield Issue("not-found", "there is no resource with this id to be updated", severity="information")
        else:
            yield from _version_issues(call, current)
            yield from _lifecycle_issues(call, current, resource)


def _deletion(call: Call[Reader]) -> Iterator[Issue]:
    request = call.request
    decision = _decision(call, "delete")
    if not isinstance(decision, Decision):
        yield from decision
        return
    current = call.unit.read(request.resource_type, request.id, decision.visible)
    if current is None or current.deleted:
        yield Issue("not-found", "there is no resource with this id to be deleted", severity="information")
        return
    yield from _version_issues(call, current)
    content = decode(current.body)
    index = index_values(content, base_url=call.context.base_url, time_zone=call.context.time_zone)
    if not is_replaceable(call, decision, index, content):
        yield Issue("forbidden", "the token does not allow this resource to be deleted")


def _decision(call: Call[Reader], interaction: str) -> Decision | tuple[Issue, ...]:
    """What the caller may write, or why nothing."""
    try:
        return call.decide(interaction, call.request.resource_type)
    except FhirError as error:
        return error.issues


def _version_issues(call: Call[Reader], current: StoredVersion) -> Iterator[Issue]:
    if call.request.if_match not in ("", "*", str(current.version_id)):
        yield Issue("conflict", "If-Match does not name the current version")


def _lifecycle_issues(
    call: Call[Reader], current: StoredVersion, resource: dict[str, Any]
) -> tuple[Issue, ...]:
    try:
        check_lifecycle(cast("Call[Writer]", call), current, resource)  # it reads only
    except FhirError as error:
        return error.issues
    return ()


def _profile_issues(call: Call[Reader], resource: dict[str, Any], asked: str | None) -> Iterator[Issue]:
    resource_type = call.request.resource_type
    base = {f"{_PROFILES}{resource_type}", f"{_PROFILES}{resource_type}|4.0.1"}
    if asked is not None and asked not in base:
        yield Issue(
            "not-supported",
            "not checked against the profile that was asked for",
            place_of(call.request, "profile"),
        )
    claimed = resource.get("meta")
    claimed = claimed.get("profile") if isinstance(claimed, dict) else None
    for position, url in enumerate(claimed if isinstance(claimed, list) else ()):
        if url not in base:
            yield Issue(
                "not-supported",
                "not checked against this profile, only against the base specification",
                f"{resource_type}.meta.profile[{position}]",
                severity="warning",
            )
