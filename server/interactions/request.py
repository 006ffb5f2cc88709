"""What passes through the one door: an interaction as asked, and its answer. No Flask, no SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from server.storage.interface import Store

InteractionName = Literal[
    "read",
    "vread",
    "create",
    "update",
    "delete",
    "history-instance",
    "history-type",
    "history-system",
    "search-type",
    "search-system",
    "batch",
    "transaction",
    "capabilities",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """Published in the CapabilityStatement. Bytes, entries and rows."""

    body_bytes: int = 5_000_000
    bundle_bytes: int = 32_000_000
    bundle_entries: int = 5_000
    nesting: int = 32
    count_default: int = 50
    count_maximum: int = 1_000
    includes_maximum: int = 1_000
    total_cap: int = 10_000


@dataclass(frozen=True, slots=True)
class Context:
    """The parts an interaction works with; made once by `app.create_app`.

    base_url: the FHIR base without a trailing slash. cursor_key: signs search cursors.
    """

    store: Store
    base_url: str
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    cursor_key: bytes
    time_zone: str
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class InteractionRequest:
    """One interaction. body: the decoded resource, None without one. query: decoded pairs in order.

    if_match and if_none_match: version ids without W/ and quotes, or "*". if_none_exist: its query string.
    prefer_return: minimal, representation, OperationOutcome. prefer_handling: strict or lenient.
    request_id: names the request in logs and audit.
    """

    interaction: InteractionName
    resource_type: str = ""
    id: str = ""
    version_id: str = ""
    query: tuple[tuple[str, str], ...] = ()
    body: dict[str, Any] | None = None
    if_match: str = ""
    if_none_match: str = ""
    if_modified_since: datetime | None = None
    if_none_exist: str | None = None
    prefer_return: Literal["", "minimal", "representation", "OperationOutcome"] = ""
    prefer_handling: Literal["", "strict", "lenient"] = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class InteractionResponse:
    """status, body bytes (JSON, possibly empty) and headers by their exact names."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
