"""What the console shows of stored resources: a page of a search, and an instance with its history.

Read through the same door as every other caller; nothing here knows Flask or SQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from server.auth.principal import Principal
from server.errors import FhirError
from server.fhir.json_codec import decode, encode
from server.fhir.unstored import UNSTORED
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionRequest

VERSIONS = 100  # a page


@dataclass(frozen=True, slots=True)
class Row:
    """One resource of a list."""

    resource_type: str
    id: str
    version_id: str
    last_updated: str
    size: int


@dataclass(frozen=True, slots=True)
class ResourcePage:
    """A page of a search. total: as the server answered, None if it did not. next_query: "" at the end."""

    rows: tuple[Row, ...]
    total: int | None
    next_query: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of an instance's history."""

    version_id: str
    last_updated: str
    method: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class Instance:
    """One version of a resource, its JSON indented for reading ("" of a deletion), and a page of its versions.

    before, after: the versions that are compared unless others are named. older_query: of the next page of
    versions, "" at the end.
    """

    resource_type: str
    id: str
    version_id: str
    text: str
    versions: tuple[VersionRow, ...]
    before: str
    after: str
    older_query: str


def resource_page(context: Context, principal: Principal, resource_type: str, query: str) -> ResourcePage:
    """The page that a search of resource_type with this query string gives.

    Raises: FhirError as the search itself would.
    """
    pairs = tuple(parse_qsl(query, keep_blank_values=True)) or (("_count", "25"), ("_sort", "-_lastUpdated"))
    bundle = _answer(context, principal, InteractionRequest("search-type", resource_type, query=pairs))
    rows, notes = [], []
    for entry in bundle.get("entry", ()):
        resource = entry["resource"]
        if resource["resourceType"] == "OperationOutcome" and entry.get("search", {}).get("mode") == "outcome":
            notes += [issue.get("diagnostics", "") for issue in resource["issue"]]
            continue
        meta = resource.get("meta", {})
        rows.append(
            Row(
                resource["resourceType"],
                resource["id"],
                meta.get("versionId", ""),
                meta.get("lastUpdated", ""),
                len(encode(resource)),
            )
        )
    return ResourcePage(tuple(rows), bundle.get("total"), _next_query(bundle), tuple(notes))


def instance(
    context: Context,
    principal: Principal,
    resource_type: str,
    id: str,
    version_id: str = "",
    older_query: str = "",
) -> Instance:
    """An instance (its current version unless one is named) and its history, from the page named on.

    Raises: FhirError as history and vread would.
    """
    if resource_type in UNSTORED:
        event = _answer(context, principal, InteractionRequest("read", resource_type, id))
        return Instance(resource_type, id, "1", _indented(event), (), "1", "1", "")
    pairs = tuple(parse_qsl(older_query, keep_blank_values=True)) or (("_count", str(VERSIONS)),)
    history = _answer(
        context, principal, InteractionRequest("history-instance", resource_type, id, query=pairs)
    )
    versions = tuple(_version_row(entry) for entry in history.get("entry", ()))
    wanted = version_id or (versions[0].version_id if versions else "")
    resource = version_content(context, principal, resource_type, id, wanted) if wanted else None
    text = _indented(resource) if resource else ""
    before = str(max(int(wanted) - 1, 1)) if wanted.isdecimal() else "1"
    return Instance(resource_type, id, wanted, text, versions, before, wanted, _next_query(history))


def version_content(
    context: Context, principal: Principal, resource_type: str, id: str, version_id: str
) -> dict[str, Any] | None:
    """The content of a version, None of a deletion. Raises: FhirError as vread would."""
    try:
        return _answer(
            context, principal, InteractionRequest("vread", resource_type, id, version_id=version_id)
        )
    except FhirError as error:
        if error.kind != "deleted":
            raise
        return None


def _version_row(entry: dict[str, Any]) -> VersionRow:
    response = entry.get("response", {})
    method = entry.get("request", {}).get("method", "")
    return VersionRow(
        response.get("etag", "").removeprefix("W/").strip('"'),
        response.get("lastModified", ""),
        method,
        method == "DELETE",
    )


def _indented(resource: dict[str, Any]) -> str:
    return msgspec.json.format(encode(resource), indent=2).decode()


def _next_query(bundle: dict[str, Any]) -> str:
    """The query string of a Bundle's next page, "" at the end."""
    links = {link["relation"]: link["url"] for link in bundle.get("link", ())}
    return urlsplit(links["next"]).query if "next" in links else ""


def _answer(context: Context, principal: Principal, request: InteractionRequest) -> dict[str, Any]:
    return decode(perform(context, principal, request).body)
