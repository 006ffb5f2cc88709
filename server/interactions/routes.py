"""The route table of the FHIR API: method + path -> interaction. HTTP and bundle entries ask the same table.

Adding an interaction is adding a row; the CapabilityStatement reads the same rows.
Source: hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

from dataclasses import dataclass

from server.errors import FhirError
from server.fhir.compartments import RESOURCE_TYPES
from server.interactions.request import InteractionName

# Template -> method -> interaction. `bundle` is batch or transaction: the Bundle's type decides.
ROUTES: dict[str, dict[str, InteractionName | str]] = {
    "": {"POST": "bundle"},
    "metadata": {"GET": "capabilities"},
    "_history": {"GET": "history-system"},
    "{type}": {"GET": "search-type", "POST": "create"},
    "{type}/_search": {"POST": "search-type"},
    "{type}/_history": {"GET": "history-type"},
    "{type}/{id}": {"GET": "read", "PUT": "update", "DELETE": "delete"},
    "{type}/{id}/_history": {"GET": "history-instance"},
    "{type}/{id}/_history/{version_id}": {"GET": "vread"},
}
_SYSTEM = frozenset({"", "metadata", "_history"})


@dataclass(frozen=True, slots=True)
class Route:
    """A path and method that were found. template: for logs and metrics, which never see the path itself."""

    interaction: str
    template: str
    resource_type: str = ""
    id: str = ""
    version_id: str = ""


def find_route(method: str, path: str) -> Route:
    """The interaction of a method and a path relative to the FHIR base; one trailing slash is ignored.

    Raises: FhirError unknown-type, not-found (no such path), method-not-allowed (with Allow). Texts do not
    repeat the path: it may hold a patient's data.
    """
    template, resource_type, id, version_id = _take_apart(path)
    methods = ROUTES[template]
    interaction = methods.get("GET" if method == "HEAD" else method)
    if interaction is None:
        allow = list(methods)
        if "GET" in methods:
            allow.insert(allow.index("GET") + 1, "HEAD")
        raise FhirError(
            "method-not-allowed",
            f"[base]/{template} can be asked by {', '.join(allow)} only",
            headers={"Allow": ", ".join(allow)},
        )
    return Route(interaction, template, resource_type, id, version_id)


def template_of(path: str) -> str:
    """The route template of a path, "unknown" where there is none."""
    try:
        return _take_apart(path)[0]
    except FhirError:
        return "unknown"


def _take_apart(path: str) -> tuple[str, str, str, str]:
    parts = path.removesuffix("/").split("/")
    first = parts[0]
    if len(parts) == 1 and first in _SYSTEM:
        return first, "", "", ""
    if first.startswith(("$", "_")) or any(part.startswith("$") for part in parts[1:]):
        raise FhirError("not-found", "this server has no such operation here")
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
        case [id, "_history", version_id]:
            return "{type}/{id}/_history/{version_id}", first, id, version_id
    raise FhirError("not-found", "there is no such path; see [base]/metadata for what this server offers")
