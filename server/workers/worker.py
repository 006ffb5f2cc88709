"""A worker process: housekeeping, relay, consumers and jobs, each in a thread, until it is asked to stop.

Several may run at once, on several machines: whatever is not this machine's own is claimed by state and lease.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from random import random
from threading import Event, Thread

from server.errors import FhirError
from server.storage.database_store import DatabaseStore
from server.storage.worker_rows import WorkerRow
from server.workers.consumers import Consumer
from server.workers.delivery import Carrier
from server.workers.housekeeping import Task
from server.workers.housekeeping import run as run_tasks
from server.workers.job_runner import JobRunner, Kind
from server.workers.pulse import Pulse
from server.workers.relay import Relay, loop
from server.workers.timing import Backoff, Timing


def worker_name() -> str:
    """This process, among all workers of a deployment."""
    return f"{socket.gethostname()}:{os.getpid()}:{time.time_ns() // 1_000_000}"


@dataclass(frozen=True, slots=True)
class Worker:
    """redis_url: "" carries batches in this process. failed: is told what went wrong and where.

    lanes: kinds of jobs that have a thread of their own, by its name, because one of them may take long.
    loops: other work with a thread of its own, by its name: called over and over, each time with a way to ask
    whether to stop, it says how much there was.
    """

    store: DatabaseStore
    todo: Sequence[Task]
    consumers: Mapping[str, Consumer]
    redis_url: str
    clock: Callable[[], datetime]
    failed: Callable[[str, Exception], None]
    lanes: Mapping[str, Mapping[str, Kind]] = field(default_factory=dict)
    loops: Mapping[str, Callable[[Callable[[], bool]], int]] = field(default_factory=dict)
    name: str = field(default_factory=worker_name)
    timing: Timing = field(default_factory=Timing)
    backoff: Backoff = field(default_factory=lambda: Backoff(random))

    def run(self, stop: Event) -> bool:
        """Work until stop is set; then end what is under way, at most for `timing.drain`, and give the rest
        back.

        Returns whether everything ended; if not, threads are still busy and the process should end at once.
        """
        ended = Event()  # beats until the work has ended, longer than `stop`
        pulse = Pulse(self.timing)
        beating = pulse.start(ended)
        threads = [self._thread(name, work) for name, work in self._work(pulse, stop).items()]
        started = self.clock()
        for thread in threads:
            thread.start()
        while not stop.is_set():
            self._sign_of_life(started, pulse)
            stop.wait(self.timing.heartbeat.total_seconds())
        deadline = time.monotonic() + self.timing.drain.total_seconds()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        ended.set()
        beating.join(1.0)
        try:
            self._give_back(pulse)
            self.store.workers.ended(self.name)
        except FhirError as error:  # the leases will free what is left
            self.failed("drain", error)
        return not any(thread.is_alive() for thread in threads)

    def _work(self, pulse: Pulse, stop: Event) -> dict[str, Callable[[], None]]:
        """The threads by name."""
        carrier = Carrier(
            self.store.outbox,
            self.consumers,
            pulse,
            self.timing,
            self.backoff,
            self.clock,
            self._told("delivery"),
        )
        work: dict[str, Callable[[], None]] = {}
        send: Callable[[str], object] = carrier.carry
        if self.redis_url:
            from server.workers.redis_queue import RedisQueue

            queue = RedisQueue(self.redis_url, carrier.carry, self.failed)
            send = queue.send
            work["redis-queue"] = partial(queue.run, stop, self.name)
        relay = Relay(self.store.outbox, self.timing, self.clock, send)
        local = [task for task in self.todo if not task.shared]
        work["housekeeping"] = partial(run_tasks, local, stop, self.failed)
        work["relay"] = self._loop("relay", self._take_up(relay), stop)
        for lane, kinds in {"jobs": self._kinds(), **self.lanes}.items():
            work[lane] = self._loop(lane, self._runner(kinds, pulse).run_one, stop)
        for name, some in self.loops.items():
            work[name] = self._loop(name, partial(some, stop.is_set), stop)
        for name in self.consumers:
            work[f"consumer-{name}"] = self._loop(name, partial(relay.send_on, name, stop), stop)
        return work

    def _runner(self, kinds: Mapping[str, Kind], pulse: Pulse) -> JobRunner:
        return JobRunner(
            self.store.jobs, kinds, self.name, pulse, self.timing, self.backoff, self.clock, self.failed
        )

    def _take_up(self, relay: Relay) -> Callable[[], int]:
        """Hand events over, once the database knows the consumers and the shared tasks."""
        ready = False

        def take_up() -> int:
            nonlocal ready
            if not ready:
                now = self.clock()
                self.store.outbox.register(self.consumers, now)
                for task in self.todo:
                    if task.shared:
                        self.store.jobs.enqueue(task.name, "", now, every=timedelta(seconds=task.every_seconds))
                ready = True
            return relay.take_up()

        return take_up

    def _kinds(self) -> dict[str, Kind]:
        kinds: dict[str, Kind] = {}
        for task in self.todo:
            if task.shared:
                kinds[task.name] = _once(task)
        return kinds

    def _loop(self, name: str, work: Callable[[], int], stop: Event) -> Callable[[], None]:
        return partial(loop, work, stop, self.timing, partial(self.failed, name))

    def _thread(self, name: str, work: Callable[[], None]) -> Thread:
        return Thread(target=work, name=name, daemon=True)

    def _sign_of_life(self, started: datetime, pulse: Pulse) -> None:
        row = WorkerRow(
            self.name, socket.gethostname(), os.getpid(), started, self.clock(), " ".join(pulse.names())
        )
        try:
            self.store.workers.seen(row)
        except FhirError as error:
            self.failed("sign-of-life", error)

    def _give_back(self, pulse: Pulse) -> None:
        for name in pulse.names():
            self.store.outbox.give_back(name, self.clock())
        self.store.jobs.give_back_all(self.name, self.clock())

    def _told(self, where: str) -> Callable[[str, Exception], None]:
        return lambda _token, error: self.failed(where, error)


def _once(task: Task) -> Kind:
    def run(*_: object) -> None:
        task.run()

    return run
