"""The keys of clients that publish them by URL, fetched ahead of use: one repeating job a client.

A request that needs newer ones fetches them itself (`auth.key_sets`); this spares it the wait. A fetch that
fails leaves the old keys in force; the job's row says since when and with what class of error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from server.auth.context import AuthContext
from server.auth.key_sets import refresh
from server.storage.database_store import DatabaseStore
from server.storage.jobs import Job
from server.workers.housekeeping import Task
from server.workers.job_runner import Kind, Progress

KIND = "client-keys"
EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ClientKeys:
    store: DatabaseStore
    context: AuthContext

    @property
    def task(self) -> Task:
        """The planning, for the worker's housekeeping."""
        return Task("client-keys-plan", 300.0, self.plan, shared=True)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The jobs, for a lane of the worker: a slow publisher holds up nothing else."""
        return {KIND: self.fetch}

    def plan(self) -> int:
        """Give every client that needs one its job; how many are new."""
        now = self.context.clock()
        return sum(
            self.store.jobs.enqueue(KIND, row.client_id, now, every=EVERY)
            for row in self.context.rows.clients()
            if row.jwks_uri and not row.disabled
        )

    def fetch(self, job: Job, progress: Progress) -> bool:
        """Fetch one client's keys; False when the client no longer publishes any.

        Raises: KeySetError; the old keys stay.
        """
        row = self.context.rows.client(job.key)
        if row is None or not row.jwks_uri or row.disabled:
            return False
        refresh(self.context, row.jwks_uri)
        return True
