"""ADT messages from their sender into the store of a deployment, beside the import of what came of them.

    python benchmarks/hl7v2_end_to_end.py [--database sqlite|postgresql] [--messages N] [--rounds N] [--check]

Baton runs as an operator starts it on this machine: web server, listener, and a worker process a core. 20
connections send; each waits for its acknowledgement before it sends the next message. The clock runs from the
first byte until the last message is applied. The limit takes turns with it: what the messages wrote, version by
version, is imported by transactions of 100 new resources over HTTP into another deployment, from so many
clients that all server processes are at work.

Bars: 150 messages/s, and 0.4 of the import in resources/s.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from bars import Verdict
from data_sets import DATABASES, tests_postgresql
from hl7v2_feed import EVENTS
from processes import Baton, Process, free_port
from wrk import load, write_script

from server.fhir.json_codec import decode
from server.fhir.references import rewrite_references
from server.storage import open_store
from server.storage.database_store import DatabaseStore

MESSAGES_BAR, SHARE_BAR = 150.0, 0.4
CORES = os.cpu_count() or 1
WARM_PATIENTS = 20
BUNDLE = 100  # resources of one imported transaction
IMPORT_SECONDS = 4
IMPORT_CLIENTS = 8  # of two, both often have the same server process
_LONGEST = 600.0  # seconds that a round may last


@dataclass(frozen=True, slots=True)
class Figures:
    """The rounds of one database. messages: applied a second; written: versions a second of these; imported:
    resources a second."""

    database: str
    messages: tuple[float, ...]
    written: tuple[float, ...]
    imported: tuple[float, ...]

    @property
    def share(self) -> float:
        """Resources a second of the messages, of their import."""
        return statistics.median(one / other for one, other in zip(self.written, self.imported, strict=True))


class Deployment:
    """A running Baton: web, and where it listens a listener; a worker process a core."""

    def __init__(self, folder: Path, url: str, *, listens: bool) -> None:
        self.port = free_port()
        parts = ("web", "mllp", "worker") if listens else ("web", "worker")
        self.baton = _Listening(folder / "home", url, CORES, parts, self.port)
        self.baton.wait_for("/healthz")
        command = self.baton.command(("worker",))
        self._workers = [
            Process(command, self.baton.environment, folder / f"worker{number}.log", 0)
            for number in range(1, CORES)
        ]
        self.store: DatabaseStore = open_store(url)

    def stop(self) -> None:
        """End all processes."""
        self.store.close()
        for process in (*self._workers, self.baton):
            process.stop()

    def wait_for_messages(self) -> None:
        """Until none waits to be applied. Raises: SystemExit where one fails, or they take too long."""
        ends = time.monotonic() + _LONGEST
        while time.monotonic() < ends:
            with self.store.database.reading() as connection:
                waiting = (
                    "SELECT state FROM hl7v2_message WHERE state IN ('received', 'mapped', 'parked') LIMIT 1"
                )
                if connection.execute(waiting).fetchone() is None:
                    break
            time.sleep(0.02)
        with self.store.database.reading() as connection:
            ended = "SELECT state, error, count(*) FROM hl7v2_message WHERE state <> 'applied' GROUP BY 1, 2"
            if rows := connection.execute(ended).fetchall():
                raise SystemExit(f"not all messages were applied: {rows}")


class _Listening(Baton):
    """Baton whose listener has a port of its own."""

    def __init__(self, home: Path, url: str, workers: int, parts: Sequence[str], port: int) -> None:
        self._mllp = port
        super().__init__(home, url, workers, parts)

    def command(self, parts: Sequence[str]) -> list[str]:
        self.environment["BATON_PORT_MLLP"] = str(self._mllp)
        return super().command(parts)


@contextmanager
def sender(port: int, first: int, patients: int) -> Iterator[Callable[[], None]]:
    """A process that is ready to send the messages of some patients, and what makes it do so."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("hl7v2_sender.py")),
        *map(str, (port, first, patients)),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()

        def send() -> None:
            process.communicate("begin\n")
            if process.returncode:
                raise SystemExit("not all messages were accepted")

        yield send


def applied(deployment: Deployment, patients: int) -> tuple[float, float]:
    """Messages and versions a second."""
    with sender(deployment.port, 1_000_000, WARM_PATIENTS) as send:
        send()
    deployment.wait_for_messages()
    before = versions(deployment.store)
    with sender(deployment.port, 0, patients) as send:
        started = time.perf_counter()
        send()
        deployment.wait_for_messages()
        took = time.perf_counter() - started
    return patients * len(EVENTS) / took, (versions(deployment.store) - before) / took


def imported(folder: Path, deployment: Deployment, bundles: Iterable[list[dict[str, Any]]], seed: int) -> float:
    """Resources a second, in transactions."""
    baton = deployment.baton
    bodies, script = folder / "bodies.ndjson", folder / "import.lua"
    bodies.write_text("".join(f"{json.dumps(posted(one), default=float)}\n" for one in bundles), "utf-8")
    request = 'return wrk.format("POST", "/fhir", sent, bodies[math.random(#bodies)])'
    write_script(script, request=request, token=baton.token(), port=baton.port, bodies=bodies)
    load(script, baton.port, seconds=1, clients=IMPORT_CLIENTS, seed=0)  # warm
    return BUNDLE * load(script, baton.port, seconds=IMPORT_SECONDS, clients=IMPORT_CLIENTS, seed=seed).rate


