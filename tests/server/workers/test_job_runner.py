"""Jobs in a worker: done, tried again, given up, kept alive; and the one that fetches clients' keys.

Covers server/workers/job_runner.py, client_keys.py and server/auth/key_sets.py.
"""

from __future__ import annotations

import itertools
import time
from datetime import timedelta
from typing import Any

import pytest
import responses
from joserfc.jwk import ECKey

from server.auth.clients import ASYMMETRIC, Registration, client_row
from server.auth.context import AuthContext
from server.auth.keys import SigningKeys
from server.workers.client_keys import ClientKeys
from server.workers.housekeeping import Task
from server.workers.job_runner import JobRunner
from server.workers.pulse import Pulse
from server.workers.timing import Backoff, Timing

URL = "https://backend.example/jwks.json"


def key_set(kid: str) -> dict[str, Any]:
    public = ECKey.generate_key("P-384").as_dict(private=False)
    return {"keys": [public | {"kid": kid, "alg": "ES384", "use": "sig"}]}


@pytest.fixture
def failures() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def runner(store: Any, clock: Any, failures: Any) -> Any:
    def make(**kinds: Any) -> JobRunner:
        timing = Timing()
        return JobRunner(
            store.jobs,
            kinds,
            "tests",
            Pulse(timing),
            timing,
            Backoff(lambda: 0.0, attempts=3),
            clock,
            lambda name, error: failures.append((name, type(error).__name__)),
        )

    return make


def test_a_job_that_fails_is_tried_again_and_given_up_after_the_last_attempt(
    store: Any, clock: Any, runner: Any, failures: Any
) -> None:
    def broken(job: Any, progress: Any) -> None:
        raise OSError("what it says stays here")

    run = runner(export=broken)
    store.jobs.enqueue("export", "a", clock())
    moments = []
    for _ in range(60):
        moments += [clock()] if run.run_one() else []
        clock.advance(seconds=1)
    assert [(b - a).seconds for a, b in itertools.pairwise(moments)] == [3, 9]
    (row,) = store.jobs.jobs(limit=5)
    assert (row.state, row.error) == ("dead", "OSError")
    assert failures == [("export", "OSError")] * 3


def test_progress_is_seen_while_the_job_runs(store: Any, clock: Any, runner: Any) -> None:
    seen = []

    def export(job: Any, progress: Any) -> None:
        progress(3, 10)
        (row,) = store.jobs.jobs(limit=5)
        seen.append((row.state, row.done, row.total, row.payload))

    store.jobs.enqueue("export", "a", clock(), payload={"group": "g"})
    assert runner(export=export).run_one() == 1
    assert seen == [("claimed", 3, 10, {"group": "g"})]
    assert store.jobs.counts() == {"done": 1}


def test_a_job_that_repeats_is_never_given_up_and_waits_no_longer_than_its_pause(
    store: Any, clock: Any, runner: Any
) -> None:
    def broken(job: Any, progress: Any) -> None:
        raise OSError

    store.jobs.enqueue("plan", "", clock(), every=timedelta(seconds=20))
    run = runner(plan=broken)
    runs = 0
    for _ in range(120):
        runs += run.run_one()
        clock.advance(seconds=1)
    assert runs == 8  # at 0, 3, 12, 32 s and then every 20 s
    assert store.jobs.counts() == {"new": 1}


def test_shared_tasks_run_in_one_worker_at_a_time(working: Any, until: Any) -> None:
    running, most, runs = [0], [0], []

    def task() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.05)
        running[0] -= 1
        runs.append(1)

    todo = (Task("shared", 0.1, task, shared=True),)
    with working({}, todo=todo, name="first"), working({}, todo=todo, name="second"):
        until(lambda: len(runs) >= 5)
    assert most == [1]


def register(store: Any, clock: Any) -> None:
    registration = Registration(
        client_id="backend", name="Backend", kind=ASYMMETRIC, scope="system/*.rs", backend=True, jwks_uri=URL
    )  # fmt: skip
    store.authorization.put_client(client_row(registration, "", clock()))


@pytest.fixture
def context(store: Any, clock: Any, tmp_path: Any) -> AuthContext:
    return AuthContext(
        rows=store.authorization,
        store=store,
        base_url="http://127.0.0.1:8000",
        clock=clock,
        keys=SigningKeys(tmp_path, b"k" * 32, clock),
        token_key=b"k" * 32,
    )


def kept(store: Any) -> Any:
    found = store.authorization.registrations.key_set(URL)
    return found.jwks if found is not None else None


@responses.activate
def test_published_keys_are_fetched_ahead_of_use_and_again_every_hour(
    store: Any, clock: Any, runner: Any, context: AuthContext
) -> None:
    first, second = key_set("one"), key_set("two")
    responses.get(URL, json=first)
    responses.get(URL, json=second)
    register(store, clock)
    keys = ClientKeys(store, context)
    assert keys.plan() == 1
    assert keys.plan() == 0
    run = runner(**keys.kinds)
    assert run.run_one() == 1
    assert kept(store) == first
    assert run.run_one() == 0
    clock.advance(hours=1)
    run.run_one()
    assert kept(store) == second
    assert [row.interaction for row in store.audit_rows(limit=10)] == ["key-set-change"] * 2


@responses.activate
@pytest.mark.parametrize("answer", [{"status": 500}, {"json": {"keys": []}}, {"body": "no JSON"}])
def test_a_fetch_that_fails_keeps_the_old_keys_and_says_so(
    store: Any, clock: Any, runner: Any, context: AuthContext, answer: Any
) -> None:
    old = key_set("old")
    responses.get(URL, **answer)
    register(store, clock)
    store.authorization.registrations.keep_key_set(
        URL, old, fetched=clock(), fresh_until=clock(), not_before=clock()
    )
    keys = ClientKeys(store, context)
    keys.plan()
    runner(**keys.kinds).run_one()
    assert kept(store) == old
    (job,) = store.jobs.jobs(limit=5)
    assert (job.state, job.error) == ("new", "KeySetError")


@responses.activate
def test_a_client_that_was_shut_out_is_asked_no_more(
    store: Any, clock: Any, runner: Any, context: AuthContext
) -> None:
    responses.get(URL, json=key_set("one"))
    register(store, clock)
    keys = ClientKeys(store, context)
    keys.plan()
    store.authorization.disable_client("backend", clock())
    assert runner(**keys.kinds).run_one() == 1
    assert len(responses.calls) == 0
    assert store.authorization.client("backend").disabled is True
    assert store.jobs.counts() == {"done": 1}
