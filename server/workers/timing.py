"""The times of the worker, in one place; tests shorten them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Timing:
    """lease: how long claimed work is left alone without a sign of life. heartbeat: between two signs of life.

    longest: after this much time a delivery or a job is no longer kept alive, so that one that hangs is taken
    over. idle: the pause after a look that found nothing. drain: how long work under way may go on after a
    request to stop; the supervisor waits ten seconds.
    """

    lease: timedelta = timedelta(seconds=60)
    heartbeat: timedelta = timedelta(seconds=10)
    longest: timedelta = timedelta(minutes=30)
    idle: timedelta = timedelta(milliseconds=200)
    drain: timedelta = timedelta(seconds=8)


@dataclass(frozen=True, slots=True)
class Backoff:
    """When to try again. random: numbers in [0, 1).

    3 s, 9 s, 27 s ... at most an hour, each up to a fifth longer so that what failed together does not come
    again together. The 14th failure is the last: six pauses of 18 minutes in all, one of 36 minutes, six of an
    hour, so about seven hours after the first.
    """

    random: Callable[[], float]
    attempts: int = 14
    first: timedelta = timedelta(seconds=3)
    factor: float = 3.0
    most: timedelta = timedelta(hours=1)

    def pause(self, attempt: int) -> timedelta:
        """How long to wait after that many attempts, the first being 1."""
        return min(self.first * self.factor ** min(attempt - 1, 20), self.most) * (1 + self.random() / 5)

    def retry(self, attempt: int, now: datetime) -> datetime | None:
        """When to try again after that many attempts, None after the last one."""
        return None if attempt >= self.attempts else now + self.pause(attempt)
