"""Measure the matcher on generated discharges and write the table into docs/reconciliation.md.

    python benchmarks/reconciliation_quality.py [--seed 20261121] [--count 5000] [--check]

Exit status 1 when a false identical occurs or a figure falls below its floor.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from smart_app.discharge_cases.cases import CASE_EDITS, discharge_cases
from smart_app.discharge_cases.score import Score
from smart_app.reconciliation.explain import explain
from smart_app.reconciliation.records import ALGORITHM_VERSION
from terminology.cli import terminology_directory
from terminology.rxnorm import open_rxnorm

DOCUMENT = Path(__file__).parent.parent / "docs" / "reconciliation.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FLOORS = {"precision": 0.995, "recall": 0.99, "named_right": 0.98}


def measure(seed: int, count: int) -> tuple[Score, float, str]:
    """(score, seconds spent in comparing, terminology version)"""
    rxnorm = open_rxnorm(terminology_directory())
    score, seconds = Score(), 0.0
    for case in discharge_cases(seed, count):
        start = time.perf_counter()
        found = explain(case.bundle, rxnorm)
        seconds += time.perf_counter() - start
        score.add(case, found)
    return score, seconds, rxnorm.version


def table(score: Score, seed: int, terminology: str) -> str:
    """The section of the document, without anything that differs from run to run."""
    lines = [
        f"Seed {seed}, {score.cases} cases, {score.groups.total()} expected groups; "
        f"algorithm {ALGORITHM_VERSION}, terminology {terminology}.",
        "",
        "| measure | figure |",
        "| --- | --- |",
        f"| false identical | {score.false_identical} |",
        f"| pair precision | {score.precision:.2%} ({score.pairs_right} of {score.pairs_found}) |",
        f"| pair recall | {score.recall:.2%} ({score.pairs_right} of {score.pairs_expected}) |",
        f"| kind and differences exactly right | {score.named_right:.2%} |",
        f"| expected alerts raised | {score.alerts_right} of {score.alerts_expected} |",
        "",
        "| edit | groups | right kind | right differences |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {edit} | {score.groups[edit]} | {score.kinds_right[edit]} | {score.differences_right[edit]} |"
        for edit in CASE_EDITS
    ]
    lines += ["", f"Every miss ({len(score.misses)}):", ""]
    lines += [
        f"- case {miss.seed}, {miss.edit}: {miss.lines}; expected {miss.expected}, found {miss.found}"
        for miss in score.misses
    ] or ["- none"]
    return "\n".join(lines)


def write(section: str) -> None:
    """Replace what stands between the two markers."""
    text = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    DOCUMENT.write_text(f"{head}{BEGIN}\n{section}\n{END}{tail}", encoding="utf-8")


@click.command()
@click.option("--seed", type=int, default=20261121, show_default=True)
@click.option("--count", type=click.IntRange(min=1), default=5000, show_default=True)
@click.option("--check", is_flag=True, help="Only measure; leave the document as it is.")
def main(seed: int, count: int, check: bool) -> None:
    score, seconds, terminology = measure(seed, count)
    section = table(score, seed, terminology)
    click.echo(section)
    click.echo(f"{seconds / count * 1000:.1f} ms a case")
    if not check:
        write(section)
    low = [name for name, floor in FLOORS.items() if getattr(score, name) < floor]
    if score.false_identical or low or score.alerts_right < score.alerts_expected:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
