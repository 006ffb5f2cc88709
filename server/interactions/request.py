"""What passes through the one door: an interaction as asked, and its answer. No Flask, no SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from server.errors import Issue
from server.fhir.index_rows import IndexRows
from server.storage.audit_values import AuditRow
from server.storage.interface import Store

InteractionName = Literal[
    "read",
    "vread",
    "create",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "history-system",
    "search-type",
    "search-system",
    "batch",
    "transaction",
    "operation",
    "capabilities",
    "async-status",
    "async-cancel",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """Published in the CapabilityStatement, and set by BATON_LIMITS. Bytes, entries, rows and parameters.

    elements: of the JSON of one resource (`json_codec.has_more_elements`). index_values: of one resource.
    custom_search_parameters: of all SearchParameter resources, one for each base type. async_*: of what is done
    later (Prefer: respond-async); async_requests: of one client and not yet answered.
    """

    body_bytes: int = 5_000_000
    bundle_bytes: int = 32_000_000
    bundle_entries: int = 5_000
    elements: int = 50_000
    bundle_elements: int = 2_000_000
    index_values: int = 20_000
    nesting: int = 32
    url_bytes: int = 16_384
    query_parameters: int = 500
    count_default: int = 50
    count_maximum: int = 1_000
    includes_maximum: int = 1_000
    total_cap: int = 10_000
    custom_search_parameters: int = 200
    async_requests: int = 20
    async_bundle_bytes: int = 64_000_000
    async_bundle_entries: int = 10_000
    async_bundle_elements: int = 4_000_000
    async_answer_bytes: int = 100_000_000
    async_hours: int = 24


@dataclass(frozen=True, slots=True)
class Context:
    """The parts an interaction works with; made once by `app.create_app`.

    base_url: the FHIR base without a trailing slash. cursor_key: signs paging cursors. audit: keeps the row
    of an interaction that wrote nothing (reads, refusals); writes put theirs into their own transaction.
    software_version: named in the CapabilityStatement. blind_writes: existing resources may be replaced without
    If-Match whatever their type; for what is loaded or mapped, never for what comes over HTTP.
    of_record: what is written tells of what happened in the system that keeps it (an HL7 v2 feed: an order was
    cancelled there), so lifecycles do not judge it. compared: an update with If-Match says something else than
    the version it names, which was looked at, so it is not compared once more.
    """

    store: Store
    base_url: str
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    cursor_key: bytes
    time_zone: str
    audit: Callable[[AuditRow], None]
    limits: Limits = field(default_factory=Limits)
    software_version: str = ""
    blind_writes: bool = False
    of_record: bool = False
    compared: bool = False


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch, decoded but not yet looked at.

    format: "json" (content: the operations), "merge" (the changes), "fhirpath" (the Parameters resource).
    """

    format: Literal["json", "merge", "fhirpath"]
    content: Any


@dataclass(frozen=True, slots=True)
class InteractionRequest:
    """One interaction. body: the decoded resource, None without one. query: decoded pairs in order, without
    the parameters of the HTTP exchange itself (_format, _pretty). operation: its name, without the dollar sign.

    if_match and if_none_match: version ids without W/ and quotes, or "*". if_none_exist: its query string.
    prefer_return: minimal, representation, OperationOutcome. prefer_handling: strict or lenient.
    compartment: "Type/id" of the resource in whose compartment is searched, "" for none.
    request_id: names the request in logs and audit. index: the body's rows, once it was found valid. patch:
    what a patch interaction applies. Of an update, patch or delete the query is the condition that names its
    resource; id is "" until it is known which one that is.
    """

    interaction: InteractionName
    resource_type: str = ""
    id: str = ""
    version_id: str = ""
    operation: str = ""
    query: tuple[tuple[str, str], ...] = ()
    body: dict[str, Any] | None = None
    if_match: str = ""
    if_none_match: str = ""
    if_modified_since: datetime | None = None
    if_none_exist: str | None = None
    prefer_return: Literal["", "minimal", "representation", "OperationOutcome"] = ""
    prefer_handling: Literal["", "strict", "lenient"] = ""
    request_id: str = ""
    index: IndexRows | None = None
    compartment: str = ""
    patch: Patch | None = None

    @property
    def by_criteria(self) -> bool:
        """Of a write: its resource was found by a condition instead of being named."""
        return bool(self.query)


@dataclass(frozen=True, slots=True)
class InteractionResponse:
    """status, body (JSON, possibly empty) and headers by their exact names.

    id, version_id, last_updated: the version that was read or written, "" / 0 / None for none. patients,
    results, detail: whose records were touched, how many resources go out, and AuditRow.detail: for the audit
    trail. issues: what a bundle entry's outcome says of a success, for example that nothing had to be changed.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    version_id: int = 0
    last_updated: datetime | None = None
    patients: tuple[str, ...] = ()
    results: int = 0
    detail: str = ""
    issues: tuple[Issue, ...] = ()
