"""The jobs that carry out requests which are answered later: who asked is judged again, then it is done.

A token may have expired while its request waited; one that was revoked since, or whose grant, client or user
was ended, does nothing any more, and the answer says so (401).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from server.auth.context import AuthContext
from server.auth.principal import Principal
from server.auth.tokens import standing_principal
from server.errors import FhirError
from server.interactions.asynchronous import JOB, caller, request_id
from server.interactions.asynchronous_run import refuse, run
from server.interactions.request import Context
from server.origin import set_origin
from server.storage.asynchronous import AsynchronousRequest, NotOpen
from server.storage.jobs import Job
from server.workers.job_runner import Kind, Progress

# After so many runs that failed, or whose worker died, the answer is that it failed.
ATTEMPTS = 4
# How long one search of such a request may run; nobody waits for it.
STATEMENT_SECONDS = 60.0
_TOLD_EVERY = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Answering:
    """context: as the web server has it, with the worker's own store. authorization: whose tokens are asked."""

    context: Context
    authorization: AuthContext

    @property
    def kinds(self) -> dict[str, Kind]:
        """What this is for the job runner."""
        return {JOB: self.answer}

    def answer(self, job: Job, progress: Progress) -> None:
        """Carry out the request that the job's key names, unless it is done, cancelled or expired.

        Raises: whatever kept it from being done; the next attempt may do it.
        """
        context = self.context
        found = context.store.asynchronous.find(job.key, context.clock())
        if found is None or found.finished is not None:
            return
        set_origin(request_id(found), found.address)
        try:
            if job.attempts > ATTEMPTS:
                refuse(context, found.id, FhirError("internal", "several workers ended before this was done"))
            elif principal := self._principal(found):
                self._run(principal, found, job, progress)
            else:
                refuse(context, found.id, FhirError("unauthorized", "the token was revoked before it was done"))
        except NotOpen:
            return
        finally:
            set_origin("", "")

    def _run(self, principal: Principal, found: AsynchronousRequest, job: Job, progress: Progress) -> None:
        try:
            run(self.context, principal, found, _sometimes(progress))
        except NotOpen:
            raise
        except Exception as error:
            if job.attempts < ATTEMPTS:
                raise
            told = error if isinstance(error, FhirError) else FhirError("internal", "something went wrong here")
            refuse(self.context, found.id, told)
            raise

    def _principal(self, found: AsynchronousRequest) -> Principal | None:
        """Who asked, if they may still ask and are who they were."""
        principal = standing_principal(self.authorization, found.token_hash)
        return principal if principal is not None and caller(principal) == found.caller else None


def _sometimes(progress: Progress) -> Progress:
    """The same, told every two seconds at most: each telling is a commit."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _TOLD_EVERY.total_seconds():
            last = time.monotonic()
            progress(done, total)

    return tell
