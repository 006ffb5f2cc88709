"""Background jobs: one row each, claimed by state and lease, repeated, retried, given up, forgotten.

Covers server/storage/jobs.py and worker_rows.py.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from server.storage.worker_rows import WorkerRow

LEASE = timedelta(seconds=60)
KINDS = ("export", "import")


@pytest.fixture
def jobs(store: Any) -> Any:
    return store.jobs


def claim(chart: Any, owner: str = "me", after: float = 0.0, kinds: tuple[str, ...] = KINDS) -> Any:
    return chart.store.jobs.claim(owner, kinds, chart.now + timedelta(seconds=after), lease=LEASE)


def test_of_one_name_at_most_one_job_is_open(jobs: Any, chart: Any) -> None:
    assert jobs.enqueue("export", "a", chart.now, payload={"group": "g1"}) is True
    assert jobs.enqueue("export", "a", chart.now) is False
    job = claim(chart)
    assert (job.kind, job.key, job.payload, job.attempts) == ("export", "a", {"group": "g1"}, 1)
    assert jobs.enqueue("export", "a", chart.now) is False
    assert jobs.finish(job, chart.now) is True
    assert jobs.enqueue("export", "a", chart.now) is True


def test_jobs_of_other_kinds_are_left_to_those_who_know_them(jobs: Any, chart: Any) -> None:
    jobs.enqueue("unknown", "a", chart.now)
    assert claim(chart) is None
    assert claim(chart, kinds=()) is None
    assert claim(chart, kinds=("unknown",)).kind == "unknown"


def test_a_job_whose_worker_died_is_taken_over_and_the_old_holder_changes_nothing(
    jobs: Any, chart: Any
) -> None:
    jobs.enqueue("export", "a", chart.now)
    old = claim(chart, "dead")
    assert claim(chart, "me", after=59) is None
    assert jobs.renew(old, chart.now + timedelta(seconds=30), lease=LEASE) is True
    assert claim(chart, "me", after=61) is None
    new = claim(chart, "me", after=91)
    assert (new.owner, new.attempts) == ("me", 2)
    late = chart.now + timedelta(seconds=92)
    assert jobs.renew(old, late, lease=LEASE) is False
    assert jobs.progress(old, 1, 2) is False
    assert jobs.finish(old, late) is False
    assert jobs.fail(old, "ValueError", late, retry=None) is False
    assert jobs.progress(new, 1, 2) is True
    (row,) = jobs.jobs(limit=10)
    assert (row.state, row.done, row.total) == ("claimed", 1, 2)


def test_a_job_that_repeats_is_free_again_after_its_pause_until_it_says_no_more(jobs: Any, chart: Any) -> None:
    jobs.enqueue("export", "a", chart.now, every=timedelta(minutes=5))
    jobs.finish(claim(chart), chart.now)
    assert claim(chart, after=299) is None
    job = claim(chart, after=300)
    assert job.attempts == 1
    jobs.finish(job, chart.now, again=False)
    assert claim(chart, after=10_000) is None
    assert jobs.counts() == {"done": 1}


def test_an_open_job_takes_over_a_new_pause(jobs: Any, chart: Any) -> None:
    jobs.enqueue("export", "a", chart.now, every=timedelta(minutes=5))
    assert jobs.enqueue("export", "a", chart.now, every=timedelta(minutes=1)) is False
    jobs.finish(claim(chart), chart.now)
    assert claim(chart, after=60) is not None


def test_a_failure_waits_or_ends_the_job_until_somebody_tries_it_again(jobs: Any, chart: Any) -> None:
    jobs.enqueue("export", "a", chart.now)
    jobs.fail(claim(chart), "OSError", chart.now, retry=chart.now + timedelta(seconds=9))
    assert claim(chart, after=8) is None
    jobs.fail(claim(chart, after=9), "OSError", chart.now, retry=None)
    (row,) = jobs.jobs(limit=10)
    assert (row.state, row.error, row.attempts) == ("dead", "OSError", 2)
    assert jobs.retry(row.id, chart.now) is True
    assert jobs.retry(row.id, chart.now) is False
    assert claim(chart).attempts == 1


def test_a_dead_job_is_not_revived_beside_an_open_one_of_its_name(jobs: Any, chart: Any) -> None:
    jobs.enqueue("export", "a", chart.now)
    dead = claim(chart)
    jobs.fail(dead, "OSError", chart.now, retry=None)
    jobs.enqueue("export", "a", chart.now)
    assert jobs.retry(dead.id, chart.now) is False
    assert jobs.discard(dead.id) is True
    assert jobs.discard(dead.id) is False
    assert jobs.counts() == {"new": 1}


def test_of_those_who_open_a_job_of_one_name_at_once_one_does(jobs: Any, chart: Any) -> None:
    with ThreadPoolExecutor(3) as threads:
        for turn in range(20):
            key = str(turn)
            dead = []
            for _ in range(2):
                jobs.enqueue("export", key, chart.now)
                dead.append(claim(chart))
                jobs.fail(dead[-1], "OSError", chart.now, retry=None)
            together = threading.Barrier(3)

            def at_once(
                change: Callable[..., bool], *values: Any, together: threading.Barrier = together
            ) -> bool:
                together.wait(10)
                return change(*values, chart.now)

            opened = [threads.submit(at_once, jobs.retry, job.id) for job in dead]
            opened.append(threads.submit(at_once, jobs.enqueue, "export", key))
            assert sorted(future.result() for future in opened) == [False, False, True]
            jobs.finish(claim(chart), chart.now)


def test_what_a_stopping_worker_holds_is_given_back_and_counts_no_attempt(jobs: Any, chart: Any) -> None:
    jobs.enqueue("export", "a", chart.now)
    jobs.enqueue("import", "b", chart.now)
    claim(chart, "me")
    claim(chart, "other")
    assert jobs.give_back_all("me", chart.now) == 1
    assert claim(chart, "new one").attempts == 1
    assert claim(chart, "new one") is None


def test_jobs_done_long_ago_are_forgotten_and_dead_ones_are_not(jobs: Any, chart: Any) -> None:
    for key in ("a", "b"):
        jobs.enqueue("export", key, chart.now)
    jobs.finish(claim(chart), chart.now)
    jobs.fail(claim(chart), "OSError", chart.now, retry=None)
    assert jobs.purge(chart.now) == 0
    assert jobs.purge(chart.now + timedelta(days=1)) == 1
    assert jobs.counts() == {"dead": 1}


def test_parallel_workers_never_take_one_job_twice(jobs: Any, chart: Any) -> None:
    for number in range(30):
        jobs.enqueue("export", str(number), chart.now)
    context = multiprocessing.get_context("fork")
    answers: Any = context.Queue()

    def work(name: str) -> None:
        found = []
        for _ in range(60):
            job = claim(chart, name)
            found += [job.key] if job else []
        answers.put(found)

    processes = [context.Process(target=work, args=(f"w{number}",)) for number in range(3)]
    for process in processes:
        process.start()
    taken = [key for _ in processes for key in answers.get(timeout=30)]
    for process in processes:
        process.join(timeout=30)
    assert sorted(taken, key=int) == [str(number) for number in range(30)]


def test_a_worker_is_running_as_long_as_it_was_seen_lately(store: Any, chart: Any) -> None:
    workers = store.workers
    assert workers.running(chart.now) is False
    row = WorkerRow("w1", "host", 7, chart.now, chart.now, "")
    workers.seen(row)
    workers.seen(WorkerRow("w1", "host", 7, chart.now, chart.now + timedelta(seconds=5), "outbox-1"))
    (found,) = workers.workers()
    assert (found.doing, found.started, found.seen) == ("outbox-1", chart.now, chart.now + timedelta(seconds=5))
    assert workers.running(chart.now + timedelta(seconds=35)) is True
    assert workers.running(chart.now + timedelta(seconds=36)) is False
    workers.seen(WorkerRow("w2", "host", 8, chart.now, chart.now + timedelta(days=2), ""))
    assert [worker.name for worker in workers.workers()] == ["w2"]
    workers.ended("w2")
    assert workers.workers() == ()
