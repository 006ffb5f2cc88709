"""What the store answers with besides resources: pages of searches, records and histories, totals, plans."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from server.storage.versions import StoredVersion


@dataclass(frozen=True, slots=True)
class CandidateList:
    """A list a search could have been driven from. of: what it lists. length: cap + 1 for longer than cap."""

    of: str
    length: int
    cap: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as it ran. plan: the steps of the database's plan. rows: how many it gave."""

    sql: str
    plan: tuple[str, ...]
    milliseconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class TypeSearched:
    """How the matches of a type were found. conditions: as they were understood.

    way: "driven" from a list, "window" (the first rows in the order asked for), "whole type", "" where nothing
    of the type may be seen.
    """

    resource_type: str
    conditions: tuple[str, ...]
    way: str
    lists: tuple[CandidateList, ...]


@dataclass(frozen=True, slots=True)
class SearchExplanation:
    """types: one for each type that was searched. statements: in the order in which they ran."""

    types: tuple[TypeSearched, ...]
    statements: tuple[Statement, ...]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class SearchPage:
    """matches in order, then `included` (never counted). next_after: for SearchQuery.after, None at the end.

    includes_truncated: there were more included resources than the limit; say so to the caller.
    """

    matches: tuple[StoredVersion, ...]
    included: tuple[StoredVersion, ...]
    next_after: tuple[str | int | float | None, ...] | None
    includes_truncated: bool = False


# Where a page of a record ends: the values of the keys that order it.
Position = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a Patient (its compartment) or an Encounter (what refers to it), and what of it is asked.

    patients: ids of the patients whose record it is, or is a part of. types: resource types, empty for all.
    since: only versions stored at or after it. care: [low, high) in UTC microseconds of the dates of care.
    """

    resource_type: str
    id: str
    patients: tuple[str, ...]
    types: frozenset[str] = frozenset()
    since: datetime | None = None
    care: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class RecordPage:
    """next_after: for the next page, None at the end."""

    versions: tuple[StoredVersion, ...]
    next_after: Position | None


@dataclass(frozen=True, slots=True)
class Total:
    """value is exact unless `exact` is False (the published cap was reached, or an estimate was asked for)."""

    value: int
    exact: bool


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Newest first. next_after: opaque number for the next page, None at the end.

    total: how many versions all pages together hold; None where there are more than HISTORY_TOTAL_CAP of them
    (never of an instance), because counting them would cost more than the page.
    """

    versions: tuple[StoredVersion, ...]
    next_after: int | None
    total: int | None


HISTORY_TOTAL_CAP = 10_000
