"""The lane of a worker that does stored HL7 v2 messages, and what deletes those that were kept long enough.

A lane is a thread that claims messages for itself. A worker process has one: mapping is Python, which runs one
thread of a process at a time. More processes get more done, and are as safe as one.
"""

from __future__ import annotations

from collections.abc import Callable
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

TOGETHER = 16  # messages of one transaction, at most

Lane = Callable[[Callable[[], bool]], int]


@dataclass(frozen=True, slots=True)
class Hl7v2Lane:
    """store: the worker's. maps: those in force. failed: is told of defects, with words for the log."""

    context: Context
    store: DatabaseStore
    maps: CurrentMaps
    clock: Callable[[], datetime]
    failed: Callable[[str, Exception], None]

    @property
    def loops(self) -> dict[str, Lane]:
        """The lane by its name; it is called over and over, and told whether the worker is to stop."""
        return {"hl7v2": self._lane()}

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
            together=TOGETHER,
        )
        return work.do_some

    def _purge(self) -> None:
        for state, since in kept_since(self.clock()).items():
            self.store.hl7v2_messages.purge(state, since)
