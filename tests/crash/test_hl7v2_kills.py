"""HL7 v2 messages are stored, applied once each and in order, whatever is killed while they come.

Senders tell a listener by MLLP of patients of their own, one message after the other, and send the same bytes
again until they are acknowledged, as real ones do; two workers apply. Each round kills something with SIGKILL:
the listener, a worker, both, all of them at once, PostgreSQL, Redis. Then the test reconstructs from the
histories of the Patients what was applied when. All messages of a patient tell the same time of event, so that
nothing but the order of the log can put them in order.

BATON_KILL_ROUNDS: rounds (3). BATON_KILL_SEED: repeats the choices of an earlier run; the moments depend on the
machine as well.
"""

from __future__ import annotations

import contextlib
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
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from baton_processes import SECRET_KEY, free_port, until

from server.fhir.json_codec import decode
from server.fhir.visibility import EVERYTHING
from server.storage import open_store
from server.storage.database_store import DatabaseStore

pytestmark = [pytest.mark.network, pytest.mark.early, pytest.mark.requirement("hl7v2-crash")]

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("BATON_KILL_ROUNDS") or 3)
SEED = int(os.environ.get("BATON_KILL_SEED") or random.SystemRandom().randrange(1_000_000))
SENDERS, PATIENTS = 3, 3  # patients of each sender
PARTS = {"mllp": 1, "worker": 2}  # processes of each
DRAIN_SECONDS = 240
_PAUSE_SECONDS = 0.15  # so that the workers keep up, more or less


def message(sender: str, patient: str, number: int) -> bytes:
    """An update of a synthetic patient; its number is the family name."""
    return "\r".join(
        (
            f"MSH|^~\\&|{sender}|HOSP|BATON|SITE|20260301080000+0000||ADT^A08^ADT_A01|{patient}-{number}|P|2.5.1",
            "EVN|A08|20260301080000+0000",
            f"PID|1||{patient}^^^HOSP^MR||Number{number}^Synthetic||19700102|F",
            "PV1|1|N",
            "",
        )
    ).encode()


