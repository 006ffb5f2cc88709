"""Workers as processes of their own: killed in the middle, asked to stop, several at a time, also over Redis.

Covers server/parts.py (worker), server/workers/consumers.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from server.process import die_with_parent

pytestmark = [pytest.mark.network, pytest.mark.slow]


@dataclass
class Processes:
    """Worker processes over the test's database. told: what the consumer wrote down."""

    environment: dict[str, str]
    record: Path
    started: list[subprocess.Popen[bytes]]

    def start(self, **more: str) -> subprocess.Popen[bytes]:
        parent = os.getpid()
        process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "serve", "worker"],
            env=self.environment | more,
            stdout=subprocess.DEVNULL,
            stderr=(self.record.parent / f"worker-{len(self.started)}.log").open("ab"),
            preexec_fn=lambda: die_with_parent(parent),
        )
        self.started.append(process)
        return process

    @property
    def told(self) -> list[tuple[int, str, int]]:
        """(process, id, version) in the order of telling."""
        if not self.record.exists():
            return []
        rows = [line.split() for line in self.record.read_text().splitlines()]
        return [(int(row[0]), row[1], int(row[2])) for row in rows]

    def logs(self) -> str:
        return "".join(path.read_text() for path in sorted(self.record.parent.glob("worker-*.log")))


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """The wall clock, as the processes know no other; they would purge a token of 2024."""
    return lambda: datetime.now(UTC)


@pytest.fixture
def processes(tmp_path: Path, settings: Any, store: Any) -> Iterator[Processes]:
    packages = tmp_path / "packages"
    info = packages / "recorder-1.0.dist-info"
    info.mkdir(parents=True)
    (packages / "recorder.py").write_text(Path(__file__).with_name("recorder.py").read_text())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: recorder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[baton.consumers]\nrecorder = recorder:record\n")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(packages),
        "BATON_HOME": str(settings.home),
        "BATON_DATABASE_URL": settings.database_url,
        "BATON_SECRET_KEY": settings.secret_key.decode(),
        "BATON_TIME_ZONE": settings.time_zone,
        "RECORDED": str(tmp_path / "told"),
    }
    store.outbox.register(["recorder"], datetime.now(UTC))
    made = Processes(environment, tmp_path / "told", [])
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def put(fhir: Any, *ids: str) -> None:
    for id in ids:
        assert fhir.put(f"Patient/{id}", {"resourceType": "Patient", "id": id}).status in (200, 201)


def test_an_installed_consumer_is_found_and_told_and_the_worker_leaves_no_row(
    fhir: Any, store: Any, processes: Processes, until: Callable[..., None]
) -> None:
    put(fhir, "one", "two")
    worker = processes.start()
    until(lambda: [(id, version) for _, id, version in processes.told] == [("one", 1), ("two", 1)])
    until(lambda: not store.outbox.waiting())
    (row,) = store.workers.workers()
    assert row.pid == worker.pid
    assert {job.kind for job in store.jobs.jobs(limit=9)} >= {"expired-secrets", "done-jobs"}
    worker.terminate()
    assert worker.wait(10) == 0
    assert store.workers.workers() == ()
    assert "ERROR" not in processes.logs()


def test_a_worker_asked_to_stop_ends_its_batch_and_claims_no_more(
    fhir: Any, store: Any, processes: Processes, until: Callable[..., None]
) -> None:
    put(fhir, *(f"p{number}" for number in range(4)))
    worker = processes.start(RECORD_SECONDS="0.5")
    until(lambda: processes.told)
    put(fhir, "later")
    worker.terminate()
    assert worker.wait(10) == 0
    assert [id for _, id, _ in processes.told] == ["p0", "p1", "p2", "p3"]
    assert store.outbox.waiting() == {"new": 1}


