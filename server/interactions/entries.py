"""Entries of a batch or transaction: each one an interaction like any other, each answer a row.

Sources: hl7.org/fhir/R4/http.html#transaction, hl7.org/fhir/R4/bundle.html#bundle-response
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from server.errors import FhirError, Issue, operation_outcome
from server.fhir.bundle import METHODS
from server.fhir.json_codec import has_more_elements
from server.interactions.etag import read_if_match, read_if_none_match
from server.interactions.patch_formats import patch_of_entry
from server.interactions.request import Context, InteractionRequest, InteractionResponse
from server.interactions.routes import Route, find_route
from server.interactions.version import instant


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, read. position: its index in Bundle.entry. full_url: "" where none is given."""

    position: int
    full_url: str
    method: str
    request: InteractionRequest


def entries_of(context: Context, request: InteractionRequest) -> list[Any]:
    """Bundle.entry, not yet read.

    Raises: FhirError invalid-resource, too-large (more entries than the published limit).
    """
    entries = (request.body or {}).get("entry", [])
    if not isinstance(entries, list):
        raise FhirError("invalid-resource", "Bundle.entry is not a list", "Bundle.entry")
    if len(entries) > context.limits.bundle_entries:
        raise FhirError("too-large", f"a Bundle may have {context.limits.bundle_entries} entries at most")
    return entries


def read_entry(context: Context, parent: InteractionRequest, position: int, entry: Any) -> Entry:
    """An entry as an interaction.

    Raises: FhirError, its expressions starting with `Bundle.entry[position]`.
    """
    try:
        return _read_entry(context, parent, position, entry)
    except FhirError as error:
        raise at_entry(error, position, "request") from None


def at_entry(error: FhirError, position: int, part: str = "", *, of_patch: bool = False) -> FhirError:
    """The same error, said of an entry. part: the element of the entry that is meant where the issue names
    none. of_patch: the entry's resource is a patch, not what is written."""
    issues = []
    for issue in error.issues:
        expression, diagnostics = f"Bundle.entry[{position}]", issue.diagnostics
        if of_patch and issue.expression[:1].isupper() and not issue.expression.startswith(_PATCH_RESOURCES):
            diagnostics += f" (in the patched resource at {issue.expression})"
        elif issue.expression:
            # "Patient.name[0]" of the entry's resource is "Bundle.entry[3].resource.name[0]" of the Bundle.
            root, _, below = issue.expression.partition(".")
            expression += f".resource.{below if below and root[0].isupper() else issue.expression}"
        elif part:
            expression += f".{part}"
        issues.append(Issue(issue.code, diagnostics, expression, issue.severity))
    return FhirError(error.kind, issues=tuple(issues))


def row(context: Context, request: InteractionRequest, response: InteractionResponse) -> dict[str, Any]:
    """The response entry of an interaction that succeeded (or answered 304)."""
    said: dict[str, Any] = {"status": f"{response.status} {HTTPStatus(response.status).phrase}"}
    result: dict[str, Any] = {}
    if response.version_id:
        path = f"{context.base_url}/{request.resource_type}/{response.id}"
        said["location"] = f"{path}/_history/{response.version_id}"
        said["etag"] = response.headers["ETag"]
        if request.interaction not in ("delete", "operation"):
            result["fullUrl"] = path
    if response.last_updated is not None:
        said["lastModified"] = instant(response.last_updated)
    if (
        response.body
        and request.prefer_return == "OperationOutcome"
        and request.interaction in ("create", "update", "patch")
    ):
        said["outcome"] = msgspec.Raw(response.body)
    else:
        if response.issues:
            said["outcome"] = operation_outcome(response.issues)
        if response.body:
            result["resource"] = msgspec.Raw(response.body)
    result["response"] = said
    return result


def error_row(error: FhirError, etag: str = "") -> dict[str, Any]:
    """The response entry of an interaction that failed. etag: of the version in force, where it is told."""
    status = f"{error.status} {HTTPStatus(error.status).phrase}"
    said: dict[str, Any] = {"status": status, "outcome": error.outcome()}
    if etag:
        said["etag"] = etag
    return {"response": said}


def _read_entry(context: Context, parent: InteractionRequest, position: int, entry: Any) -> Entry:
    if not isinstance(entry, dict):
        raise FhirError("invalid-resource", "the entry is not an object")
    asked = entry.get("request")
    if not isinstance(asked, dict):
        raise FhirError("required", "the entry has no request")
    method, url = _text(asked, "method"), _text(asked, "url")
    if method not in METHODS:
        raise FhirError("invalid-request", "request.method is not GET, HEAD, POST, PUT, PATCH or DELETE")
    if not url:
        raise FhirError("required", "request.url is missing")
    path, _, query = url.removeprefix(context.base_url).removeprefix("/").partition("?")
    route = find_route(method, unquote(path))
    if route.interaction not in _IN_BUNDLES or route.template.endswith("_search"):
        raise FhirError("invalid-request", "this interaction cannot stand in a Bundle")
    resource = entry.get("resource")
    if resource is not None and not isinstance(resource, dict):
        raise FhirError("invalid-resource", "resource is not an object")
    most = context.limits.elements
    if resource is not None and has_more_elements(resource, most):
        raise FhirError("too-costly", f"the resource has more than {most} elements (limit: elements)")
    try:
        given = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=200) if query else ()
    except ValueError:
        raise FhirError("invalid-request", "the query string of request.url is malformed") from None
    # The format of an entry is that of its Bundle.
    pairs = tuple(pair for pair in given if pair[0] not in ("_format", "_pretty"))
    if pairs and not _takes_parameters(method, route):
        raise FhirError("invalid-request", f"{method} takes no parameters in this URL")
    conditional = "ifNoneExist" in asked  # such a create gets its id when it is known whether it creates
    request = InteractionRequest(
        interaction=route.interaction,  # type: ignore[arg-type]
        resource_type=route.resource_type,
        id=context.new_id() if route.interaction == "create" and not conditional else route.id,
        version_id=route.version_id,
        operation=route.operation,
        query=pairs,
        body=resource if method != "PATCH" else None,
        patch=patch_of_entry(resource, context.limits) if method == "PATCH" else None,
        if_match=read_if_match(_text(asked, "ifMatch")),
        if_none_match=read_if_none_match(_text(asked, "ifNoneMatch")),
        if_modified_since=_moment(_text(asked, "ifModifiedSince")),
        if_none_exist=_text(asked, "ifNoneExist") if conditional else None,
        prefer_return=parent.prefer_return or "minimal",
        prefer_handling=parent.prefer_handling,
        request_id=parent.request_id,
        compartment=route.compartment,
    )
    return Entry(position, _text(entry, "fullUrl"), method, request)


def _takes_parameters(method: str, route: Route) -> bool:
    """A search, an operation, or a write whose resource a condition names."""
    conditional = route.template == "{type}" and method in ("PUT", "PATCH", "DELETE")
    return conditional or method in ("GET", "HEAD") or route.interaction == "operation"


_PATCH_RESOURCES = ("Parameters", "Binary")  # what a patch comes as
_IN_BUNDLES = frozenset(
    (
        "read",
        "vread",
        "create",
        "update",
        "patch",
        "delete",
        "search-type",
        "search-system",
        "history-instance",
        "history-type",
        "history-system",
        "operation",
        "capabilities",
    )
)


def _text(element: dict[str, Any], name: str) -> str:
    value = element.get(name, "")
    if not isinstance(value, str):
        raise FhirError("invalid-resource", f"{name} is not a string")
    return value


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise FhirError("invalid-request", "ifModifiedSince is not an instant")
    return moment
