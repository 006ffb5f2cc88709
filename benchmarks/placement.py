"""How patients, bytes and statements would spread over the shards of a distributed PostgreSQL: a simulation.

    python benchmarks/placement.py              the figures of docs/explanation/scale.md (some ten seconds)
    python benchmarks/placement.py --write      the same, written into that page
    python benchmarks/placement.py --measure postgresql      load the synthetic charts again first (minutes)

A chart's bucket is its patient's hash modulo BUCKETS, as docs/explanation/scale.md says; a shard holds a run of
buckets. Patients fall into buckets at random (the hash is checked to do so), every single chart draws its own
size, and the care team's statements follow the patients who were discharged lately. Seeded: same output always.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from scipy import stats

from server.fhir.hashing import reference_hash

ROOT = Path(__file__).resolve().parents[1]
SIZES = Path(__file__).with_name("chart_sizes.toml")
PAGE = ROOT / "docs" / "explanation" / "scale.md"
MARKS = ("<!-- begin placement -->", "<!-- end placement -->")
SEED = 20261122
BUCKETS = 4096
POPULATIONS = (1_000_000, 10_000_000, 100_000_000)
SHARDS = (4, 16, 64, 256)
# Standard deviation of the logarithm of chart sizes: the synthetic charts are much alike, a hospital's are not.
# At 1.2 one chart in a hundred is more than 16 times the median one.
SPREAD = 1.2
IN_TRANSITION = 0.01  # of all patients at any time: discharged within the last 30 days
PATIENTS_A_PERSON = 60  # in transition, for one case manager
BUSY_SECONDS = 8 * 3600  # a day's statements fall into a working day


@dataclass(frozen=True, slots=True)
class Kind:
    """Statements of one kind. to: what they address (chart, directory then chart, or all shards).

    each: for whom: a patient in transition, a person of the team, or the installation. a_day: for each of them.
    """

    name: str
    to: str
    each: str
    a_day: float


MIX = (
    Kind("open a chart: eight searches with `patient=`", "chart", "patient", 1.5 * 8),
    Kind("read `Patient/id`; save a draft; sign (one transaction each)", "chart", "patient", 2.5),
    Kind("feed: results and visits, written by id or with `If-None-Exist`", "directory", "patient", 10),
    Kind("read or update by id (Task, Encounter, List)", "directory", "patient", 4),
    Kind("worklist: Tasks by code and status, with includes", "all", "person", 60),
    Kind("worklist: Lists and Encounters with `patient=` of everybody on it", "all", "person", 120),
    Kind("find a patient by name, birth date or number", "all", "person", 20),
    Kind("discharge watch of the app's worker, every five seconds", "all", "installation", 5_760),
    Kind("bulk reader: `_lastUpdated` or history of a type", "all", "installation", 500),
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a chart: mean number of resources; rows and bytes of one resource, with indexes."""

    resources: float
    rows: float
    bytes: float
    spread: float
    database: str


def read_sizes() -> Sizes:
    """The measured sizes that are kept beside this file."""
    record = tomllib.loads(SIZES.read_text("utf-8"))
    charts = record["resources_of_charts"]
    rows, size = record["rows"], record["bytes_a_row"]
    return Sizes(
        resources=sum(charts) / len(charts),
        rows=sum(rows.values()) / rows["resource"],
        bytes=sum(rows[table] * size[table] for table in rows) / rows["resource"],
        spread=record["spread"],
        database=record["database"],
    )


@dataclass(frozen=True, slots=True)
class Buckets:
    """By bucket: patients, those in transition, resources."""

    patients: np.ndarray
    active: np.ndarray
    resources: np.ndarray


def fill_buckets(population: int, mean_resources: float, dice: np.random.Generator) -> Buckets:
    """Put every patient into a bucket and draw the size of every single chart."""
    patients = dice.multinomial(population, np.full(BUCKETS, 1 / BUCKETS))
    active = dice.binomial(patients, IN_TRANSITION)
    center = np.log(mean_resources) - SPREAD**2 / 2  # so that the mean is the measured one
    resources = np.empty(BUCKETS)
    for bucket, count in enumerate(patients):
        sizes = dice.standard_normal(count, dtype=np.float32)
        sizes *= np.float32(SPREAD)
        sizes += np.float32(center)
        resources[bucket] = np.exp(sizes, out=sizes).sum(dtype=np.float64)
    return Buckets(patients, active, resources)


def by_shard(values: np.ndarray, shards: int) -> np.ndarray:
    """Sums over the run of buckets that each shard holds."""
    return values.reshape(shards, -1).sum(axis=1)


@dataclass(frozen=True, slots=True)
class Load:
    """Statements a second in the busy hours. chart: by shard; everywhere: on every shard; requests: as sent."""

    chart: np.ndarray
    everywhere: float
    requests: float

    @property
    def scatter_of_requests(self) -> float:
        return self.everywhere / self.requests

    @property
    def scatter_of_work(self) -> float:
        wide = self.everywhere * len(self.chart)
        return wide / (wide + self.chart.sum())


def load(active: np.ndarray, shards: int) -> Load:
    """What the mix sends to each shard. A directory look-up goes to another shard than its chart, evenly."""
    patients = by_shard(active, shards)
    total = float(patients.sum())
    people = {"patient": total, "person": total / PATIENTS_A_PERSON, "installation": 1.0}
    chart = np.zeros(shards)
    everywhere = requests = 0.0
    for kind in MIX:
        rate = kind.a_day * people[kind.each] / BUSY_SECONDS
        requests += rate
        if kind.to == "all":
            everywhere += rate
            continue
        chart += rate * patients / total
        if kind.to == "directory":
            chart += rate / shards
    return Load(chart, everywhere, requests)


