"""Jobs that index stored resources again, beside the requests: a slice at a time, until all are done.

What there is to do stands in the database (`storage/reindex.py`), so a job that was lost is only planned anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from server.interactions.reindex import index_again
from server.storage.database import Overtaken
from server.storage.database_store import DatabaseStore
from server.storage.jobs import Job
from server.workers.housekeeping import Task
from server.workers.job_runner import Kind, Progress

KIND = "reindex"
_PAUSE = timedelta(seconds=1)  # between two slices
_PLANNED_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Reindexing:
    """base_url, time_zone: as of `index_values`. slice: seconds of work before the worker may stop."""

    store: DatabaseStore
    base_url: str
    time_zone: str
    clock: Callable[[], datetime]
    slice: float = 5.0

    @property
    def task(self) -> Task:
        """What looks for work; it costs nothing where there is none."""
        return Task("reindex-plan", _PLANNED_EVERY, self.plan)

    @property
    def kinds(self) -> dict[str, Kind]:
        """What does it."""
        return {KIND: self.run}

    def plan(self) -> None:
        """Give everything that is not done yet a job."""
        for unfinished in self.store.reindexing():
            self.store.jobs.enqueue(KIND, unfinished.what, self.clock(), every=_PAUSE)

    def run(self, job: Job, progress: Progress) -> bool:
        """One slice of a job, whose key says what for. Returns whether it has to come again.

        Raises: FhirError storage-full, unavailable.
        """
        index = partial(index_again, base_url=self.base_url, time_zone=self.time_zone)
        deadline = time.monotonic() + self.slice
        while time.monotonic() < deadline:
            with self.store.reading() as reader:
                custom = reader.custom_parameters()
            try:
                state = self.store.reindex(job.key, partial(index, custom=custom), custom.epoch)
            except Overtaken:  # somebody wrote one of the same resources at the same moment
                continue
            if state is None or state.done:
                return False
            progress(state.position, state.last)
        return True
