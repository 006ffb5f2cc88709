"""The lanes of a worker that do stored HL7 v2 messages, and what deletes those that were kept long enough.

Each lane is a thread that claims messages for itself; several of them, and several workers, are as safe as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import random

from server.fhir.dates import microseconds
from server.hl7v2.apply import Applier
from server.hl7v2.current_maps import CurrentMaps
from server.hl7v2.mapping import Mapping as MessageMapping
from server.hl7v2.sources import Sources
from server.hl7v2.work import Work
from server.interactions.request import Context
from server.policy.hl7v2_retention import kept_since
from server.storage.database_store import DatabaseStore
from server.workers.housekeeping import Task
from server.workers.timing import Backoff

# Of one worker process. SQLite has one writer, so a second lane only keeps the others waiting there.
LANES: Mapping[str, int] = {"sqlite": 1, "postgresql": 2}
# Messages of one transaction, at most. On PostgreSQL others may wait for what it has written until it ends.
TOGETHER: Mapping[str, int] = {"sqlite": 16, "postgresql": 8}

Lane = Callable[[Callable[[], bool]], int]


@dataclass(frozen=True, slots=True)
class Hl7v2Lanes:
    """store: the worker's. maps: those in force. failed: is told of defects, with words for the log."""

    context: Context
    store: DatabaseStore
    maps: CurrentMaps
    clock: Callable[[], datetime]
    failed: Callable[[str, Exception], None]

    @property
    def lanes(self) -> dict[str, Lane]:
        """The lanes by name; each is called over and over, and told whether the worker is to stop."""
        number = LANES[self.store.database.dialect.name]
        return {f"hl7v2-{index + 1}": self._lane() for index in range(number)}

    @property
    def task(self) -> Task:
        """What deletes old messages."""
        return Task("old-hl7v2-messages", 3600.0, self._purge, shared=True)

    def _lane(self) -> Lane:
        store = self.store
        mapping = MessageMapping(Sources(store.hl7v2_sources, lambda: microseconds(self.clock())), self.maps)
        work = Work(
            store=store,
            messages=store.hl7v2_work,
            traces=store.hl7v2_traces,
            applier=Applier(self.context, store.hl7v2_identities),
            mapper=mapping,
            parks=mapping.parks,
            clock=self.clock,
            retry=Backoff(random).retry,
            failed=self.failed,
            together=TOGETHER[store.database.dialect.name],
        )
        return work.do_some

    def _purge(self) -> None:
        for state, since in kept_since(self.clock()).items():
            self.store.hl7v2_messages.purge(state, since)
