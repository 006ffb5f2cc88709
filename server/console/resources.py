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
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionRequest


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
    """One version of a resource, its JSON indented for reading, and the versions there are."""

    resource_type: str
    id: str
    version_id: str
    text: str
    versions: tuple[VersionRow, ...]


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
    links = {link["relation"]: link["url"] for link in bundle.get("link", ())}
    following = urlsplit(links["next"]).query if "next" in links else ""
    return ResourcePage(tuple(rows), bundle.get("total"), following, tuple(notes))


def instance(
    context: Context, principal: Principal, resource_type: str, id: str, version_id: str = ""
) -> Instance:
    """An instance (its current version unless one is named) and its history.

    Raises: FhirError as history and vread would. A deleted version has an empty text.
    """
    history = _answer(
        context,
        principal,
        InteractionRequest("history-instance", resource_type, id, query=(("_count", "200"),)),
    )
    versions = tuple(_version_row(entry) for entry in history.get("entry", ()))
    wanted = version_id or (versions[0].version_id if versions else "")
    shown = next((row for row in versions if row.version_id == wanted), None)
    if shown is None:
        raise FhirError("not-found", "There is no such version.")
    text = ""
    if not shown.deleted:
        resource = _answer(
            context, principal, InteractionRequest("vread", resource_type, id, version_id=wanted)
        )
        text = msgspec.json.format(encode(resource), indent=2).decode()
    return Instance(resource_type, id, wanted, text, versions)


def _version_row(entry: dict[str, Any]) -> VersionRow:
    response = entry.get("response", {})
    method = entry.get("request", {}).get("method", "")
    return VersionRow(
        response.get("etag", "").removeprefix("W/").strip('"'),
        response.get("lastModified", ""),
        method,
        method == "DELETE",
    )


def _answer(context: Context, principal: Principal, request: InteractionRequest) -> dict[str, Any]:
    return decode(perform(context, principal, request).body)
