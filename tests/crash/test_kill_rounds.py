"""Nothing acknowledged is ever lost: a deployment under load is killed at random moments, again and again.

Each round kills something else of a real deployment while clients write: the whole process group, one web
process, the worker, the supervisor, everything in the middle of a checkpoint, PostgreSQL, Redis. Then all that
the clients were answered is compared with what the database holds, and what a consumer was told with both
(checks.py). On PostgreSQL the queue goes by Redis, as in production.

BATON_KILL_ROUNDS: rounds (3). BATON_KILL_SEED: repeats the choices of an earlier run; the moments depend on the
machine as well.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from baton_processes import Baton, alive, until
from checks import audit_findings, delivery, evidence, findings, search_findings
from clients import Load
from ledger import Ledger
from recorder import NAME, VARIABLE, installed, record, recorded

from server.storage import open_store
from server.storage.database_store import DatabaseStore
from server.workers.worker import Worker

pytestmark = [pytest.mark.network, pytest.mark.early]

ROUNDS = int(os.environ.get("BATON_KILL_ROUNDS") or 3)
SEED = int(os.environ.get("BATON_KILL_SEED") or random.SystemRandom().randrange(1_000_000))
FRESH_AFTER = 12  # rounds; then a new home, so that the checks do not grow with the rounds
ZONE = "America/New_York"

CHECKPOINTS = """
import sys
from server.storage import open_store
store = open_store(sys.argv[1])
while True:
    for turn in range(5):
        store.checkpoint(truncate=turn == 4)
"""


@dataclass
class Scene:
    """One deployment under test and what it lives on. events: the recorder's. cluster, redis: not on SQLite."""

    baton: Baton
    events: Path
    random: random.Random
    ledger: Ledger
    cluster: Any = None
    redis: Any = None

    @contextlib.contextmanager
    def store(self) -> Iterator[DatabaseStore]:
        """The database, seen from outside the deployment."""
        store = open_store(self.baton.url)
        try:
            yield store
        finally:
            store.close()


def kill_the_group(scene: Scene) -> None:
    scene.baton.kill_group()


def kill_a_web_process(scene: Scene) -> None:
    scene.baton.kill(scene.random.choice(scene.baton.pids("web worker")))


def kill_granian(scene: Scene) -> None:
    scene.baton.kill(*scene.baton.pids("web"))


def kill_the_worker(scene: Scene) -> None:
    scene.baton.kill(*scene.baton.pids("worker"))


def kill_the_supervisor(scene: Scene) -> None:
    everything = scene.baton.everything()
    scene.baton.kill(everything[0])
    assert scene.baton.process is not None
    scene.baton.process.wait()
    until(lambda: not any(map(alive, everything)), "every process dies with the supervisor", 5)


def kill_during_checkpoints(scene: Scene) -> None:
    """Checkpoints one after the other beside the load, then everything ends in the middle of one."""
    checkpoints = subprocess.Popen([sys.executable, "-c", CHECKPOINTS, scene.baton.url])
    try:
        time.sleep(scene.random.uniform(0.5, 1.0))
        assert checkpoints.poll() is None
    finally:
        scene.baton.kill(checkpoints.pid)
        scene.baton.kill_group()
        checkpoints.wait()


def kill_postgresql(scene: Scene) -> None:
    """All of it, as when its machine fails; Baton goes on and has it back a moment later."""
    scene.cluster.kill()
    time.sleep(scene.random.uniform(0.0, 0.5))
    scene.cluster.start()


def kill_a_database_session(scene: Scene) -> None:
    """One of PostgreSQL's own processes: PostgreSQL ends every session and recovers by itself."""
    with psycopg.connect(scene.baton.url, autocommit=True) as connection:
        sessions = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'baton' AND datname = current_database()"
        ).fetchall()
    scene.baton.kill(scene.random.choice(sessions)[0])


def kill_redis(scene: Scene) -> None:
    scene.redis.kill()
    time.sleep(scene.random.uniform(0.0, 0.5))
    scene.redis.start()


# In the order of the rounds: the first three show the gravest.
KILLS: dict[str, tuple[Callable[[Scene], None], ...]] = {
    "sqlite": (
        kill_the_group,
        kill_a_web_process,
        kill_during_checkpoints,
        kill_the_worker,
        kill_the_supervisor,
        kill_granian,
    ),
    "postgresql": (
        kill_postgresql,
        kill_the_group,
        kill_redis,
        kill_a_web_process,
        kill_a_database_session,
        kill_the_worker,
        kill_the_supervisor,
        kill_granian,
    ),
}