def hash_evenness(seed: int = SEED + 1, count: int = 500_000) -> float:
    """The chance that a fair die would spread ids less evenly over the buckets than the real hash does."""
    ids = np.random.default_rng(seed).integers(0, 2**63, size=(count, 2))
    found = np.zeros(BUCKETS, dtype=np.int64)
    for high, low in ids.tolist():
        found[bucket_of(f"{high:016x}-{low:016x}")] += 1
    return float(stats.chisquare(found).pvalue)


def bucket_of(patient: str) -> int:
    """The bucket of a patient's chart."""
    return reference_hash(f"Patient/{patient}") % BUCKETS


def report(populations: Sequence[int], sizes: Sizes) -> Iterator[str]:
    """The figures as Markdown, line by line."""
    dice = np.random.default_rng(SEED)
    mean = sizes.resources * sizes.bytes / 1e6
    yield f"`python benchmarks/placement.py`, seed {SEED}. Measured on {sizes.database}, indexes included:"
    rows, kilobytes = f"{sizes.rows:.1f}", f"{sizes.bytes / 1e3:.1f}"
    yield f"{sizes.resources:.0f} resources a chart, {rows} rows and {kilobytes} kB a resource,"
    yield f"{mean:.2f} MB a chart. Spread of the synthetic charts {sizes.spread:.2f}, simulated {SPREAD}."
    yield f"The real hash puts 500,000 random ids into {BUCKETS} buckets as evenly as chance does"
    yield f"(chi-square, p = {hash_evenness():.2f})."
    yield ""
    yield "| patients | shards | patients a shard | rows a shard | | bytes a shard | | |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    yield "| | | max/mean | mean | max/mean | mean | p99 | max/mean |"
    work = []
    for population in populations:
        buckets = fill_buckets(population, sizes.resources, dice)
        for shards in SHARDS:
            patients = by_shard(buckets.patients, shards)
            resources = by_shard(buckets.resources, shards)
            size = resources * sizes.bytes
            cells = (
                f"{population:,}",
                f"{shards}",
                _excess(patients),
                f"{resources.mean() * sizes.rows / 1e9:.2f} billion",
                _excess(resources),
                _bytes(size.mean()),
                _bytes(float(np.percentile(size, 99))),
                _excess(size),
            )
            yield f"| {' | '.join(cells)} |"
            work.append((population, shards, load(buckets.active, shards)))
    yield ""
    yield "Statements a second in the busy hours, from the mix below:"
    yield ""
    yield "| patients | shards | to one chart, on a shard | | | to all | scatter: of requests | of all work |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    yield "| | | mean | p99 | max/mean | each shard | | |"
    for population, shards, found in work:
        chart = found.chart
        yield (
            f"| {population:,} | {shards} | {chart.mean():.1f} | {np.percentile(chart, 99):.1f}"
            f" | {_excess(chart)} | {found.everywhere:.2f}"
            f" | {found.scatter_of_requests:.1%} | {found.scatter_of_work:.1%} |"
        )
    yield ""
    yield f"The mix: {IN_TRANSITION:.0%} of the patients in transition, {PATIENTS_A_PERSON} of them"
    yield "a case manager, a day's work in eight hours."
    yield ""
    yield "| statements | go to | a day |"
    yield "| --- | --- | --- |"
    for kind in MIX:
        yield f"| {kind.name} | {_GOES[kind.to]} | {kind.a_day:g} for each {kind.each} |"


_GOES = {
    "chart": "the chart's shard",
    "directory": "the directory, then the chart's shard",
    "all": "all shards",
}


def _excess(values: np.ndarray) -> str:
    """How far the fullest shard is above the mean one."""
    return f"{values.max() / values.mean():.3f}"


def _bytes(count: float) -> str:
    return f"{count / 1e12:.2f} TB" if count >= 1e12 else f"{count / 1e9:.0f} GB"


def keep_sizes(database: str) -> None:
    """Measure again and write the file."""
    from chart_sizes import measure

    found = measure(database)
    lines = [
        "# Measured by `python benchmarks/placement.py --measure DATABASE`: the synthetic charts of",
        "# server/demo_data/patients, cut at their newest discharge, in an empty database. Bytes with indexes.",
        f'database = "{found.database}"',
        f"resources_of_charts = {list(found.resources)}",
        f"spread = {found.spread:.3f}",
        "",
        "[belong_to_charts]",
        *(f"{name} = {count}" for name, count in found.kinds.items()),
        "",
        "[shared]",
        *(f"{name} = {count}" for name, count in found.shared.items()),
        "",
        "[rows]",
        *(f"{table} = {count}" for table, count in found.rows.items()),
        "",
        "[bytes_a_row]",
        *(f"{table} = {count:.1f}" for table, count in found.bytes_a_row.items()),
    ]
    SIZES.write_text("\n".join(lines) + "\n", "utf-8")


@click.command()
@click.option("--measure", type=click.Choice(["postgresql", "sqlite"]), help="Load the charts there first.")
@click.option("--write", is_flag=True, help="Write the figures into docs/explanation/scale.md.")
@click.option("--patients", multiple=True, type=int, help="Other populations; several allowed.")
def main(measure: str | None, write: bool, patients: tuple[int, ...]) -> None:
    """Simulate the placement of patients on shards and print what each of them holds and does."""
    if measure:
        keep_sizes(measure)
    lines = list(report(patients or POPULATIONS, read_sizes()))
    click.echo("\n".join(lines))
    if write:
        page = PAGE.read_text("utf-8")
        before, _, rest = page.partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        PAGE.write_text(before + MARKS[0] + "\n" + "\n".join(lines) + "\n" + MARKS[1] + after, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
