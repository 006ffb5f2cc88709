"""How long the web server takes from exec to its first answers, on an existing database.

    python benchmarks/cold_start.py [--rounds 5]

`baton serve web` as an operator starts it; the clock runs from the start of the command to the first 200 of
GET /healthz and to the first 200 of a FHIR read. The median of the rounds counts.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
from data_sets import Sqlite
from processes import Baton

BAR_SECONDS = 1.0
_READ = "/fhir/Observation/o7-3"


def measure(rounds: int, workers: int, step: Callable[[str], None]) -> dict[str, list[float]]:
    """Seconds of every round, to the first health answer and to the first FHIR read."""
    found: dict[str, list[float]] = {"healthz": [], "read": []}
    with tempfile.TemporaryDirectory(prefix="baton-bench-") as name:
        folder = Path(name)
        url, _ = Sqlite(folder).open(1_000)
        first = Baton(folder / "home", url, workers, ("web",))  # makes keys and schema, as any first start does
        first.wait_for("/healthz")
        token = first.token()
        first.stop()
        for turn in range(rounds):
            step(f"cold start {turn + 1}/{rounds}")
            server = Baton(folder / "home", url, workers, ("web",))
            found["healthz"].append(server.wait_for("/healthz"))
            headers = {"Authorization": f"Bearer {token}"}
            found["read"].append(server.wait_for(_READ, headers))
            server.stop()
    return found


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
def main(rounds: int, workers: int) -> None:
    """Measure starts; status 1 above the bar."""
    found = measure(rounds, workers, lambda _: None)
    for name, seconds in found.items():
        spread = f"{min(seconds):.2f}-{max(seconds):.2f}"
        click.echo(
            f"exec to first {name}: {statistics.median(seconds):.2f} s ({spread}), bar {BAR_SECONDS:.0f} s"
        )
    if statistics.median(found["read"]) > BAR_SECONDS:
        sys.exit(1)


if __name__ == "__main__":
    main()
