"""Batches carried by RQ over a real server, which is flushed, killed and started again; nothing is lost.

Covers server/workers/redis_queue.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from server.storage.outbox import OutboxEvent
from server.workers import redis_queue
from server.workers.redis_queue import QUEUE, RedisQueue

pytestmark = pytest.mark.network


class Heard:
    """A consumer that remembers what it was told, and where."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.ids: list[str] = []
        self.threads: set[str] = set()
        self._seconds = seconds

    def __call__(self, events: Sequence[OutboxEvent]) -> None:
        time.sleep(self._seconds)
        self.threads.add(threading.current_thread().name)
        self.ids += [event.id for event in events]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_queue, "TRY_AGAIN_SECONDS", 0.3)


@pytest.fixture
def put(fhir: Any, store: Any) -> Any:
    """Write patients of these ids; a consumer "all" is known."""
    store.outbox.register(["all"], datetime.now(UTC))

    def write(*ids: str) -> None:
        for id in ids:
            assert fhir.put(f"Patient/{id}", {"resourceType": "Patient", "id": id}).status in (200, 201)

    return write


def test_batches_travel_as_tokens_and_leave_nothing_in_redis(
    put: Any, store: Any, redis_server: Any, working: Any, until: Any
) -> None:
    heard = Heard()
    put("one", "two")
    with redis.Redis.from_url(redis_server.url) as client:
        with working({"all": heard}, redis_url=redis_server.url) as failures:
            until(lambda: not store.outbox.waiting())
            until(lambda: not list(client.scan_iter("rq:job:*")))
        assert client.smembers("rq:workers") == set()
    assert sorted(heard.ids) == ["one", "two"]
    assert heard.threads == {"redis-queue"}
    assert failures == []


def test_a_job_holds_the_token_of_its_batch_and_nothing_else(redis_server: Any) -> None:
    queue = RedisQueue(redis_server.url, carry=lambda token: None, failed=lambda name, error: None)
    for _ in range(2):  # the second one is the same job
        queue.send("outbox-7")
    with redis.Redis.from_url(redis_server.url) as client:
        (job,) = Queue(QUEUE, connection=client, serializer=JSONSerializer).jobs
        assert (job.id, list(job.args), dict(job.kwargs), job.description) == (
            "outbox-7",
            ["outbox-7"],
            {},
            "outbox-7",
        )


def test_whatever_function_a_job_names_only_tokens_are_carried(redis_server: Any, until: Any) -> None:
    carried: list[str] = []
    with redis.Redis.from_url(redis_server.url) as client:
        Queue(QUEUE, connection=client, serializer=JSONSerializer).enqueue("os.system", "exit 1")
    queue = RedisQueue(redis_server.url, carry=carried.append, failed=lambda name, error: None)
    stop = threading.Event()
    thread = threading.Thread(target=queue.run, args=(stop, "tests"))
    thread.start()
    until(lambda: carried)
    stop.set()
    thread.join(10)
    assert carried == ["exit 1"]


def test_without_redis_the_worker_carries_and_says_so_once(
    put: Any, store: Any, redis_server: Any, working: Any, until: Any
) -> None:
    redis_server.kill()
    heard = Heard()
    with working({"all": heard}, redis_url=redis_server.url) as failures:
        for number in range(5):
            put(f"p{number}")
            time.sleep(0.3)
        until(lambda: not store.outbox.waiting())
    assert heard.threads == {"consumer-all"}
    assert [name for name, _ in failures] == ["redis-away"]


def test_the_queue_goes_on_through_redis_as_soon_as_it_is_back(
    put: Any, store: Any, redis_server: Any, working: Any, until: Any
) -> None:
    redis_server.kill()
    heard = Heard()
    with working({"all": heard}, redis_url=redis_server.url):
        put("one")
        until(lambda: heard.ids == ["one"])
        redis_server.start()

        def carried_by_redis() -> bool:
            put(f"p{len(heard.ids)}")
            until(lambda: not store.outbox.waiting())
            return "redis-queue" in heard.threads

        until(carried_by_redis)


def test_batches_that_redis_forgot_are_delivered_when_their_lease_ends(
    put: Any, store: Any, redis_server: Any, working: Any, until: Any
) -> None:
    heard = Heard(0.5)
    with redis.Redis.from_url(redis_server.url) as client, working({"all": heard}, redis_url=redis_server.url):
        for number in range(6):
            put(f"p{number}")
            time.sleep(0.1)
            client.flushall()
        until(lambda: not store.outbox.waiting(), 40)
    assert set(heard.ids) == {f"p{number}" for number in range(6)}


@pytest.mark.slow
def test_redis_may_be_killed_at_any_time(
    put: Any, store: Any, redis_server: Any, working: Any, until: Any
) -> None:
    heard = Heard(0.05)
    with (
        working({"all": heard}, redis_url=redis_server.url, name="first") as failures,
        working({"all": heard}, redis_url=redis_server.url, name="second"),
    ):
        for number in range(30):
            put(f"p{number}")
            if number % 7 == 3:
                redis_server.kill()
            if number % 7 == 5:
                redis_server.start()
        until(lambda: not store.outbox.waiting(), 60)
    assert set(heard.ids) == {f"p{number}" for number in range(30)}
    assert {name for name, _ in failures} <= {"redis-away"}
