"""`python -m smart_app.discharge_cases --seed N --count 2000 --out FILE`: cases as NDJSON."""

from __future__ import annotations

import json
from pathlib import Path

import click

from smart_app.discharge_cases.cases import discharge_cases


@click.command()
@click.option("--seed", type=int, required=True, help="Same seed, same cases.")
@click.option("--count", type=click.IntRange(min=1), default=2000, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
def write(seed: int, count: int, out: Path) -> None:
    """Write generated discharge cases, one JSON object a line: seed, bundle, expected."""
    with out.open("w", encoding="utf-8") as lines:
        for case in discharge_cases(seed, count):
            found = {"seed": case.seed, "bundle": case.bundle, "expected": case.expected}
            lines.write(json.dumps(found, ensure_ascii=False) + "\n")
    click.echo(f"{count} cases of seed {seed} in {out}")


if __name__ == "__main__":
    write()
