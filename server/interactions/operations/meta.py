"""$meta, $meta-add and $meta-delete: profiles, tags and security labels of one resource.

A change is a version like any other: what a resource says of itself decides who may see it, so its history has
to show it. Adding what is there and deleting what is not makes no version.
Source: hl7.org/fhir/R4/resource-operation-meta.html, resource-operation-meta-add.html,
resource-operation-meta-delete.html
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

from server.errors import FhirError
from server.fhir.json_codec import decode, encode
from server.interactions.answer import absent, gone
from server.interactions.call import Call
from server.interactions.content import prepared
from server.interactions.etag import etag
from server.interactions.operations.definition import Arguments
from server.interactions.read import read, vread
from server.interactions.request import InteractionResponse
from server.interactions.update import update
from server.storage.interface import Reader, Writer


def _coding(coding: Any) -> Hashable:
    """Tags and labels are one where system and code are; version and display are left aside."""
    if not isinstance(coding, dict):
        raise FhirError("invalid-search", "tags and security labels are Codings", _WHERE)
    return repr(coding.get("system")), repr(coding.get("code"))


def _profile(url: Any) -> Hashable:
    if not isinstance(url, str):
        raise FhirError("invalid-search", "profiles are canonical URLs", _WHERE)
    return url


_WHERE = "Parameters.parameter.where(name = 'meta')"
# The sets of a Meta, and what makes two members the same one.
_SETS: dict[str, Callable[[Any], Hashable]] = {"profile": _profile, "security": _coding, "tag": _coding}


def meta(call: Call[Reader], arguments: Arguments) -> InteractionResponse:
    """The meta of the current version, or of the version that the URL names.

    Raises: FhirError not-found, deleted.
    """
    show = vread if call.request.version_id else read
    plain = replace(call, request=replace(call.request, if_none_match="", if_modified_since=None))
    response = show(plain)
    return replace(response, body=_parameters(decode(response.body)))


def meta_add(call: Call[Writer], arguments: Arguments) -> InteractionResponse:
    """The resource with these profiles, tags and labels as well, and its meta as the answer.

    Raises: FhirError not-found, deleted, and as `update`.
    """

    def united(present: list[Any], given: list[Any], key: Callable[[Any], Hashable]) -> list[Any]:
        known = {key(member) for member in present}
        return [*present, *{key(m): m for m in given if key(m) not in known}.values()]

    return _changed(call, arguments.one("meta"), united)


def meta_delete(call: Call[Writer], arguments: Arguments) -> InteractionResponse:
    """The resource without these profiles, tags and labels, and its meta as the answer.

    Raises: FhirError not-found, deleted, and as `update`.
    """

    def without(present: list[Any], given: list[Any], key: Callable[[Any], Hashable]) -> list[Any]:
        dropped = {key(member) for member in given}
        return [member for member in present if key(member) not in dropped]

    return _changed(call, arguments.one("meta"), without)


_Change = Callable[[list[Any], list[Any], Callable[[Any], Hashable]], list[Any]]


def _changed(call: Call[Writer], given: dict[str, Any], change: _Change) -> InteractionResponse:
    request = call.request
    # It answers with what is there, so it needs the permission to read as well.
    visible = call.decide("read", request.resource_type).visible
    current = call.unit.read(request.resource_type, request.id, visible)
    if current is None:
        raise absent(request.resource_type)
    if current.deleted:
        raise gone(call.context, current)
    resource = decode(current.body)
    own = dict(resource.get("meta", {}))
    for name, key in _SETS.items():
        members = change(own.get(name, []), _members(given, name), key)
        own.pop(name, None)
        if members:
            own[name] = members
    written = replace(
        request,
        interaction="update",
        operation="",
        query=(),
        if_match=request.if_match or str(current.version_id),
        prefer_return="representation",
    )
    written = prepared(call.context, written, {**resource, "meta": own})
    response = update(replace(call, request=written))
    return InteractionResponse(
        200,
        _parameters(decode(response.body)),
        headers={"ETag": etag(response.version_id)},
        id=response.id,
        version_id=response.version_id,
        last_updated=response.last_updated,
        patients=response.patients,
        results=1,
    )


def _members(given: dict[str, Any], name: str) -> list[Any]:
    members = given.get(name, [])
    if not isinstance(members, list):
        raise FhirError("invalid-search", f"meta.{name} is not a list", _WHERE)
    return members


def _parameters(resource: dict[str, Any]) -> bytes:
    row = {"name": "return", "valueMeta": resource.get("meta", {})}
    return encode({"resourceType": "Parameters", "parameter": [row]})