def test_a_worker_that_cannot_end_in_time_gives_its_batch_back_before_it_goes(
    fhir: Any, store: Any, processes: Processes, until: Callable[..., None]
) -> None:
    put(fhir, *(f"p{number}" for number in range(3)))
    worker = processes.start(RECORD_SECONDS="15")
    until(lambda: processes.told)
    worker.terminate()
    assert worker.wait(10) == 0
    assert store.outbox.waiting() == {"retry": 3}
    processes.start()
    until(lambda: not store.outbox.waiting())
    assert [id for _, id, _ in processes.told] == ["p0", "p0", "p1", "p2"]


def test_what_a_killed_worker_held_is_told_by_the_next_one_when_its_lease_ends(
    fhir: Any, store: Any, processes: Processes, until: Callable[..., None]
) -> None:
    put(fhir, *(f"p{number}" for number in range(5)))
    worker = processes.start(RECORD_SECONDS="0.5")
    until(lambda: len(processes.told) == 2)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(10)
    _end_leases(store)
    second = processes.start()
    until(lambda: not store.outbox.waiting())
    assert [id for pid, id, _ in processes.told if pid == second.pid] == [f"p{number}" for number in range(5)]


@pytest.mark.parametrize(("kind", "entries"), [("transaction", 1_500), ("batch", 600)])
def test_a_request_that_killed_workers_carried_out_is_done_once(
    fhir: Any, store: Any, processes: Processes, until: Callable[..., None], kind: str, entries: int
) -> None:
    entry = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry] * entries}
    begun = fhir.post("", bundle, Prefer="respond-async")
    status = begun.headers["Content-Location"].partition("/fhir/")[2]

    id = status.rpartition("/")[2]

    def found() -> Any:
        (row,) = (job for job in store.jobs.jobs(limit=99) if job.kind == "asynchronous-request")
        return row, fhir.get(status)

    for number in range(1, 3):
        worker = processes.start()
        until(lambda number=number: found()[0].attempts == number)
        if kind == "batch":
            until(lambda most=50 * number: store.asynchronous.find(id, datetime.now(UTC)).done > most)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(10)
        assert found()[1].status == 202
        with store.database.writing() as connection:
            connection.execute("UPDATE job SET available = 0 WHERE state = 'claimed'")
    processes.start()
    until(lambda: found()[1].status == 200, 60)
    rows = found()[1].json["entry"][0]["resource"]["entry"]
    assert {row["response"]["status"] for row in rows} == {"201 Created"}
    assert len({row["response"]["location"] for row in rows}) == entries
    assert fhir.get("Patient?_summary=count").json["total"] == entries
    assert "ERROR" not in processes.logs()


def test_over_redis_too_nothing_is_lost_when_worker_and_redis_are_killed(
    fhir: Any, store: Any, processes: Processes, redis_server: Any, until: Callable[..., None]
) -> None:
    workers = [processes.start(BATON_REDIS_URL=redis_server.url, RECORD_SECONDS="0.1") for _ in range(2)]
    until(lambda: len(store.workers.workers()) == 2)
    for number in range(12):
        put(fhir, f"p{number}")
        body = {"resourceType": "Patient", "id": "same", "birthDate": f"19{number + 10}-01-01"}
        assert fhir.put("Patient/same", body).status in (200, 201)
        if number == 4:
            os.kill(workers[0].pid, signal.SIGKILL)
        if number == 7:
            redis_server.restart()
    workers.append(processes.start(BATON_REDIS_URL=redis_server.url))

    def settled() -> bool:
        _end_leases(store)
        return not store.outbox.waiting()

    until(settled, 40)
    told = [(id, version) for _, id, version in processes.told]
    assert {id for id, _ in told} == {"same", *(f"p{number}" for number in range(12))}
    assert list(dict.fromkeys(version for id, version in told if id == "same")) == list(range(1, 13))
    assert workers[1].poll() is None
    assert processes.logs().count("ERROR") <= 3  # each worker says once that Redis is away


def _end_leases(store: Any) -> None:
    """As if a minute had passed: what is claimed now may be taken over."""
    with store.database.writing() as connection:
        connection.execute("UPDATE delivery SET available = 0 WHERE state = 'held'")