def posted(resources: list[dict[str, Any]]) -> dict[str, Any]:
    """A transaction that creates them under new ids; among themselves they refer to each other by urn:uuid."""
    urns = {
        f"{one['resourceType']}/{one['id']}": f"urn:uuid:00000000-0000-4000-8000-{number:012x}"
        for number, one in enumerate(resources)
    }
    entries = [
        {
            "fullUrl": urns[f"{one['resourceType']}/{one['id']}"],
            "resource": {
                name: value
                for name, value in rewrite_references(one, urns.get).items()
                if name not in ("id", "meta")
            },
            "request": {"method": "POST", "url": one["resourceType"]},
        }
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def versions(store: DatabaseStore) -> int:
    with store.database.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM version").fetchone()[0])


def all_written(store: DatabaseStore) -> Iterator[list[dict[str, Any]]]:
    """What the messages wrote, every version of it, in bundles in which no resource is twice."""
    with store.database.reading() as connection:
        rows = connection.execute(
            "SELECT coalesce(v.body, r.body) FROM version v JOIN resource r ON r.rid = v.rid ORDER BY v.seq"
        ).fetchall()
    left = deque(decode(bytes(row[0])) for row in rows)
    while len(left) >= BUNDLE:
        bundle: dict[tuple[str, str], dict[str, Any]] = {}
        again = []
        while left and len(bundle) < BUNDLE:
            one = left.popleft()
            if bundle.setdefault((one["resourceType"], one["id"]), one) is not one:
                again.append(one)
        left.extendleft(reversed(again))
        if len(bundle) == BUNDLE:
            yield [*bundle.values()]


def steps(rounds: int) -> int:
    """How many times `measure` calls step."""
    return 2 * rounds


def measure(kind: str, messages: int, rounds: int, step: Callable[[str], None]) -> Figures:
    """All figures of one database."""
    rates, written, limits = [], [], []
    with tempfile.TemporaryDirectory(prefix="baton-hl7v2-") as name:
        for number in range(rounds):
            with deployed(Path(name) / f"feed{number}", kind, listens=True) as deployment:
                rate, resources = applied(deployment, messages // len(EVENTS))
                bundles = [*all_written(deployment.store)]
            rates.append(rate)
            written.append(resources)
            step("messages")
            with deployed(Path(name) / f"import{number}", kind, listens=False) as deployment:
                limits.append(imported(Path(name), deployment, bundles, number + 1))
            step("import")
    return Figures(kind, tuple(rates), tuple(written), tuple(limits))


@contextmanager
def deployed(folder: Path, kind: str, *, listens: bool) -> Iterator[Deployment]:
    """A running Baton on a database of its own."""
    folder.mkdir()
    with _database(kind, folder) as url:
        deployment = Deployment(folder, url, listens=listens)
        try:
            yield deployment
        finally:
            deployment.stop()


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    """The address of an empty database, the only one of its server: what a round leaves it to tidy up, vacuum
    and checkpoints, would be done at the cost of the next round."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/baton.sqlite3"
        return
    cluster = tests_postgresql().Cluster()
    try:
        cluster.start()
        yield cluster.create_database("baton")
    finally:
        cluster.remove()


def verdicts(found: Sequence[Figures]) -> list[Verdict]:
    """Whether the bars hold."""
    made = []
    for one in found:
        name = f"{one.database}: HL7 v2 messages applied a second"
        made.append(Verdict(name, statistics.median(one.messages), MESSAGES_BAR, True))
        name = f"{one.database}: resources of messages a second, of their import"
        made.append(Verdict(name, one.share, SHARE_BAR, True))
    return made


def table(found: Sequence[Figures]) -> list[str]:
    """A row a database."""
    lines = [
        "| database | messages a second | resources a second | import | share of it |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in found:
        cells = (f"{statistics.median(each):,.0f}" for each in (one.messages, one.written, one.imported))
        lines.append("| " + " | ".join((one.database, *cells, f"{one.share:.2f}")) + " |")
    return lines


@click.command()
@click.option("--database", "kinds", type=click.Choice(DATABASES), multiple=True, default=DATABASES)
@click.option("--messages", type=click.IntRange(5), default=2000, show_default=True, help="Of a round.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--check", is_flag=True, help="Status 1 where a bar is missed.")
def main(kinds: tuple[str, ...], messages: int, rounds: int, check: bool) -> None:
    """Measure, and say whether the bars hold."""
    found = []
    for kind in kinds:
        with click.progressbar(length=steps(rounds), label=kind, file=sys.stderr, item_show_func=str) as bar:
            found.append(measure(kind, messages, rounds, lambda what, bar=bar: bar.update(1, what)))
    click.echo("\n".join(table(found)))
    bars = verdicts(found)
    for one in bars:
        click.echo(one.line())
    if check and not all(one.holds for one in bars):
        sys.exit(1)


if __name__ == "__main__":
    main()
