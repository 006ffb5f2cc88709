"""HL7 v2 messages are applied once each and in order, whatever is killed while they are.

Two workers do messages that a sender keeps storing, each of a patient's only when the one before was
acknowledged. Each round kills something else with SIGKILL: a worker, both, PostgreSQL. Then the test
reconstructs from the histories of the Patients what was applied when. All messages of a patient tell the same
time of event, so that nothing but the order of the log can put them in order.

BATON_KILL_ROUNDS: rounds (3). BATON_KILL_SEED: repeats the choices of an earlier run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from baton_processes import SECRET_KEY, until

from server.errors import FhirError
from server.fhir.hashing import hash64
from server.fhir.json_codec import decode
from server.fhir.visibility import EVERYTHING
from server.storage import open_store
from server.storage.database_store import DatabaseStore
from server.storage.hl7v2_log import NewMessage
from server.storage.hl7v2_sources import SourceRow

pytestmark = [pytest.mark.network, pytest.mark.early, pytest.mark.requirement("hl7v2-crash")]

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("BATON_KILL_ROUNDS") or 3)
SEED = int(os.environ.get("BATON_KILL_SEED") or random.SystemRandom().randrange(1_000_000))
PATIENTS = 8
DRAIN_SECONDS = 240
_PAUSE_SECONDS = 0.15  # so that the workers keep up, more or less


def message(patient: int, number: int) -> bytes:
    """An update of a synthetic patient; its number is the family name."""
    return "\r".join(
        (
            f"MSH|^~\\&|ADT|HOSP|BATON|SITE|20260301080000+0000||ADT^A08^ADT_A01|{patient}-{number}|P|2.5.1",
            "EVN|A08|20260301080000+0000",
            f"PID|1||{patient}^^^HOSP^MR||Number{number}^Synthetic||19700102|F",
            "PV1|1|N",
            "",
        )
    ).encode()


@dataclass
class Workers:
    """Worker processes of one deployment."""

    home: Path
    url: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, count: int = 2) -> None:
        """So many that run, in the end."""
        self.processes = [process for process in self.processes if process.poll() is None]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        environment = kept | {
            "BATON_HOME": str(self.home),
            "BATON_DATABASE_URL": self.url,
            "BATON_SECRET_KEY": SECRET_KEY,
            "BATON_TIME_ZONE": "America/New_York",
            "BATON_LOG_LEVEL": "ERROR",
        }
        while len(self.processes) < count:
            with (self.home / "worker.log").open("ab") as log:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "server.cli", "serve", "worker"],
                        cwd=ROOT,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )

    def kill(self, *which: int) -> None:
        """End these at once."""
        for index in which:
            self.processes[index].send_signal(signal.SIGKILL)
            self.processes[index].wait()


class Sender(threading.Thread):
    """Stores messages, a patient's next one only when the one before was acknowledged; sends it until then."""

    def __init__(self, store: DatabaseStore) -> None:
        super().__init__(daemon=True)
        self.acknowledged: dict[int, list[int]] = {patient: [] for patient in range(PATIENTS)}
        self.ended = threading.Event()
        self._store = store

    def run(self) -> None:
        source = SourceRow("adt", "ADT", "HOSP", "new", "{}", 0)
        while not self.ended.is_set():
            for patient, numbers in self.acknowledged.items():
                raw = message(patient, len(numbers))
                new = NewMessage(
                    "adt", "mllp", f"{patient}-{len(numbers)}", sha256(raw).digest(), time.time_ns() // 1000,
                    raw,
                    "ADT", "A08", order_key=hash64("patient", str(patient)), mrn=str(patient), ack_code="AA",
                )  # fmt: skip
                while True:
                    try:
                        (kept,) = self._store.hl7v2_log.keep([new], since=0, new_sources=[source])
                        break
                    except FhirError:
                        time.sleep(0.05)
                numbers.append(kept.id)
            time.sleep(_PAUSE_SECONDS)


@contextmanager
def working(home: Path, url: str) -> Iterator[tuple[Workers, DatabaseStore]]:
    """Two workers, and the database seen from outside."""
    store = open_store(url)
    store.upgrade()
    workers = Workers(home, url)
    workers.start()
    try:
        yield workers, store
    finally:
        workers.kill(*range(len(workers.processes)))
        store.close()


