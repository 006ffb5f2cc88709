"""What a care team asks all day, over HTTP, with 20 matches each however many patients there are.

    python benchmarks/run.py --part care [--database sqlite|postgresql] [--patients 1000,4000,16000]

Charts of 60 resources a patient; a practitioner looks after 20 patients. So every shape below finds 20
resources at every size, and neither its median nor its 95th percentile may grow. The servers of all sizes run
side by side and take turns; a growth is the median of the ratios of rounds that were neighbours.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from care_charts import CARE_CHARTS, PANEL
from data_sets import DATABASES
from processes import Baton
from wrk import Load, load, write_script

BAR = 1.5
# The 95th percentile of a second depends on what else happened in it, and on how many of its connections fell
# on one server process; so there are more rounds than elsewhere, each with connections of its own.
ROUNDS = 21
_PANEL = f"math.random(0, PATIENTS / {PANEL} - 1)"
_FHIR = "/fhir/"

# Shape -> what a client asks, as Lua that gives the path; PATIENTS stands for how many there are.
SHAPES: dict[str, str] = {
    "worklist: `Task?owner&status&due&_sort=due`": (
        f'"Task?status=requested&due=le2026-06-30&_sort=due&_count=20&owner=Practitioner/d" .. {_PANEL}'
    ),
    "chart: `Observation?patient&_sort=-date`": (
        '"Observation?_sort=-date&_count=20&patient=Patient/p" .. math.random(0, PATIENTS - 1)'
    ),
    "chained: `Task?patient.general-practitioner&status`": (
        f'"Task?status=requested&_count=20&patient.general-practitioner=Practitioner/d" .. {_PANEL}'
    ),
    "`Patient?_has:Task:patient:owner`": (
        f'"Patient?_count=20&_has:Task:patient:owner=Practitioner/d" .. {_PANEL}'
    ),
    "`Task?owner&status&_include=Task:patient`": (
        f'"Task?status=requested&_include=Task:patient&_count=20&owner=Practitioner/d" .. {_PANEL}'
    ),
    "`Patient?identifier=` 50 of them, 20 there": f'"Patient?_count=20&identifier=" .. identifiers({_PANEL})',
    "`Encounter?practitioner&status&_sort=-date`": (
        f'"Encounter?status=in-progress&_sort=-date&_count=20&practitioner=Practitioner/d" .. {_PANEL}'
    ),
}
_PRELUDE = f"""
  local function identifiers(panel)
    local found = {{}}
    for n = 0, 49 do
      found[#found + 1] = n < {PANEL} and string.format("%08d", panel * {PANEL} + n) or "none-" .. n
    end
    return table.concat(found, ",")
  end
"""


@dataclass(slots=True)
class Measured:
    """The rounds of one shape. loads: number of patients -> rounds."""

    database: str
    shape: str
    clients: int
    loads: dict[int, list[Load]] = field(default_factory=dict)

    def growth(self, percentile: str) -> float:
        """How much longer the largest size takes than the smallest: p50_ms or p95_ms."""
        sizes = sorted(self.loads)
        pairs = zip(self.loads[sizes[0]], self.loads[sizes[-1]], strict=True)
        return statistics.median(
            getattr(last, percentile) / getattr(first, percentile) for first, last in pairs
        )

    def median(self, size: int, percentile: str) -> float:
        """Milliseconds."""
        return statistics.median(getattr(one, percentile) for one in self.loads[size])


def measure(
    database: str,
    patients: Sequence[int],
    clients: Sequence[int],
    rounds: int,
    step: Callable[[str], None],
) -> list[Measured]:
    """Every shape at every size.

    Raises: LoadFailed for any answer that is no success.
    """
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as name:
        folder = Path(name)
        source = DATABASES[database](folder, CARE_CHARTS)
        sites: dict[int, tuple[Baton, dict[str, Path]]] = {}
        try:
            for size in patients:
                baton = Baton(folder / f"home-{size}", source.open_one(size * CARE_CHARTS.resources), workers)
                baton.wait_for("/healthz")
                sites[size] = baton, _scripts(folder, baton, size)
            found = []
            for count in clients:
                for number, shape in enumerate(SHAPES):
                    one = Measured(database, shape, count, {size: [] for size in patients})
                    for turn in range(-1, rounds):  # the first one warms up
                        for size, (baton, scripts) in sites.items():
                            step(f"{database} {shape.split(':')[0]} {size:,} x{count}")
                            seed = 1 + number + 100 * (turn + 1)
                            done = load(scripts[shape], baton.port, seconds=1, clients=count, seed=seed)
                            if turn >= 0:
                                one.loads[size].append(done)
                    found.append(one)
            return found
        finally:
            for baton, _ in sites.values():
                baton.stop()
            source.close()


def steps(patients: Sequence[int], clients: Sequence[int], rounds: int) -> int:
    """How many times `measure` calls step."""
    return len(SHAPES) * len(patients) * len(clients) * (rounds + 1)


def _scripts(folder: Path, baton: Baton, patients: int) -> dict[str, Path]:
    token, scripts = baton.token(), {}
    for number, (shape, path) in enumerate(SHAPES.items()):
        request = f'{_PRELUDE}  return wrk.format("GET", "{_FHIR}" .. {path}, headers)'
        script = scripts[shape] = folder / f"care-{number}-{patients}.lua"
        write_script(script, request=request.replace("PATIENTS", str(patients)), token=token, port=baton.port)
    return scripts
