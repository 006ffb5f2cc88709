"""Every operation over HTTP against the real server, in turns with the bare limits of the same run.

For each database the servers of all sizes run at the same time and take turns, so that noise of the machine
meets every size and every limit alike; the medians of the rounds are compared. What follows an answer (audit
rows are sealed, the log is copied into the database) goes on while the next one is measured. So what only reads
is measured first, on the data as they were made; what writes follows, its limit just before it; and large
transactions come last.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from charts import CHART
from data_sets import DATABASES
from operations import LIMITS, OPERATIONS, Operation, write_bodies
from processes import Baton, Endpoints, Inserters
from wrk import Load, load, write_script

INSERTS = "inserts"  # the limit of writes: bare rows, measured without HTTP
INSERTED = Operation(INSERTS, "the same rows inserted bare", "", writes=True)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. seconds: of one round. workers: processes of the server and of the limits."""

    databases: Sequence[str]
    sizes: Sequence[int]
    clients: Sequence[int]
    rounds: int
    seconds: int
    workers: int
    only: Sequence[str] = ()

    @property
    def operations(self) -> list[Operation]:
        """The chosen operations."""
        return [one for one in OPERATIONS if not self.only or one.name in self.only]

    @property
    def groups(self) -> list[list[Operation]]:
        """What is measured together, in its order: limits and reads, writes, large transactions."""
        reads = [one for one in self.operations if not one.writes]
        writes = [one for one in self.operations if one.writes and one.resources == 1]
        large = [one for one in self.operations if one.resources > 1]
        return [[*LIMITS, *reads] if reads else [], [INSERTED, *writes] if writes else [], large]

    @property
    def steps(self) -> int:
        """Rounds of load in all, for the progress bar."""
        names = sum(map(len, self.groups))
        return names * len(self.databases) * len(self.sizes) * len(self.clients) * self.rounds


@dataclass(frozen=True, slots=True)
class Figure:
    """The rounds of one operation or limit. rates: answers (or resources) a second."""

    name: str
    database: str
    size: int
    clients: int
    rates: list[float]
    p50_ms: float
    p99_ms: float
    client_cpu: float

    @property
    def rate(self) -> float:
        """The median."""
        return statistics.median(self.rates)


@dataclass(slots=True)
class Results:
    """Everything measured. memory: database -> role -> MB of its largest process after the load. bytes:
    database -> size -> bytes on disk, indexes included."""

    figures: list[Figure] = field(default_factory=list)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    bytes: dict[str, dict[int, int]] = field(default_factory=dict)

    def find(self, name: str, database: str, size: int, clients: int) -> Figure | None:
        """One figure, None where it was not measured."""
        wanted = (name, database, size, clients)
        found = (one for one in self.figures if (one.name, one.database, one.size, one.clients) == wanted)
        return next(found, None)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(slots=True)
class _Site:
    """One size: bytes on disk, its server, the bare limits beside it and the scripts of its requests."""

    size: int
    bytes: int
    baton: Baton
    inserters: Inserters
    scripts: dict[str, Path] = field(default_factory=dict)


def measure(plan: Plan, step: Callable[[str], None]) -> Results:
    """All figures of the plan. step: called before each round with what it measures."""
    results = Results()
    for database in plan.databases:
        with tempfile.TemporaryDirectory(prefix="baton-bench-") as name:
            _measure_database(plan, database, Path(name), results, step)
    return results


def _measure_database(
    plan: Plan, database: str, folder: Path, results: Results, step: Callable[[str], None]
) -> None:
    source = DATABASES[database](folder)
    taken: dict[tuple[str, int, int], list[Load]] = {}
    memory = results.memory.setdefault(database, {})
    try:
        for group in filter(None, plan.groups):
            # Large transactions make a database grow many times over: each number of clients has a fresh one.
            large = any(one.resources > 1 for one in group)
            for together in [[count] for count in plan.clients] if large else [plan.clients]:
                with _opened(plan, source, folder, group) as (sites, endpoints):
                    results.bytes.setdefault(database, {site.size: site.bytes for site in sites})
                    for clients in together:
                        _rounds(plan, database, sites, endpoints, group, clients, taken, step)
                    for site in sites:
                        for role, sizes in site.baton.resident().items():
                            memory[role] = max(memory.get(role, 0.0), *sizes)
    finally:
        source.close()
    for (name, size, clients), loads in taken.items():
        results.figures.append(
            Figure(
                name,
                database,
                size,
                clients,
                [one.rate for one in loads],
                statistics.median(one.p50_ms for one in loads),
                statistics.median(one.p99_ms for one in loads),
                statistics.median(one.client_cpu for one in loads),
            )
        )


@contextmanager
def _opened(
    plan: Plan, source: Any, folder: Path, operations: Sequence[Operation]
) -> Iterator[tuple[list[_Site], Endpoints]]:
    """Servers of all sizes on fresh copies of the data, and the bare endpoints beside them."""
    sites: list[_Site] = []
    urls = {size: source.open(size) for size in plan.sizes}
    bytes_of = {size: source.bytes_of(ours) for size, (ours, _) in urls.items()}
    endpoints = Endpoints(folder, {str(size): bare for size, (_, bare) in urls.items()}, plan.workers)
    try:
        endpoints.wait_for("/fixed")
        for size, (ours, bare) in urls.items():
            sites.append(_site(plan, folder, size, ours, bare, bytes_of[size], operations, endpoints))
        yield sites, endpoints
    finally:
        for site in sites:
            site.inserters.stop()
            site.baton.stop()
        endpoints.stop()


def _site(
    plan: Plan,
    folder: Path,
    size: int,
    ours: str,
    bare: str,
    bytes: int,
    operations: Sequence[Operation],
    endpoints: Endpoints,
) -> _Site:
    baton = Baton(folder / f"home-{Path(ours).name}", ours, plan.workers)
    baton.wait_for("/healthz")
    site = _Site(size, bytes, baton, Inserters(bare, plan.workers))
    token, patients = baton.token(), size // CHART
    for operation in operations:
        if operation is INSERTED:
            continue
        port = endpoints.port if operation in LIMITS else baton.port
        request = operation.request.replace("PATIENTS", str(patients)).replace("SIZE", str(size))
        script = site.scripts[operation.name] = folder / f"{operation.name}-{size}.lua"
        bodies = write_bodies(operation, folder, patients)
        write_script(script, request=request, token=token, port=port, bodies=bodies)
        if operation not in LIMITS:
            load(script, port, seconds=1, clients=plan.workers, seed=0)  # warm
    return site


def _rounds(
    plan: Plan,
    database: str,
    sites: Sequence[_Site],
    endpoints: Endpoints,
    operations: Sequence[Operation],
    clients: int,
    taken: dict[tuple[str, int, int], list[Load]],
    step: Callable[[str], None],
) -> None:
    for turn in range(plan.rounds):
        for site in sites:
            for operation in operations:
                step(f"{database} {operation.name} {site.size:,} x{clients}")
                if operation is INSERTED:
                    rate = site.inserters.rate(plan.seconds, min(clients, plan.workers))
                    done = Load(rate, 0.0, 0.0, 0.0, 0.0)
                else:
                    port = endpoints.port if operation in LIMITS else site.baton.port
                    seed = 1 + turn + plan.rounds * clients
                    seconds = plan.seconds * operation.longer
                    done = load(site.scripts[operation.name], port, seconds=seconds, clients=clients, seed=seed)
                    done = replace(done, rate=done.rate * operation.resources)
                taken.setdefault((operation.name, site.size, clients), []).append(done)
