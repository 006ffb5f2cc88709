"""ADT messages from the log into the store: parsed, mapped, applied, by one worker process a core.

    python benchmarks/hl7v2_end_to_end.py [--database sqlite|postgresql] [--messages N] [--rounds N] [--check]

Each synthetic patient is admitted, updated, transferred, updated and discharged. The limit of the same run is
the import of what came of it: the same resources in transactions of 100 over HTTP, by as many clients and
server processes, into an empty store. What they cost where one process does them through the same door, without
HTTP, is told beside it in seconds of the processor, because others may use the machine. Rounds take turns.

Bars: 150 messages/s, and 0.4 of the import in resources/s.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from bars import Verdict
from data_sets import DATABASES, tests_postgresql
from processes import Baton
from wrk import load, write_script

from mappings.hl7v2.message import parse
from server.app import make_context
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.fhir.dates import microseconds
from server.fhir.json_codec import decode
from server.fhir.references import rewrite_references
from server.hl7v2.arrival import keys_of
from server.hl7v2.current_maps import CurrentMaps
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionRequest
from server.settings import Settings, read_settings
from server.storage import open_store
from server.storage.database_store import DatabaseStore
from server.storage.hl7v2_log import NewMessage
from server.storage.hl7v2_sources import SourceRow
from server.workers.hl7v2 import Hl7v2Lanes

MESSAGES_BAR, SHARE_BAR = 150.0, 0.4
EVENTS = ("A01", "A08", "A02", "A08", "A03")
STRUCTURES = {"A08": "ADT_A01"}
START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
BUNDLE = 100  # resources of one imported transaction
IMPORT_SECONDS = 4
PATIENCE = 600.0  # seconds until a process that says nothing has failed
_OPEN = "SELECT 1 FROM hl7v2_message WHERE state IN ('received', 'mapped') LIMIT 1"


@dataclass(frozen=True, slots=True)
class Measured:
    """One round. resources: versions written. seconds: by the clock, and of the processor."""

    count: int
    resources: int
    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The rounds of one database. fed: messages. imports: resources a second over HTTP. loaded: what came of
    the messages, in one process without HTTP. load: of the machine."""

    database: str
    fed: tuple[Measured, ...]
    imports: tuple[float, ...]
    loaded: tuple[Measured, ...]
    load: float

    @property
    def share(self) -> float:
        """Resources a second of the messages as a share of those of the import."""
        return statistics.median(
            one.resources / one.seconds / rate for one, rate in zip(self.fed, self.imports, strict=True)
        )

    @property
    def processor_share(self) -> float:
        """The same of what one process does without HTTP, by seconds of the processor."""
        return statistics.median(
            one.resources / one.cpu / (other.resources / other.cpu)
            for one, other in zip(self.fed, self.loaded, strict=True)
        )


def adt(patient: int, event: str, step: int) -> bytes:
    """A synthetic message of some 1.1 KB in ten segments."""
    at = (START + timedelta(minutes=patient % 500 + 60 * step)).strftime("%Y%m%d%H%M%S+0000")
    ward = f"WARD{(patient + step // 2) % 8}"
    doctor = f"{1000 + patient % 20}^Doctor{patient % 20}^Synthetic^^^^^^NPI"
    visit = {
        1: "1", 2: "I", 3: f"{ward}^{patient % 30}^A^HOSP", 4: "E", 7: doctor, 10: "MED", 14: "7", 17: doctor,
        19: f"V{patient}^^^HOSP^VN", 44: START.strftime("%Y%m%d%H%M%S+0000"),
    }  # fmt: skip
    if event == "A02":
        visit[6] = f"WARD{patient % 8}^{patient % 30}^A^HOSP"
    if event == "A03":
        visit |= {36: "01", 45: at}
    structure = STRUCTURES.get(event, f"ADT_{event}")
    name = f"Synthetic{patient}^Ana^M^^Ms"
    return "\r".join(
        (
            f"MSH|^~\\&|ADT|HOSP|BATON|SITE|{at}||ADT^{event}^{structure}|{patient}-{step}|P|2.5.1|||AL|NE",
            f"EVN|{event}|{at}||||{at}",
            f"PID|1||{patient}^^^HOSP^MR~{patient}9^^^STATE^PI||{name}||19{patient % 90 + 10:02}0102|F||2106-3|"
            f"{patient} Main St^Apt {step}^Springfield^IL^62701^USA^H||^PRN^PH^^1^217^{5550000 + patient}"
            f"||en|M|||{patient:09}",
            "PD1||||1999^Family^Doctor^^^^^^NPI",
            f"NK1|1|Synthetic{patient}^Bo|SPO|{patient} Main St^^Springfield^IL^62701|^PRN^PH^^1^217^5559999",
            "PV1|" + "|".join(visit.get(number, "") for number in range(1, 46)),
            "PV2||||||||20260301|20260308",
            f"OBX|1|NM|29463-7^Body weight^LN||{60 + patient % 40}|kg^kilogram^UCUM|||||F",
            "AL1|1|DA|7980^Penicillin^RXNORM|SV|Hives",
            "DG1|1||I10^Essential hypertension^I10C||20260301|A",
            "",
        )
    ).encode()