@dataclass
class Processes:
    """A listener and workers of one deployment. running: by part."""

    home: Path
    url: str
    redis: str = ""
    running: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def start(self) -> None:
        """All of `PARTS` run in the end; those that do already are left alone."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        environment = kept | {
            "BATON_HOME": str(self.home),
            "BATON_DATABASE_URL": self.url,
            "BATON_SECRET_KEY": SECRET_KEY,
            "BATON_TIME_ZONE": "America/New_York",
            "BATON_LOG_LEVEL": "ERROR",
            "BATON_PORT_MLLP": str(self.port),
            **({"BATON_REDIS_URL": self.redis} if self.redis else {}),
        }
        for part, count in PARTS.items():
            alive = [process for process in self.running.get(part, ()) if process.poll() is None]
            self.running[part] = alive
            while len(alive) < count:
                with (self.home / f"{part}.log").open("ab") as log:
                    alive.append(
                        subprocess.Popen(
                            [sys.executable, "-m", "server.cli", "serve", part],
                            cwd=ROOT,
                            env=environment,
                            stdin=subprocess.DEVNULL,
                            stdout=log,
                            stderr=subprocess.STDOUT,
                        )
                    )

    def kill(self, part: str, *which: int) -> None:
        """SIGKILL to these of a part, to all of them where none is named."""
        processes = self.running.get(part, [])
        ended = [processes[index] for index in which] or processes
        for process in ended:
            process.send_signal(signal.SIGKILL)
        for process in ended:
            process.wait()

    def kill_all(self) -> None:
        """SIGKILL to every process."""
        for part in PARTS:
            self.kill(part)


class Sender(threading.Thread):
    """Tells of its patients, a patient's next message only when the one before was acknowledged.

    acknowledged: by patient, how many messages were, of the numbers 0, 1, ...
    """

    def __init__(self, wire: Any, port: int, name: str) -> None:
        super().__init__(daemon=True)
        self.acknowledged = {f"{name}P{n}": 0 for n in range(PATIENTS)}
        self.sent_again = 0
        self.ended = threading.Event()
        self._wire, self._port, self._name = wire, port, name
        self._connection: Any = None

    def run(self) -> None:
        while not self.ended.is_set():
            for patient, number in self.acknowledged.items():
                raw = message(self._name, patient, number)
                while not self._is_taken(raw):
                    self.sent_again += 1
                    time.sleep(0.05)
                self.acknowledged[patient] += 1
            time.sleep(_PAUSE_SECONDS)
        if self._connection is not None:
            self._connection.close()

    def _is_taken(self, raw: bytes) -> bool:
        """Send it and wait for its acknowledgement."""
        try:
            self._connection = self._connection or self._wire.Sender(self._port, timeout=5)
            code, echoed = self._connection.send(raw).msa()
        except (OSError, EOFError):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return False
        assert echoed.encode() in raw
        return bool(code == "AA")


@contextmanager
def running(home: Path, url: str, redis: str) -> Iterator[tuple[Processes, DatabaseStore]]:
    """All processes, and the database seen from outside."""
    store = open_store(url)
    store.upgrade()
    processes = Processes(home, url, redis)
    processes.start()
    try:
        yield processes, store
    finally:
        processes.kill_all()
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


def findings(store: DatabaseStore, acknowledged: dict[str, int]) -> list[str]:
    """What is wrong: lost, applied twice or out of order. acknowledged: how many messages of each patient."""
    wrong = []
    logged: dict[str, list[int]] = {}
    states, results = {}, {}
    for id, control_id, state, result, of in rows(
        store, "SELECT id, control_id, state, result, duplicate_of FROM hl7v2_message ORDER BY id"
    ):
        if of is None:
            states[id], results[id] = state, result
            logged.setdefault(control_id, []).append(id)
        elif state != "duplicate":
            wrong.append(f"message {id}, sent again, is {state}")
    sent = []
    for patient, count in acknowledged.items():
        for number in range(count):
            found = logged.get(f"{patient}-{number}", [])
            if len(found) != 1:
                wrong.append(f"{patient}-{number} is stored {len(found)} times")
            sent += found
    wrong += [f"message {id} is {states[id]}" for id in sent if states[id] != "applied"]
    wrong += [f"message {id} was never acknowledged" for id in set(states) - set(sent)]
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
    for patient, count in acknowledged.items():
        ids = by_mrn.get(patient, [])
        if len(ids) != 1:
            wrong.append(f"patient {patient} is stored {len(ids)} times")
            continue
        told = told_in_order(store, ids[0])
        if told != [f"Number{number}" for number in range(count)]:
            wrong.append(f"patient {patient}: {told} instead of {count} in order")
        for number in range(count):
            version = f"Patient/{ids[0]}/_history/{number + 1}"
            for id in logged.get(f"{patient}-{number}", ()):
                if version not in json.loads(results[id] or "[]"):
                    wrong.append(f"message {id} does not say that it wrote version {number + 1}")
    return wrong


def test_what_is_acknowledged_is_applied_once_and_in_order_after_every_kill(
    database_kind: str,
    postgresql: ModuleType,
    redis_module: ModuleType,
    hl7v2_wire: ModuleType,
    tmp_path: Path,
) -> None:
    chance = random.Random(SEED)
    with contextlib.ExitStack() as stack:
        url, servers = f"sqlite:///{tmp_path / 'baton.sqlite3'}", {}
        redis = ""
        if database_kind == "postgresql":
            cluster = postgresql.Cluster()
            stack.callback(cluster.remove)
            cluster.start()
            queue = stack.enter_context(redis_module.RedisServer(tmp_path))
            url, redis = cluster.create_database("baton"), queue.url
            servers = {"the database": cluster, "the queue": queue}
        processes, store = stack.enter_context(running(tmp_path, url, redis))

        def kill_server(server: Any) -> None:
            server.kill()
            time.sleep(chance.uniform(0.0, 0.5))
            server.start()

        kills: dict[str, Callable[[], None]] = {
            "the listener": lambda: processes.kill("mllp"),
            "a worker": lambda: processes.kill("worker", chance.randrange(2)),
            "everything": processes.kill_all,
            "both workers": lambda: processes.kill("worker"),
        }
        for name, server in servers.items():
            kills[name] = lambda server=server: kill_server(server)  # type: ignore[misc]
        gravest = ["the listener", *list(servers)[:1], "a worker"]
        senders = [Sender(hl7v2_wire, processes.port, f"S{n}") for n in range(SENDERS)]
        for sender in senders:
            sender.start()
        for number in range(ROUNDS):
            before = applied(store), time.monotonic()
            until(lambda: applied(store) >= before[0] + 5, "messages are applied again", 300)  # noqa: B023
            time.sleep(chance.uniform(0.0, 1.0))
            name = gravest[number] if number < len(gravest) else chance.choice(list(kills))
            kills[name]()
            processes.start()
            print(f"round {number + 1}: {name}, {time.monotonic() - before[1]:.1f} s", flush=True)
        for sender in senders:
            sender.ended.set()
        for sender in senders:
            sender.join(120)
            assert not sender.is_alive(), "every message is acknowledged in the end"
        acknowledged = {patient: count for sender in senders for patient, count in sender.acknowledged.items()}
        sent = sum(acknowledged.values())
        until(lambda: applied(store) >= sent, f"all {sent} messages are applied (seed {SEED})", DRAIN_SECONDS)
        wrong = findings(store, acknowledged)
        assert wrong == [], f"seed {SEED}: {wrong[:20]}"
        again = sum(sender.sent_again for sender in senders)
        print(f"{database_kind}, seed {SEED}: {sent} messages, {again} sent again, {ROUNDS} kills")
