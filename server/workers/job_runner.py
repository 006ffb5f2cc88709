"""Running jobs of the background table: claimed, kept alive, tried again with growing pauses, given up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from server.storage.jobs import Job, Jobs
from server.workers.pulse import Pulse
from server.workers.timing import Backoff, Timing

Progress = Callable[[int, int], object]

# Does one job; progress(done, total) may be called as often as there is something to tell. False: a job that
# repeats need not come again.
Kind = Callable[[Job, Progress], bool | None]


@dataclass(frozen=True, slots=True)
class JobRunner:
    """kinds: what this program can do, by name. owner: this process."""

    jobs: Jobs
    kinds: Mapping[str, Kind]
    owner: str
    pulse: Pulse
    timing: Timing
    backoff: Backoff
    clock: Callable[[], datetime]
    failed: Callable[[str, Exception], None]

    def run_one(self) -> int:
        """Run the job that has waited longest, if any; how many."""
        job = self.jobs.claim(self.owner, tuple(self.kinds), self.clock(), lease=self.timing.lease)
        if job is None:
            return 0

        def renew() -> int:
            return int(self.jobs.renew(job, self.clock(), lease=self.timing.lease))

        with self.pulse.keep(f"{job.kind}:{job.id}", renew) as get_on:

            def progress(done: int, total: int) -> None:
                get_on()
                self.jobs.progress(job, done, total)

            try:
                again = self.kinds[job.kind](job, progress)
            except Exception as error:
                self.jobs.fail(job, type(error).__name__, self.clock(), retry=self._retry(job))
                self.failed(job.kind, error)
            else:
                self.jobs.finish(job, self.clock(), again=again is not False)
        return 1

    def _retry(self, job: Job) -> datetime | None:
        """A job that repeats comes again at its own pace at the latest and is never given up."""
        if job.every:
            return self.clock() + min(self.backoff.pause(job.attempts), job.every)
        return self.backoff.retry(job.attempts, self.clock())
