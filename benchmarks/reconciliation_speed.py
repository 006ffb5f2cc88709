"""How long it takes to reconcile forty medications with forty, and to understand one entry, in process.

    python benchmarks/reconciliation_speed.py [--rounds 50] [--check]

Processor time, so that other work on the machine does not count; all of it happens in one thread.
Warm: every drug has been asked for before, as in a process that has served one such chart. Cold: the
first question of a process, from the terminology file. Exit status 1 with --check when a bar is missed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import click

from smart_app.discharge_cases import formulary
from smart_app.discharge_cases.combined import slip
from smart_app.discharge_cases.lines import Line, Naming, resource
from smart_app.discharge_cases.regimen import RATES, Regimen, Style
from smart_app.reconciliation.explain import explain
from smart_app.reconciliation.items import item
from smart_app.reconciliation.records import Side, Source
from terminology.cli import terminology_directory
from terminology.rxnorm import RxNorm, open_rxnorm

LINES = 40
BARS = {"forty against forty": 50.0, "one entry": 1.0}
"""Milliseconds of processor time, median, warm."""


def forty(random: Random, one_drug: bool = False) -> dict[str, Any]:
    """A Bundle of forty lines before and forty after; `one_drug`: all of one, the largest cluster."""
    pool = list(formulary.products())
    if one_drug:
        chosen = [p for p in pool if p.ingredients == ("warfarin",)] * LINES
    else:
        chosen = random.sample(pool, LINES)
    sides: dict[str, list[dict[str, Any]]] = {"before": [], "after": []}
    for number, product in enumerate(chosen[:LINES]):
        for side, lines in sides.items():
            regimen = Regimen(Decimal(random.choice([1, 1, 2])), *random.choice(RATES[:3]))
            naming = random.choice([Naming.CODE, Naming.CODE, Naming.BRAND, Naming.NDC, Naming.NAME])
            line = Line(product, regimen, naming, random.choice(list(Style)), random.randrange(6))
            lines.append(resource(line, f"{side}-{number}", "Patient/synthetic", "2026-03-02"))
    for lines in sides.values():
        random.shuffle(lines)
    lists = [
        {
            "resourceType": "List",
            "id": side,
            "status": "current",
            "mode": "snapshot",
            "code": {"text": side},
            "entry": [{"item": {"reference": f"MedicationRequest/{line['id']}"}} for line in lines],
        }
        for side, lines in sides.items()
    ]
    patient = {"resourceType": "Patient", "id": "synthetic"}
    everything = [patient, *lists, *sides["before"], *sides["after"]]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": "2026-03-10T12:00:00Z",
        "entry": [{"resource": found} for found in everything],
    }


def entries(random: Random) -> list[dict[str, Any]]:
    """Lines of every way of naming and writing, misspelt names among them."""
    found = []
    for number, product in enumerate(random.sample(list(formulary.products()), 200)):
        regimen = Regimen(Decimal(1), *random.choice(RATES[:3]))
        line = Line(
            product, regimen, random.choice(list(Naming)), random.choice(list(Style)), random.randrange(6)
        )
        made = resource(line, f"e{number}", "Patient/synthetic", "2026-03-02")
        if number % 10 == 0 and (text := slip(product.name, random)):
            made["medicationCodeableConcept"] = {"text": text}
        found.append(made)
    return found


def milliseconds(call: Callable[[], object], rounds: int) -> list[float]:
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        taken.append((time.process_time() - start) * 1000)
    return taken


def understand(lines: list[dict[str, Any]], rxnorm: RxNorm) -> None:
    source = Source("home", Side.BEFORE, "Home medications")
    for line in lines:
        item(
            line,
            source=source,
            reference=f"MedicationRequest/{line['id']}",
            medications={},
            terminology=rxnorm,
        )


@click.command()
@click.option("--rounds", type=click.IntRange(min=3), default=50, show_default=True)
@click.option("--check", is_flag=True, help="Exit with 1 when a bar is missed.")
def main(rounds: int, check: bool) -> None:
    rxnorm = open_rxnorm(terminology_directory())
    lines, bundle, one_drug = entries(Random(1)), forty(Random(2)), forty(Random(3), one_drug=True)
    cold = milliseconds(lambda: understand(lines, rxnorm), 1)[0] / len(lines)
    medians = {
        "one entry": statistics.median(milliseconds(lambda: understand(lines, rxnorm), rounds)) / len(lines),
        "forty against forty": statistics.median(milliseconds(lambda: explain(bundle, rxnorm), rounds)),
        "forty against forty of one drug": statistics.median(
            milliseconds(lambda: explain(one_drug, rxnorm), max(3, rounds // 10))
        ),
    }
    click.echo(f"one entry, cold: {cold:.3f} ms")
    for name, taken in medians.items():
        bar = f" (bar {BARS[name]:g} ms)" if name in BARS else ""
        click.echo(f"{name}: {taken:.3f} ms{bar}")
    if check and any(medians[name] >= bar for name, bar in BARS.items()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
