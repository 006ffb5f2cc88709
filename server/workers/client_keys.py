"""The keys of clients that publish them by URL, fetched ahead of use: one repeating job a client.

A fetch that fails leaves the old keys in force; the job's row says since when and with what class of error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from server.auth.key_sets import fetch_key_set
from server.storage.database_store import DatabaseStore
from server.storage.interface import AuditRow
from server.storage.jobs import Job
from server.workers.job_runner import Progress

KIND = "client-keys"
EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ClientKeys:
    store: DatabaseStore
    clock: Callable[[], datetime]

    def plan(self) -> int:
        """Give every client that needs one its job; how many are new."""
        now = self.clock()
        return sum(
            self.store.jobs.enqueue(KIND, row.client_id, now, every=EVERY)
            for row in self.store.authorization.clients()
            if row.jwks_uri and not row.disabled
        )

    def fetch(self, job: Job, progress: Progress) -> bool:
        """Fetch one client's keys; False when the client no longer publishes any.

        Raises: RegistrationError; the old keys stay.
        """
        rows = self.store.authorization
        row = rows.client(job.key)
        if row is None or not row.jwks_uri or row.disabled:
            return False
        key_set = fetch_key_set(row.jwks_uri)
        now = self.clock()
        with self.store.writing() as writer:
            current = rows.client(job.key)
            if current is None or current.jwks_uri != row.jwks_uri or current.disabled:
                return False
            rows.put_client(replace(current, jwks=key_set, jwks_fetched=now))
            if key_set != current.jwks:
                writer.audit(
                    AuditRow(
                        recorded=now,
                        principal="worker",
                        client_id=current.client_id,
                        interaction="client-refresh",
                        resource_type="",
                        id="",
                        version_id=0,
                        patient="",
                        outcome=200,
                        request_id="",
                    )
                )
        return True
