"""The relay: hands committed events over and sends each consumer its batches, one loop for each consumer.

A loop of its own keeps a consumer that is slow or unwell from holding up another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Event

from server.errors import FhirError
from server.storage.outbox import Outbox
from server.workers.timing import Timing

BATCH = 500  # events


@dataclass(frozen=True, slots=True)
class Relay:
    """send: takes the token of a claimed batch to whoever carries it. most_under_way: claimed batches of one
    consumer at a time over all relays, so that what waits in a queue does not outlive its lease there.
    """

    outbox: Outbox
    timing: Timing
    clock: Callable[[], datetime]
    send: Callable[[str], object]
    most_under_way: int = 4
    batch: int = BATCH

    def take_up(self) -> int:
        """Hand over everything that is committed; how many events."""
        handed = 0
        while events := self.outbox.hand_over():
            handed += events
        return handed

    def send_on(self, consumer: str, stop: Event) -> int:
        """Claim and send batches of a consumer until none is free or enough are under way; how many batches."""
        sent = 0
        while not stop.is_set() and self.outbox.batches_under_way(consumer, self.clock()) < self.most_under_way:
            batch = self.outbox.claim(consumer, self.clock(), lease=self.timing.lease, limit=self.batch)
            if batch is None:
                break
            self.send(batch.token)
            sent += 1
        return sent


def loop(work: Callable[[], int], stop: Event, timing: Timing, failed: Callable[[Exception], None]) -> None:
    """Do the work over and over until stop is set: at once while there is some, else after a pause.

    A failure is told and waits longer each time, up to five seconds.
    """
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            # A look that is dear, over a long chart that waits for its first event, is taken more seldom.
            pause = 0.0 if work() else max(timing.idle.total_seconds(), 4 * (time.monotonic() - began))
            failures = 0
        except Exception as error:  # the next round must come whatever this one met
            failures += 1
            pause = min(5.0, 0.5 * 2 ** min(failures, 10))
            if failures in (1, 10) or failures % 100 == 0 or not isinstance(error, FhirError):
                failed(error)
        if pause:
            stop.wait(pause)