def settings_of(home: Path, url: str) -> Settings:
    """Those of a server with this database."""
    return read_settings(
        {
            "BATON_HOME": str(home),
            "BATON_DATABASE_URL": url,
            "BATON_SECRET_KEY": "k" * 40,
            "BATON_TIME_ZONE": "UTC",
        }
    )


@contextmanager
def fresh(
    kind: str, cluster: Any, number: Iterator[int], folder: Path
) -> Iterator[tuple[DatabaseStore, Context, Settings]]:
    """An empty store with what interactions need."""
    home = folder / f"home{next(number)}"
    url = f"sqlite:///{home / 'baton.sqlite3'}" if cluster is None else cluster.create_database(home.name)
    home.mkdir(parents=True)
    settings, store = settings_of(home, url), open_store(url)
    store.upgrade()
    try:
        yield store, make_context(settings, store), settings
    finally:
        store.close()


def keep(store: DatabaseStore, patients: int) -> int:
    """Store the messages of some patients, event by event; how many."""
    source = SourceRow("adt", "ADT", "HOSP", "confirmed", "{}", 0)
    zone = ZoneInfo("UTC")
    for step, event in enumerate(EVENTS):
        batch = []
        for patient in range(patients):
            raw = adt(patient, event, step)
            keys = keys_of(parse(raw), "adt", (), zone)
            batch.append(
                NewMessage(
                    "adt",
                    "mllp",
                    f"{patient}-{step}",
                    sha256(raw).digest(),
                    microseconds(datetime.now(UTC)),
                    raw,
                    keys.type,
                    keys.trigger,
                    keys.structure,
                    keys.event_at or 0,
                    keys.order_key,
                    keys.second_key,
                    keys.mrn,
                    keys.visit,
                    ack_code="AA",
                )
            )
        store.hl7v2_log.keep(batch, since=0, new_sources=[source])
    return patients * len(EVENTS)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cpu


def versions(store: DatabaseStore) -> int:
    with store.database.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM version").fetchone()[0])


def end_to_end(store: DatabaseStore, settings: Settings, patients: int, workers: int) -> Measured:
    """All messages, by one lane in each of as many processes."""
    count = keep(store, patients)
    store.close()
    spawned = multiprocessing.get_context("spawn")
    ready, spent = spawned.Barrier(workers + 1), spawned.SimpleQueue()
    work = (str(settings.home), settings.database_url, ready, spent)
    processes = [spawned.Process(target=_lane, args=work, daemon=True) for _ in range(workers)]
    for process in processes:
        process.start()
    ready.wait(PATIENCE)
    clock = time.perf_counter()
    for process in processes:
        process.join(PATIENCE)
    seconds = time.perf_counter() - clock
    with store.database.reading() as connection:
        rows = connection.execute(
            "SELECT state, error, count(*) FROM hl7v2_message GROUP BY state, error"
        ).fetchall()
    if [(state, number) for state, _, number in rows] != [("applied", count)]:
        raise SystemExit(f"not all messages were applied: {rows}")
    return Measured(count, versions(store), seconds, sum(spent.get() for _ in processes))


def _lane(home: str, url: str, ready: Any, spent: Any) -> None:
    """A worker process with one lane, until nothing is left to do."""

    def failed(name: str, error: Exception) -> None:
        raise SystemExit(f"{name}: {error!r}")

    settings, store = settings_of(Path(home), url), open_store(url)
    maps = CurrentMaps(settings.home / "maps", failed)
    maps()
    lanes = Hl7v2Lanes(make_context(settings, store), store, maps, lambda: datetime.now(UTC), failed)
    lane = next(iter(lanes.lanes.values()))
    ready.wait(PATIENCE)
    before = time.process_time()
    while lane(lambda: False) or _is_open(store):
        pass
    spent.put(time.process_time() - before)
    store.close()


def _is_open(store: DatabaseStore) -> bool:
    """Whether a message is left, which another process may have; then there is a moment to wait."""
    with store.database.reading() as connection:
        found = connection.execute(_OPEN).fetchone() is not None
    if found:
        time.sleep(0.005)
    return found


def over_http(settings: Settings, resources: list[dict[str, Any]], workers: int, seed: int) -> float:
    """Resources a second of transactions that clients send to a server with as many processes."""
    bodies, script = settings.home / "bodies.ndjson", settings.home / "import.lua"
    starts = range(0, max(1, len(resources) - BUNDLE), BUNDLE)
    bundles = (_posted(resources[start : start + BUNDLE]) for start in starts)
    bodies.write_text("".join(f"{json.dumps(bundle)}\n" for bundle in bundles), "utf-8")
    size = len(resources[:BUNDLE])
    baton = Baton(settings.home, settings.database_url, workers)
    try:
        baton.wait_for("/healthz")
        request = 'return wrk.format("POST", "/fhir", sent, bodies[math.random(#bodies)])'
        write_script(script, request=request, token=baton.token(), port=baton.port, bodies=bodies)
        load(script, baton.port, seconds=1, clients=workers, seed=0)  # warm
        rate = load(script, baton.port, seconds=IMPORT_SECONDS, clients=workers, seed=seed).rate
    finally:
        baton.stop()
    return size * rate


