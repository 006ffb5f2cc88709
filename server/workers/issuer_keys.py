"""The keys of EHRs whose id tokens are exchanged here: fetched every hour, and when a token names a new one.

A fetch that fails leaves the old keys in force; the job's row says since when and with what class of error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from server.auth.context import AuthContext
from server.auth.trusted_issuers import KEYS_JOB, refresh_keys
from server.outbound_http import Networks
from server.storage.jobs import Job
from server.workers.housekeeping import Task
from server.workers.job_runner import Kind, Progress

EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """allow: hosts beyond public https where keys may be fetched."""

    context: AuthContext
    allow: Networks

    @property
    def task(self) -> Task:
        """Gives every issuer that publishes keys by URL its job."""
        return Task("issuer-keys-plan", 300.0, self.plan, shared=True)

    @property
    def kinds(self) -> Mapping[str, Kind]:
        return {KEYS_JOB: self.fetch}

    def plan(self) -> int:
        """How many jobs are new."""
        store, now = self.context.store, self.context.clock()
        return sum(
            store.jobs.enqueue(KEYS_JOB, row.issuer, now, payload={"issuer": row.issuer}, every=EVERY)
            for row in store.identity_links.issuers()
            if row.jwks_uri and not row.disabled
        )

    def fetch(self, job: Job, progress: Progress) -> bool:
        """Fetch one issuer's keys; False when it no longer publishes any. Raises: IssuerError."""
        return refresh_keys(self.context, str(job.payload.get("issuer", "")), self.allow, principal="worker")
