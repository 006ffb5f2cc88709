"""`make verify`: the full counts of what this release promises, written to docs/verification.md.

Every step is a command; the page keeps the command, whether it passed, its time and the last line it printed.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "verification.md"


@dataclass(frozen=True, slots=True)
class Step:
    """promise: what is shown by it. command: arguments after the interpreter. environment: NAME=VALUE."""

    promise: str
    command: tuple[str, ...]
    environment: tuple[str, ...] = ()


PYTEST = ("-m", "pytest", "-q")
STEPS = (
    Step(
        "All 24 synthetic charts and all US Core 6.1.0 and 7.0.0 examples load and read back equal; loading "
        "again changes nothing",
        (*PYTEST, "tests/server/test_loading.py"),
    ),
    Step(
        "2,000 generated reconciliation cases: no false identical",
        ("benchmarks/reconciliation_quality.py", "--count", "2000"),
    ),
    Step("A list is signed in a real browser, in every way the README promises", (*PYTEST, "tests/journeys")),
    Step("Every other test", (*PYTEST, "-n", "2", "tests", "--ignore", "tests/journeys", "-m", "not network")),
    Step(
        "Tests with real processes",
        (*PYTEST, "tests", "--ignore", "tests/journeys", "--ignore", "tests/crash", "-m", "network"),
    ),
    *(
        Step(
            promise, (*PYTEST, "-s", *(f"tests/crash/{name}" for name in names), "--database", database), given
        )
        for database in ("sqlite", "postgresql")
        for promise, names, given in (
            (
                "60 times everything, a part, PostgreSQL or Redis is killed under load, and 20 upgrades three "
                "times each: nothing acknowledged is lost, nothing is half there",
                ("test_kill_rounds.py", "test_migration_killed.py"),
                ("BATON_KILL_ROUNDS=60",),
            ),
            (
                "10 times 50 clients ask for the same at the same moment of four processes: one wins",
                ("test_parallel_writes.py",),
                ("BATON_PARALLEL_TIMES=10",),
            ),
            (
                "A full disk is answered 507 and a stop under load drops nothing",
                ("test_disk_full.py", "test_drain.py"),
                (),
            ),
        )
    ),
    Step(
        "What Baton costs beside bare limits stays within its bars (docs/performance.md)",
        ("benchmarks/run.py", "--check", "--sizes", "1000,100000", "--clients", "8", "--rounds", "3"),
    ),
    Step("First start under three minutes, later ones under five seconds", ("benchmarks/first_start.py",)),
)


def run(step: Step) -> tuple[bool, float, str]:
    """(passed, seconds, last line printed) of one step."""
    started = time.monotonic()
    given = dict(pair.split("=", 1) for pair in step.environment)
    done = subprocess.run(
        [sys.executable, *step.command], cwd=ROOT, env=os.environ | given, capture_output=True, text=True
    )
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode:
        click.echo("\n".join(lines[-40:]), err=True)
    return done.returncode == 0, time.monotonic() - started, lines[-1] if lines else ""


def written(rows: list[tuple[Step, bool, float, str]]) -> str:
    """The page."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    lines = [
        "# Verification",
        "",
        "Reference, written by `make verify`. Do not edit.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit}, {machine}.",
        "",
        "| promise | command | result | seconds | last line |",
        "| --- | --- | --- | --- | --- |",
    ]
    for step, passed, seconds, last in rows:
        command = " ".join((*step.environment, "python", *step.command))
        cells = (step.promise, f"`{command}`", "passed" if passed else "**failed**", f"{seconds:.0f}", last)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    rows = []
    with click.progressbar(
        STEPS, label="verifying", item_show_func=lambda s: s.promise[:60] if s else ""
    ) as steps:
        for step in steps:
            rows.append((step, *run(step)))
    PAGE.write_text(written(rows), "utf-8")
    failed = sum(not passed for _, passed, _, _ in rows)
    click.echo(f"{len(rows) - failed} of {len(rows)} promises hold; {PAGE.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