def _posted(resources: list[dict[str, Any]]) -> dict[str, Any]:
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


def imported(store: DatabaseStore, context: Context, resources: list[dict[str, Any]]) -> Measured:
    """The same resources in transactions, by one process and without HTTP."""
    context = replace(context, blind_writes=True)
    principal = Principal(client_id="benchmark", scopes=parse_scopes("system/*.cruds"))
    bundles = []
    for start in range(0, len(resources), BUNDLE):
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in resources[start : start + BUNDLE]
        ]
        bundles.append({"resourceType": "Bundle", "type": "transaction", "entry": entries})

    def work() -> None:
        for bundle in bundles:
            perform(context, principal, InteractionRequest("transaction", body=bundle))

    clock, cpu = timed(work)
    return Measured(len(bundles), versions(store), clock, cpu)


def stored(store: DatabaseStore) -> list[dict[str, Any]]:
    """What came of the messages; each resource once."""
    with store.database.reading() as connection:
        rows = connection.execute("SELECT body FROM resource ORDER BY rid").fetchall()
    return [decode(bytes(row[0])) for row in rows]


def steps(rounds: int) -> int:
    """How many times `measure` calls step."""
    return 3 * rounds


def measure(
    kind: str, messages: int, rounds: int, step: Callable[[str], None], workers: int = os.cpu_count() or 1
) -> Figures:
    """All figures of one database."""
    fed, imports, loaded = [], [], []
    number = itertools.count()
    with tempfile.TemporaryDirectory() as name, _cluster(kind) as cluster:
        folder = Path(name)
        for seed in range(1, rounds + 1):
            with fresh(kind, cluster, number, folder) as (store, _, settings):
                fed.append(end_to_end(store, settings, messages // len(EVENTS), workers))
                resources = stored(store)
            step("messages")
            with fresh(kind, cluster, number, folder) as (_, _, settings):
                imports.append(over_http(settings, resources, workers, seed))
            step("import over HTTP")
            with fresh(kind, cluster, number, folder) as (store, context, _):
                loaded.append(imported(store, context, resources))
            step("import in one process")
    return Figures(kind, tuple(fed), tuple(imports), tuple(loaded), os.getloadavg()[0])


@contextmanager
def _cluster(kind: str) -> Iterator[Any]:
    if kind == "sqlite":
        yield None
        return
    cluster = tests_postgresql().Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def verdicts(found: Sequence[Figures]) -> list[Verdict]:
    """Whether the bars hold."""
    made = []
    for one in found:
        rate = statistics.median(round.count / round.seconds for round in one.fed)
        name = f"{one.database}: HL7 v2 messages applied a second"
        made.append(Verdict(name, rate, MESSAGES_BAR, True))
        name = f"{one.database}: resources of messages a second, of their import"
        made.append(Verdict(name, one.share, SHARE_BAR, True))
    return made


def table(found: Sequence[Figures]) -> list[str]:
    """A row a database."""
    columns = (
        "database", "messages a second", "ms of processor each", "resources a second", "import over HTTP",
        "share of it", "of an import's processor time, without HTTP", "load",
    )  # fmt: skip
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for one in found:
        cells = (
            one.database,
            f"{statistics.median(round.count / round.seconds for round in one.fed):,.0f}",
            f"{statistics.median(1000 * round.cpu / round.count for round in one.fed):.1f}",
            f"{statistics.median(round.resources / round.seconds for round in one.fed):,.0f}",
            f"{statistics.median(one.imports):,.0f}",
            f"{one.share:.2f}",
            f"{one.processor_share:.2f}",
            f"{one.load:.1f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


@click.command()
@click.option("--database", "kinds", type=click.Choice(DATABASES), multiple=True, default=DATABASES)
@click.option("--messages", type=click.IntRange(5), default=1000, show_default=True, help="Of a round.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes of both.")
@click.option("--check", is_flag=True, help="Status 1 where a bar is missed.")
def main(kinds: tuple[str, ...], messages: int, rounds: int, workers: int, check: bool) -> None:
    """Measure, and say whether the bars hold."""
    found = []
    for kind in kinds:
        with click.progressbar(length=steps(rounds), label=kind, file=sys.stderr, item_show_func=str) as bar:
            found.append(measure(kind, messages, rounds, lambda what, bar=bar: bar.update(1, what), workers))
    click.echo("\n".join(table(found)))
    bars = verdicts(found)
    for one in bars:
        click.echo(one.line())
    if check and not all(one.holds for one in bars):
        sys.exit(1)


if __name__ == "__main__":
    main()
