"""The messages of one claim on their way: looked at, made ready, done, or kept waiting for an earlier one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mappings.result import Mapped
from server.hl7v2.prepared import Event, Prepared
from server.storage.hl7v2_work import Claimed, Received


@dataclass(slots=True, eq=False)
class Ready:
    """A message that can be applied. received: None where it is there no more. error: why it cannot be mapped,
    told in its turn. prepared: what it is to write, where that was made ready before; trace: its own.
    """

    message: Claimed
    received: Received | None = None
    mapped: Mapped | None = None
    error: Exception | None = None
    prepared: Prepared | None = None
    trace: bytes = b""

    @property
    def event(self) -> Event:
        """As it is applied."""
        return Event(self.message.id, self.message.source, self.received.type if self.received else "")


@dataclass(slots=True, eq=False)
class Held:
    """The messages of a claim. claimed: those that were not looked at. ready: those that are about to be done.
    open: by their ids, all that were not done. waiting: the keys of those that keep their place. until: when
    the leases end.
    """

    claimed: deque[Claimed]
    open: dict[int, Claimed]
    until: datetime
    ready: deque[Ready] = field(default_factory=deque)
    waiting: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, claimed: Sequence[Claimed], until: datetime) -> Held:
        return cls(deque(claimed), {message.id: message for message in claimed}, until)

    def pass_over(self) -> None:
        """Leave out what has to wait for an earlier message of its keys; then it makes others wait itself."""
        able: deque[Ready] = deque()
        for one in self.ready:
            if self.waiting.isdisjoint(one.message.keys):
                able.append(one)
            else:
                self.waiting |= one.message.keys
        self.ready = able


def size_of(messages: Iterable[Ready]) -> int:
    """Of messages, in bytes."""
    return sum(len(one.received.raw) for one in messages if one.received)
