"""Audit rows, the questions about them and the answers, as values (docs/reference/audit.md)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what to which resource; never content. docs/reference/audit.md tells of every field.

    patient: ids of the patients whose records were touched, sorted, separated by spaces. outcome: HTTP status.
    username, token_id: the account and the access token (a digest) that acted. purpose: of use, a code.
    address: where the request came from. results: how many resources an answer carried.
    detail: names, never values: search parameters, scopes, the error of an OAuth refusal.
    organization: the partner that acted, as "Organization/id"; "" for the site's own people and apps.
    """

    recorded: datetime
    principal: str
    client_id: str
    interaction: str
    resource_type: str
    id: str
    version_id: int
    patient: str
    outcome: int
    request_id: str
    username: str = ""
    token_id: str = ""
    purpose: str = ""
    address: str = ""
    results: int = 0
    detail: str = ""
    organization: str = ""


@dataclass(frozen=True, slots=True)
class AuditTest:
    """A field of AuditRow is one of the values, or none of them (negated); never without values.

    field: its name, "patient" for any of those that a row names, or "sequence" for the number in the chain.
    """

    field: str
    values: tuple[str | int, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class AuditRange:
    """low <= field < high, None for no bound. recorded: in milliseconds since 1970 UTC."""

    field: Literal["recorded", "outcome"]
    low: int | None = None
    high: int | None = None


# Any of the alternatives holds; of an alternative, all tests. No alternative: no row.
AuditCondition = tuple[tuple[AuditTest | AuditRange, ...], ...]


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which sealed audit rows: all conditions that are given (not "" and not None) must hold.

    since, until: recorded at or after, and before. patient: an id. outcome: "refused" (400 and above), "done"
    (below), or one status as digits. conditions: more of them. ascending: the oldest first. after:
    AuditPage.next_after of the page before.
    """

    since: datetime | None = None
    until: datetime | None = None
    patient: str = ""
    principal: str = ""
    client_id: str = ""
    interaction: str = ""
    outcome: str = ""
    resource_type: str = ""
    id: str = ""
    username: str = ""
    request_id: str = ""
    organization: str = ""
    conditions: tuple[AuditCondition, ...] = ()
    ascending: bool = False
    count: int = 50
    after: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """rows: (number in the chain, row), the latest first unless asked otherwise. next_after: None at the
    end."""

    rows: tuple[tuple[int, AuditRow], ...]
    next_after: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class AuditCount:
    """How many rows were recorded in the span that begins at start. refused: those of outcome 400 and above."""

    start: datetime
    rows: int
    refused: int
