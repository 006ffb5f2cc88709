"""Carrying batches by RQ over Redis. `rq` is imported here alone, and only when Redis is set: it takes 0.1 s.

Redis carries, the database decides: a job is the token of a batch, and whatever Redis loses or repeats is a
batch whose lease ends or that has nothing left. So nothing here is retried, kept or trusted: jobs are JSON, not
pickle, and whatever function a job names, it is a token that is carried. Source: python-rq.org/docs (3.0)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout, DuplicateJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty

QUEUE = "baton-outbox"
FUNCTION = "server.workers.delivery.Carrier.carry"  # what RQ's own tools show; never looked up
TRY_AGAIN_SECONDS = 5.0  # Redis away: carry locally for so long before asking it again
TELL_AGAIN_SECONDS = 300.0
_WAIT_SECONDS = 1  # for a job, before looking whether to stop
_KEEP_SECONDS = 3_600  # in a queue that nobody works on; the lease ended long before
_WORKER_SECONDS = 120  # how long RQ remembers a worker without a sign of life


def connect(url: str) -> redis.Redis:
    """A connection that gives up soon: what cannot be sent is carried here."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=2, socket_timeout=5, retry=Retry(NoBackoff(), 0), client_name="baton"
    )


class RedisQueue:
    """carry: delivers the batch of a token. failed: is told what went wrong, an absent Redis now and then."""

    def __init__(
        self, url: str, carry: Callable[[str], object], failed: Callable[[str, Exception], None]
    ) -> None:
        self._connection = connect(url)
        self._carry = carry
        self._failed = failed
        self._away_until = 0.0
        self._told = -TELL_AGAIN_SECONDS
        self._queue = Queue(QUEUE, connection=self._connection, serializer=JSONSerializer)

    def send(self, token: str) -> None:
        """Enqueue the batch; where Redis is away, carry it here and now."""
        if time.monotonic() >= self._away_until:
            try:
                self._queue.enqueue(
                    FUNCTION, token, job_id=token, unique=True, ttl=_KEEP_SECONDS, result_ttl=0,
                    failure_ttl=60, job_timeout=-1, description=token,
                )  # fmt: skip
                return
            except DuplicateJobError:
                return
            except redis.RedisError as error:
                self._gone(error)
        self._carry(token)

    def work(self, stop: Event, name: str) -> None:
        """Carry the batches that Redis holds until stop is set. Raises: redis.RedisError."""
        # RQ remembers a worker that ended without a word for a while, and takes no second one of that name.
        worker = self._worker(f"{name}:{time.monotonic_ns()}")
        worker.register_birth()
        try:
            while not stop.is_set():
                worker.heartbeat()
                if worker.should_run_maintenance_tasks:  # what a killed worker had taken from the queue
                    worker.run_maintenance_tasks()
                try:
                    found = Queue.dequeue_any(
                        worker.queues, _WAIT_SECONDS, self._connection, job_class=worker.job_class,
                        serializer=JSONSerializer, death_penalty_class=TimerDeathPenalty,
                    )  # fmt: skip
                except DequeueTimeout:
                    continue
                if found is not None:
                    worker.execute_job(*found)
        finally:
            try:
                worker.register_death()
            except redis.RedisError as error:
                self._gone(error)

    def run(self, stop: Event, name: str) -> None:
        """`work` until stop is set, whatever becomes of Redis meanwhile."""
        while not stop.is_set():
            try:
                self.work(stop, name)
            except redis.RedisError as error:
                self._gone(error)
            except Exception as error:
                self._failed("redis-queue", error)
            stop.wait(1.0)

    def _worker(self, name: str) -> SimpleWorker:
        carry = self._carry
        failed = self._failed

        class BatchJob(Job):
            def _execute(self) -> None:
                try:
                    carry(str(self.args[0]))
                except Exception as error:  # the lease frees the batch; Redis has nothing to remember
                    failed("batch", error)

        class BatchWorker(SimpleWorker):
            death_penalty_class = TimerDeathPenalty

            def procline(self, message: Any) -> None:
                """The process is not RQ's own; its title stays."""

        return BatchWorker(
            [QUEUE],
            name=name,
            connection=self._connection,
            job_class=BatchJob,
            serializer=JSONSerializer,
            worker_ttl=_WORKER_SECONDS,
            log_job_description=False,
        )

    def _gone(self, error: Exception) -> None:
        now = time.monotonic()
        self._away_until = now + TRY_AGAIN_SECONDS
        if now - self._told >= TELL_AGAIN_SECONDS:
            self._told = now
            self._failed("redis-away", error)