def applied(store: DatabaseStore) -> int:
    """How many messages are applied."""
    with store.database.reading() as connection:
        sql = "SELECT count(*) FROM hl7v2_message WHERE state = 'applied'"
        return int(connection.execute(sql).fetchone()[0])


def rows(store: DatabaseStore, sql: str) -> list[Any]:
    with store.database.reading() as connection:
        found: list[Any] = connection.execute(sql).fetchall()
        return found


def told_in_order(store: DatabaseStore, id: str) -> list[str]:
    """The family names of all versions of a Patient, the oldest first."""
    names: list[str] = []
    after = None
    while True:
        with store.reading() as reader:
            page = reader.history("Patient", id, EVERYTHING, since=None, at=None, count=500, after=after)
        names += [decode(version.body)["name"][0]["family"] for version in page.versions]
        after = page.next_after
        if after is None:
            return names[::-1]


def findings(store: DatabaseStore, sender: Sender) -> list[str]:
    """What is wrong: lost, applied twice or out of order."""
    wrong = []
    states = dict(rows(store, "SELECT id, state FROM hl7v2_message WHERE duplicate_of IS NULL"))
    sent = [id for numbers in sender.acknowledged.values() for id in numbers]
    wrong += [f"message {id} is {states.get(id)}" for id in sent if states.get(id) != "applied"]
    results = dict(rows(store, "SELECT id, result FROM hl7v2_message WHERE duplicate_of IS NULL"))
    origins: dict[str, int] = {}
    for (body,) in rows(store, "SELECT body FROM resource WHERE type = 'Provenance'"):
        for entity in decode(bytes(body)).get("entity", ()):
            number = entity["what"]["identifier"]["value"]
            origins[number] = origins.get(number, 0) + 1
    wrong += [f"message {id} has {origins.get(str(id), 0)} origins" for id in sent if origins.get(str(id)) != 1]
    by_mrn: dict[str, list[str]] = {}
    for id, body in rows(store, "SELECT id, body FROM resource WHERE type = 'Patient'"):
        mrn = decode(bytes(body))["identifier"][0]["value"]
        by_mrn.setdefault(mrn, []).append(id)
    for patient, numbers in sender.acknowledged.items():
        ids = by_mrn.get(str(patient), [])
        if len(ids) != 1:
            wrong.append(f"patient {patient} is stored {len(ids)} times")
            continue
        told = told_in_order(store, ids[0])
        expected = [f"Number{number}" for number in range(len(numbers))]
        if told != expected:
            wrong.append(f"patient {patient}: {told} instead of {len(expected)} in order")
        for number, id in enumerate(numbers, start=1):
            if f"Patient/{ids[0]}/_history/{number}" not in json.loads(results.get(id) or "[]"):
                wrong.append(f"message {id} does not say that it wrote version {number}")
    return wrong


def test_every_message_is_applied_once_and_in_order_after_every_kill(
    database_kind: str, postgresql: ModuleType, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    cluster = postgresql.Cluster() if database_kind == "postgresql" else None
    try:
        if cluster is not None:
            cluster.start()
        url = cluster.create_database("baton") if cluster else f"sqlite:///{tmp_path / 'baton.sqlite3'}"
        with working(tmp_path, url) as (workers, store):

            def kill_the_database() -> None:
                assert cluster is not None
                cluster.kill()
                time.sleep(chance.uniform(0.0, 0.5))
                cluster.start()

            kills: list[Callable[[], None]] = [
                lambda: workers.kill(chance.randrange(2)),
                lambda: workers.kill(0, 1),
            ]
            if cluster is not None:
                kills.insert(1, kill_the_database)
            sender = Sender(store)
            sender.start()
            for number in range(ROUNDS):
                before = applied(store)
                until(lambda: applied(store) >= before + 5, "messages are applied again", 120)  # noqa: B023
                time.sleep(chance.uniform(0.0, 1.0))
                kills[number % len(kills)]()
                workers.start()
            sender.ended.set()
            sender.join(60)
            sent = sum(map(len, sender.acknowledged.values()))
            until(
                lambda: applied(store) >= sent, f"all {sent} messages are applied (seed {SEED})", DRAIN_SECONDS
            )
            wrong = findings(store, sender)
            assert wrong == [], f"seed {SEED}: {wrong[:20]}"
            print(f"{database_kind}, seed {SEED}: {sent} messages, {ROUNDS} kills")
    finally:
        if cluster is not None:
            cluster.remove()