def test_what_was_acknowledged_is_there_after_every_kill(
    database_kind: str,
    postgresql: ModuleType,
    redis_module: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kills = KILLS[database_kind]
    with contextlib.ExitStack() as stack:
        scene: Scene | None = None
        for number in range(ROUNDS):
            if number % FRESH_AFTER == 0:
                stack.close()
                folder = tmp_path / f"scene{number}"
                folder.mkdir()
                monkeypatch.setenv(VARIABLE, str(folder / "events"))
                scene = Scene(
                    Baton(folder / "home", environment={"BATON_WORKERS": "2"}),
                    folder / "events",
                    random.Random(f"{SEED} {number}"),
                    Ledger(),
                )
                if database_kind == "postgresql":
                    _with_servers(scene, stack, postgresql, redis_module)
                stack.callback(_end, scene)
                _begin(scene, folder)
            assert scene is not None
            before = time.monotonic()
            text = _round(scene, kills[number % len(kills)], f"{SEED}-{number}")
            print(
                f"{database_kind}, seed {SEED}, round {number + 1}:"
                f" {kills[number % len(kills)].__name__.replace('_', ' ')},"
                f" {text}, {time.monotonic() - before:.1f} s",
                flush=True,
            )


def _with_servers(scene: Scene, stack: contextlib.ExitStack, postgresql: ModuleType, redis: ModuleType) -> None:
    scene.cluster = postgresql.Cluster()
    stack.callback(scene.cluster.remove)
    scene.cluster.start()
    scene.redis = stack.enter_context(redis.RedisServer(scene.events.parent))
    scene.baton.url = scene.cluster.create_database("baton")
    scene.baton.environment["BATON_REDIS_URL"] = scene.redis.url


def _begin(scene: Scene, folder: Path) -> None:
    scene.baton.environment[VARIABLE] = str(scene.events)
    scene.baton.python_path = (installed(folder / "recorder"),)
    scene.baton.start()


def _end(scene: Scene) -> None:
    """After the last round: it stops as asked, every event is told of and every audit row is there once."""
    try:
        assert scene.baton.stop() == 0
    finally:
        scene.baton.kill(*scene.baton.everything())
    with scene.store() as store:
        _tell_the_rest(store)
        store.ingest_audit(scene.baton.home / "audit")
        assert audit_findings(store, scene.ledger) == []
        scene.baton.command("audit", "verify")  # the chain is whole
        found = evidence(store)
        assert found.waiting == frozenset()
        assert delivery(found, recorded(scene.events)) == []


def _tell_the_rest(store: DatabaseStore) -> None:
    """A worker of tomorrow, when every lease of those who were killed has ended."""
    errors: list[str] = []
    worker = Worker(
        store=store,
        todo=(),
        consumers={NAME: record},
        redis_url="",
        clock=lambda: datetime.now(UTC) + timedelta(days=1),
        failed=lambda name, error: errors.append(f"{name}: {error!r}"),
    )
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        until(lambda: not evidence(store).waiting, "every event is told of", 30)
    finally:
        stop.set()
        thread.join()
    assert errors == []


def _round(scene: Scene, kill: Callable[[Scene], None], seed: str) -> str:
    """Load, kill, start what died, check. Returns the counts."""
    baton, ledger = scene.baton, scene.ledger
    before = ledger.count("acknowledged"), ledger.count("unknown")
    load = Load(ledger, baton.port, baton.token, seed)
    load.start()
    try:
        until(lambda: ledger.count("acknowledged") >= before[0] + 20, "first answers", 30)
        time.sleep(scene.random.uniform(0.1, 1.0))
        kill(scene)
        time.sleep(0.3)  # what still runs goes on
    finally:
        load.stop()
    assert baton.process is not None
    if baton.process.poll() is not None:
        baton.start()
    else:
        until(lambda: _whole(baton), "what was killed runs again", 20)
    with scene.store() as store:
        found = evidence(store)
        wrong = findings(ledger, found)
        wrong += delivery(found, recorded(scene.events))
        wrong += search_findings(store, base_url=f"http://127.0.0.1:{baton.port}/fhir", time_zone=ZONE)
        wrong += _integrity(scene)
    assert wrong == [], f"{len(wrong)} findings, seed {SEED}: {wrong[:20]}"
    acknowledged = ledger.count("acknowledged") - before[0]
    unknown = ledger.count("unknown") - before[1]
    return f"{acknowledged} acknowledged, {unknown} unanswered, {len(found.versions)} versions"


def _whole(baton: Baton) -> bool:
    return len(baton.pids("web worker")) == 2 and len(baton.pids("worker")) == 1 and baton.healthy()


def _integrity(scene: Scene) -> list[str]:
    """What the database itself says of its files."""
    if scene.cluster is None:
        path = scene.baton.url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path)) as connection:
            return [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    with psycopg.connect(scene.baton.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
        try:
            connection.execute(
                "SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam"
                " WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relnamespace = 'public'::regnamespace"
            )
        except psycopg.errors.IndexCorrupted as error:
            return [str(error)]
    return []
