"""Keeps leases alive: one thread of a worker process that renews whatever the process has under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from server.errors import FhirError
from server.workers.timing import Timing


class Pulse:
    """The work under way in this process, by name, each renewed every `timing.heartbeat` until it ends.

    A renewal that answers 0 (the work was taken over) or that has gone on for `timing.longest` is the last one.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._lock = Lock()
        self._work: dict[str, tuple[Callable[[], int], float]] = {}

    def start(self, stop: Event) -> Thread:
        """Beat in a thread of its own until stop is set."""
        thread = Thread(target=self._run, args=(stop,), name="pulse", daemon=True)
        thread.start()
        return thread

    @contextmanager
    def keep(self, name: str, renew: Callable[[], int]) -> Iterator[Callable[[], None]]:
        """Keep the lease of some work alive inside the block. renew: prolongs it, 0 if it is no longer ours.

        Gives a function that says the work gets on, so that `timing.longest` counts from then.
        """

        def get_on() -> None:
            with self._lock:
                self._work[name] = (renew, time.monotonic())

        get_on()
        try:
            yield get_on
        finally:
            with self._lock:
                self._work.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """What is under way now."""
        with self._lock:
            return tuple(self._work)

    def beat(self) -> None:
        """Renew everything once. A database that is away fails no work: the lease then decides."""
        with self._lock:
            work = dict(self._work)
        for name, (renew, since) in work.items():
            try:
                held = renew()
            except FhirError:
                continue
            if not held or time.monotonic() - since > self._timing.longest.total_seconds():
                with self._lock:
                    self._work.pop(name, None)

    def _run(self, stop: Event) -> None:
        while not stop.wait(self._timing.heartbeat.total_seconds()):
            self.beat()
