"""Nothing acknowledged is ever lost: a deployment under load is killed at random moments, again and again.

Each round kills something else of a real deployment while clients write: the whole process group, one web
process, the worker, the supervisor, or everything in the middle of a checkpoint. Then everything that the
clients were answered is compared with what the database holds (checks.py).

BATON_KILL_ROUNDS: rounds for each database (3). BATON_KILL_SEED: repeats the choices of an earlier run; the
moments depend on the machine as well.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from baton_processes import Baton, alive, until
from checks import audit_findings, evidence, findings, search_findings
from clients import Load
from ledger import Ledger

from server.storage import open_store
from server.storage.database_store import DatabaseStore

pytestmark = pytest.mark.network

ROUNDS = int(os.environ.get("BATON_KILL_ROUNDS") or 3)
SEED = int(os.environ.get("BATON_KILL_SEED") or random.SystemRandom().randrange(1_000_000))
FRESH_AFTER = 12  # rounds; then a new home, so that the checks do not grow with the rounds

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
    """One deployment under test and what is killed in it."""

    baton: Baton
    ledger: Ledger
    random: random.Random


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


# In the order of the rounds: three show the gravest ones.
KILLS: dict[str, tuple[Callable[[Scene], None], ...]] = {
    "sqlite": (
        kill_the_group,
        kill_a_web_process,
        kill_during_checkpoints,
        kill_the_worker,
        kill_the_supervisor,
        kill_granian,
    ),
}


@pytest.mark.parametrize("database", KILLS)
def test_what_was_acknowledged_is_there_after_every_kill(database: str, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        scene: Scene | None = None
        for number in range(ROUNDS):
            if number % FRESH_AFTER == 0:
                stack.close()
                scene = _scene(tmp_path / f"home{number}", number, stack)
            assert scene is not None
            kill = KILLS[database][number % len(KILLS[database])]
            before = time.monotonic()
            text = _round(scene, kill, f"{SEED}-{number}")
            print(
                f"{database}, seed {SEED}, round {number + 1}: {kill.__name__.replace('_', ' ')},"
                f" {text}, {time.monotonic() - before:.1f} s",
                flush=True,
            )


def _scene(home: Path, number: int, stack: contextlib.ExitStack) -> Scene:
    baton = Baton(home, environment={"BATON_WORKERS": "2"}).start()
    scene = Scene(baton, Ledger(), random.Random(f"{SEED} {number}"))
    stack.callback(_end, scene)
    return scene


def _end(scene: Scene) -> None:
    """After the last round: it stops as asked, and every audit row has come to the table once."""
    try:
        assert scene.baton.stop() == 0
    finally:
        scene.baton.kill(*scene.baton.everything())
    with _store(scene) as store:
        store.ingest_audit(scene.baton.home / "audit")
        assert audit_findings(store, scene.ledger) == []


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
    acknowledged = ledger.count("acknowledged") - before[0]
    with _store(scene) as store:
        found = evidence(store)
        wrong = findings(ledger, found)
        wrong += search_findings(store, base_url=f"{_origin(baton)}/fhir", time_zone="America/New_York")
        wrong += _integrity(store)
    assert wrong == [], f"{len(wrong)} findings, seed {SEED}: {wrong[:20]}"
    unknown = ledger.count("unknown") - before[1]
    return f"{acknowledged} acknowledged, {unknown} unanswered, {len(found.versions)} versions"


def _whole(baton: Baton) -> bool:
    return len(baton.pids("web worker")) == 2 and len(baton.pids("worker")) == 1 and baton.healthy()


def _origin(baton: Baton) -> str:
    return f"http://127.0.0.1:{baton.port}"


@contextlib.contextmanager
def _store(scene: Scene) -> Any:
    store = open_store(scene.baton.url)
    try:
        yield store
    finally:
        store.close()


def _integrity(store: DatabaseStore) -> list[str]:
    """What the database itself says of its files."""
    if store.database.dialect.name == "sqlite":
        with contextlib.closing(sqlite3.connect(store.database.path)) as connection:  # type: ignore[attr-defined]
            return [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    return []
