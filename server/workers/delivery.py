"""Carrying one batch of deliveries to its consumer; the same function with Redis and without.

The row's lease is the truth: a batch that was taken over or settled has nothing left, and nothing is done for
it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from server.storage.outbox import Failure, Outbox, OutboxEvent
from server.workers.consumers import Consumer
from server.workers.pulse import Pulse
from server.workers.timing import Backoff, Timing

# So many failures and not one success: it is the consumer that is unwell, not the events.
UNWELL_AFTER = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """Event numbers. failed: with the error. left: not tried, for what failed before them."""

    done: tuple[int, ...]
    failed: Mapping[int, Exception]
    left: tuple[int, ...]


def deliver(consumer: Consumer, events: Sequence[OutboxEvent], held: Callable[[], bool]) -> Outcome:
    """Tell the consumer of all events together; if that fails of one after the other, to find those that hurt.

    What shares a chart or a resource with a failed one is left for later, and so is everything once the
    consumer has failed UNWELL_AFTER times and never succeeded, or the events are not held any more: another
    worker may be telling them, and what follows them.
    """
    try:
        consumer(events)
        return Outcome(tuple(event.number for event in events), {}, ())
    except Exception as error:
        if len(events) == 1:
            return Outcome((), {events[0].number: error}, ())
    done: list[int] = []
    failed: dict[int, Exception] = {}
    left: list[int] = []
    held_up: set[int] = set()
    for event in events:
        if not held_up.isdisjoint(event.keys) or (not done and len(failed) >= UNWELL_AFTER) or not held():
            left.append(event.number)
            held_up.update(event.keys)
            continue
        try:
            consumer((event,))
            done.append(event.number)
        except Exception as error:
            failed[event.number] = error
            held_up.update(event.keys)
    return Outcome(tuple(done), failed, tuple(left))


@dataclass(frozen=True, slots=True)
class Carrier:
    """What carrying a batch takes. failed: is told of every error, with the batch's token."""

    outbox: Outbox
    consumers: Mapping[str, Consumer]
    pulse: Pulse
    timing: Timing
    backoff: Backoff
    clock: Callable[[], datetime]
    failed: Callable[[str, Exception], None]

    def carry(self, token: str) -> int:
        """Deliver what the batch still holds and settle it; how many events were done.

        Raises: FhirError when the database is away; the lease then frees the batch.
        """

        def renew() -> int:
            return self.outbox.renew(token, self.clock() + self.timing.lease)

        with self.pulse.keep(token, renew):
            batch = self.outbox.batch(token) if renew() else None
            if batch is None or batch.consumer not in self.consumers:
                return 0
            outcome = deliver(self.consumers[batch.consumer], batch.events, lambda: token in self.pulse.names())
            attempts = {event.number: event.attempts for event in batch.events}
            now = self.clock()
            failures = [
                Failure(number, type(error).__name__, self.backoff.retry(attempts[number], now))
                for number, error in outcome.failed.items()
            ]
            # Those left go with the first retry; behind a dead letter they go on at once.
            again = min((failure.retry for failure in failures if failure.retry), default=now)
            self.outbox.settle(batch, done=outcome.done, failed=failures, back=outcome.left, again=again)
        for error in outcome.failed.values():
            self.failed(token, error)
        return len(outcome.done)
