"""ADT messages from the log into the store: parsed, mapped, applied, in one process.

    python benchmarks/hl7v2_end_to_end.py [--database sqlite|postgresql] [--messages N] [--rounds N] [--check]

Each synthetic patient is admitted, updated, transferred, updated and discharged. The limit of the same run is
the import of what came of it: the same resources in transactions of 100, through the same door, into an empty
store; and, to see what one transaction for each message costs by itself, in transactions of five. Rounds take
turns. CPU seconds are told as well, because others may use the machine.

Bars: 150 messages/s, and 0.4 of the import in resources/s.
"""

from __future__ import annotations

import itertools
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

from mappings.hl7v2.message import parse
from server.app import make_context
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.fhir.dates import microseconds
from server.fhir.json_codec import decode
from server.hl7v2.arrival import keys_of
from server.hl7v2.current_maps import CurrentMaps
from server.interactions.perform import perform
from server.interactions.request import Context, InteractionRequest
from server.settings import read_settings
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
SMALL_BUNDLE = 5  # about as many as a message writes


@dataclass(frozen=True, slots=True)
class Measured:
    """One round. resources: versions written. seconds: by the clock, and of the processor."""

    count: int
    resources: int
    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The rounds of one database. fed: messages; loaded: what came of them, in transactions of 100; small: in
    transactions of five. load: of the machine."""

    database: str
    fed: tuple[Measured, ...]
    loaded: tuple[Measured, ...]
    small: tuple[Measured, ...]
    load: float

    def share(self, others: Sequence[Measured], *, of_clock: bool = True) -> float:
        """Resources a second of the messages as a share of those of an import."""
        return statistics.median(
            one.resources / other.resources * (other.seconds / one.seconds if of_clock else other.cpu / one.cpu)
            for one, other in zip(self.fed, others, strict=True)
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


@contextmanager
def fresh(
    kind: str, cluster: Any, number: Iterator[int], folder: Path
) -> Iterator[tuple[DatabaseStore, Context]]:
    """An empty store with what interactions need."""
    home = folder / f"home{next(number)}"
    url = f"sqlite:///{home / 'baton.sqlite3'}" if cluster is None else cluster.create_database(home.name)
    settings = read_settings(
        {
            "BATON_HOME": str(home),
            "BATON_DATABASE_URL": url,
            "BATON_SECRET_KEY": "k" * 40,
            "BATON_TIME_ZONE": "UTC",
        }
    )
    home.mkdir(parents=True)
    store = open_store(url)
    store.upgrade()
    try:
        yield store, make_context(settings, store)
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


def end_to_end(store: DatabaseStore, context: Context, maps: CurrentMaps, patients: int) -> Measured:
    """All messages, by one lane."""

    def failed(name: str, error: Exception) -> None:
        raise SystemExit(f"{name}: {error!r}")

    count = keep(store, patients)
    lanes = Hl7v2Lanes(context, store, maps, lambda: datetime.now(UTC), failed)
    lane = next(iter(lanes.lanes.values()))
    maps()

    def work() -> None:
        while lane(lambda: False):
            pass

    clock, cpu = timed(work)
    with store.database.reading() as connection:
        rows = connection.execute(
            "SELECT state, error, count(*) FROM hl7v2_message GROUP BY state, error"
        ).fetchall()
    if [(state, number) for state, _, number in rows] != [("applied", count)]:
        raise SystemExit(f"not all messages were applied: {rows}")
    return Measured(count, versions(store), clock, cpu)


def imported(
    store: DatabaseStore, context: Context, resources: list[dict[str, Any]], size: int = BUNDLE
) -> Measured:
    """The same resources in transactions of that size."""
    context = replace(context, blind_writes=True)
    principal = Principal(client_id="benchmark", scopes=parse_scopes("system/*.cruds"))
    bundles = []
    for start in range(0, len(resources), size):
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in resources[start : start + size]
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


def measure(kind: str, messages: int, rounds: int, step: Callable[[str], None]) -> Figures:
    """All figures of one database."""
    fed, loaded, small = [], [], []
    number = itertools.count()
    with tempfile.TemporaryDirectory() as name, _cluster(kind) as cluster:
        folder = Path(name)
        maps = CurrentMaps(folder / "maps", lambda what, error: sys.exit(f"{what}: {error}"))
        for _ in range(rounds):
            with fresh(kind, cluster, number, folder) as (store, context):
                fed.append(end_to_end(store, context, maps, messages // len(EVENTS)))
                resources = stored(store)
            step("messages")
            for measured, size in ((loaded, BUNDLE), (small, SMALL_BUNDLE)):
                with fresh(kind, cluster, number, folder) as (store, context):
                    measured.append(imported(store, context, resources, size))
                step(f"import, {size} at a time")
    return Figures(kind, tuple(fed), tuple(loaded), tuple(small), os.getloadavg()[0])


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
        made.append(Verdict(name, one.share(one.loaded), SHARE_BAR, True))
    return made


def table(found: Sequence[Figures]) -> list[str]:
    """A row a database."""
    columns = (
        "database", "messages a second", "ms of processor each", "resources a second", "import",
        "share of it", "of its processor time", f"share of import by {SMALL_BUNDLE}", "load",
    )  # fmt: skip
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for one in found:
        cells = (
            one.database,
            f"{statistics.median(round.count / round.seconds for round in one.fed):,.0f}",
            f"{statistics.median(1000 * round.cpu / round.count for round in one.fed):.1f}",
            f"{statistics.median(round.resources / round.seconds for round in one.fed):,.0f}",
            f"{statistics.median(round.resources / round.seconds for round in one.loaded):,.0f}",
            f"{one.share(one.loaded):.2f}",
            f"{one.share(one.loaded, of_clock=False):.2f}",
            f"{one.share(one.small):.2f}",
            f"{one.load:.1f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


@click.command()
@click.option("--database", "kinds", type=click.Choice(DATABASES), multiple=True, default=DATABASES)
@click.option("--messages", type=click.IntRange(5), default=1000, show_default=True, help="Of a round.")
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
