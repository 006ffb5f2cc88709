"""What was asked and what was answered: the memory of the clients, which no crash of the server touches."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Literal

MARK = "urn:baton:test:mark"  # identifier.system of the mark that every content carries
CONDITION = "urn:baton:test:condition"  # identifier.system of conditional creates

Outcome = Literal["acknowledged", "refused", "unknown"]


@dataclass(slots=True)
class Entry:
    """One version that a request may write. id: "" until the server has chosen it. version: 0 where it is not
    known before. content: as sent; None for a deletion. mark: found in every version made from content.
    """

    method: str
    resource_type: str
    id: str = ""
    version: int = 0
    content: dict[str, Any] | None = None
    mark: str = ""
    full_url: str = ""
    stored: bytes = b""  # the exact bytes that were acknowledged, where the answer held them


@dataclass(slots=True)
class Request:
    """One request. wrote: whether an acknowledgement meant new versions (a conditional create may find one)."""

    request_id: str
    interaction: str
    entries: tuple[Entry, ...] = ()
    status: int = 0
    wrote: bool = True
    condition: str = ""

    @property
    def outcome(self) -> Outcome:
        """Unknown: no answer came, or one that says that the database was away while it may have committed."""
        if self.status in (0, 503):
            return "unknown"
        return "acknowledged" if self.status < 300 else "refused"


@dataclass
class Ledger:
    """All requests of all clients, in no order. faults: answers that no request of these may get."""

    requests: list[Request] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, request: Request) -> Request:
        with self._lock:
            self.requests.append(request)
        return request

    def fault(self, text: str) -> None:
        with self._lock:
            self.faults.append(text)

    def count(self, outcome: Outcome) -> int:
        with self._lock:
            return sum(request.outcome == outcome for request in self.requests)
