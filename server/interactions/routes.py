"""The route table of the FHIR API: method + path -> interaction. HTTP and bundle entries ask the same table.

Adding an interaction is adding a row; the CapabilityStatement reads the same rows.
Source: hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.errors import FhirError
from server.fhir.compartments import COMPARTMENTS, RESOURCE_TYPES
from server.interactions.audit import is_id
from server.interactions.operations import find_operation
from server.interactions.operations.definition import Level, Operation
from server.interactions.request import InteractionName

# Template -> method -> interaction. `bundle` is batch or transaction: the Bundle's type decides.
ROUTES: dict[str, dict[str, InteractionName | str]] = {
    "": {"GET": "search-system", "POST": "bundle"},
    "_search": {"POST": "search-system"},
    "metadata": {"GET": "capabilities"},
    "_history": {"GET": "history-system"},
    "_async/{id}": {"GET": "async-status", "DELETE": "async-cancel"},
    "{type}": {"GET": "search-type", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"},
    "{type}/_search": {"POST": "search-type"},
    "{type}/_history": {"GET": "history-type"},
    "{type}/{id}": {"GET": "read", "PUT": "update", "PATCH": "patch", "DELETE": "delete"},
    "{type}/{id}/_history": {"GET": "history-instance"},
    "{type}/{id}/_history/{version_id}": {"GET": "vread"},
    "{compartment}/{id}/{type}": {"GET": "search-type"},
    "{compartment}/{id}/{type}/_search": {"POST": "search-type"},
    "{compartment}/{id}/*": {"GET": "search-system"},
    "{compartment}/{id}/*/_search": {"POST": "search-system"},
}
_SYSTEM = frozenset({"", "metadata", "_history", "_search"})


# What an operation is asked of -> its level; of any other path there is none.
_LEVELS: dict[str, Level] = {
    "": "system",
    "{type}": "type",
    "{type}/{id}": "instance",
    "{type}/{id}/_history/{version_id}": "version",
}


@dataclass(frozen=True, slots=True)
class Route:
    """A path and method that were found. template: for logs and metrics, which never see the path itself.
    operation: the name of one, without the dollar sign.

    compartment: "Type/id" of the resource in whose compartment is searched, "" for none.
    """

    interaction: str
    template: str
    resource_type: str = ""
    id: str = ""
    version_id: str = ""
    operation: str = ""
    compartment: str = ""


def find_route(method: str, path: str) -> Route:
    """The interaction of a method and a path relative to the FHIR base; one trailing slash is ignored.

    Raises: FhirError unknown-type, unknown-operation, not-found (no such path), method-not-allowed (with
    Allow). Texts do not repeat the path: it may hold a patient's data.
    """
    if _is_operation(path):
        operation, route = _operation_route(path)
        if ("GET" if method == "HEAD" else method) not in operation.methods:
            raise _not_allowed(route.template, operation.methods)
        return route
    template, resource_type, id, version_id = _take_apart(path)
    methods = ROUTES[template]
    interaction = methods.get("GET" if method == "HEAD" else method)
    if interaction is None:
        raise _not_allowed(template, methods)
    if template.startswith("{compartment}"):
        return Route(interaction, template, resource_type, compartment=id)
    return Route(interaction, template, resource_type, id, version_id)


def template_of(path: str) -> str:
    """The route template of a path, "unknown" where there is none."""
    try:
        return _operation_route(path)[1].template if _is_operation(path) else _take_apart(path)[0]
    except FhirError:
        return "unknown"


def _not_allowed(template: str, methods: Iterable[str]) -> FhirError:
    allow = list(methods)
    if "GET" in allow:
        allow.insert(allow.index("GET") + 1, "HEAD")
    return FhirError(
        "method-not-allowed",
        f"[base]/{template} can be asked by {', '.join(allow)} only",
        headers={"Allow": ", ".join(allow)},
    )


def _is_operation(path: str) -> bool:
    return path.removesuffix("/").rpartition("/")[2].startswith("$")


def _operation_route(path: str) -> tuple[Operation, Route]:
    """The operation that the last part of a path names, asked of what stands before it."""
    before, _, last = path.removesuffix("/").rpartition("/")
    template, resource_type, id, version_id = _take_apart(before)
    if template not in _LEVELS:
        raise FhirError("unknown-operation", "this server has no operations here")
    operation = find_operation(last[1:], resource_type, _LEVELS[template])
    whole = f"{template}/${operation.name}".removeprefix("/")
    return operation, Route("operation", whole, resource_type, id, version_id, operation.name)


def _take_apart(path: str) -> tuple[str, str, str, str]:
    parts = path.removesuffix("/").split("/")
    first = parts[0]
    if len(parts) == 1 and first in _SYSTEM:
        return first, "", "", ""
    if first == "_async" and len(parts) == 2:
        return "_async/{id}", "", parts[1], ""
    if first.startswith(("$", "_")) or any(part.startswith("$") for part in parts[1:]):
        raise FhirError("unknown-operation", "this server has no such operation here")
    if first not in RESOURCE_TYPES:
        raise FhirError("unknown-type", "the first part of the path is not a resource type of FHIR R4")
    match parts[1:]:
        case []:
            return "{type}", first, "", ""
        case ["_search"]:
            return "{type}/_search", first, "", ""
        case ["_history"]:
            return "{type}/_history", first, "", ""
        case [id]:
            return "{type}/{id}", first, id, ""
        case [id, "_history"]:
            return "{type}/{id}/_history", first, id, ""
        case [id, member, *rest] if _is_compartment(first, id, member) and rest in ([], ["_search"]):
            kind = "*" if member == "*" else "{type}"
            template = "/".join(("{compartment}/{id}", kind, *rest))
            return template, "" if member == "*" else member, f"{first}/{id}", ""
        case [id, "_history", version_id]:
            return "{type}/{id}/_history/{version_id}", first, id, version_id
    raise FhirError("not-found", "there is no such path; see [base]/metadata for what this server offers")


def _is_compartment(resource_type: str, id: str, member: str) -> bool:
    """Whether `resource_type/id/member` searches a compartment, for a type that can be in it or all of them."""
    members = COMPARTMENTS.get(resource_type, {})
    return is_id(id) and bool(members) and (member == "*" or member in members)
