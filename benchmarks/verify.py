"""`make verify`: the full counts of what this release promises, written to docs/verification.md.

Every step is a command; the page keeps the command, whether it passed, its time and the last line it printed.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
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
ON_POSTGRESQL = ("--database", "postgresql")
NO_PROCESSES = "not browser and not network"
STEPS = (
    Step(
        "All 24 synthetic charts and all US Core 6.1.0 and 7.0.0 examples load and read back equal; loading "
        "again changes nothing",
        (*PYTEST, "tests/server/test_loading.py"),
    ),
    Step(
        "5,000 generated reconciliation cases: no false identical, 99% of pairs, 98% of differences",
        ("benchmarks/reconciliation_quality.py", "--count", "5000"),
    ),
    Step(
        "Forty medications against forty in 50 ms, one entry understood in 1 ms",
        ("benchmarks/reconciliation_speed.py", "--check"),
    ),
    Step(
        "2,000 questions for corrupted copies of people, and for their twins, sons and namesakes: nobody else "
        "is a certain match",
        ("benchmarks/match_quality.py",),
    ),
    Step(
        "Every rule holds on SQLite, each law for 200 examples",
        (*PYTEST, "-n", "2", "-m", NO_PROCESSES),
        ("BATON_EXAMPLES=200",),
    ),
    Step(
        "Every rule that touches a database holds on PostgreSQL, each law for 200 examples",
        (*PYTEST, "-n", "2", *ON_POSTGRESQL, "-m", NO_PROCESSES),
        ("BATON_EXAMPLES=200",),
    ),
    Step("A list is signed in a real browser, in every way the README promises", (*PYTEST, "tests/journeys")),
    Step("The same on PostgreSQL", (*PYTEST, *ON_POSTGRESQL, "tests/journeys/test_signed_list.py")),
    Step(
        "Real processes, containers' scripts and Redis do what is promised",
        (*PYTEST, "tests/server", "tests/smart_app", "tests/docker", "-m", "network"),
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
                "What nobody changes comes exactly once over all pages while four clients write",
                ("test_paging_under_writers.py",),
                ("BATON_PAGING_SECONDS=20",),
            ),
            (
                "A full disk is answered 507 and a stop under load drops nothing",
                ("test_disk_full.py", "test_drain.py", "test_whole_deployment.py"),
                (),
            ),
        )
    ),
    *(
        Step(
            f"20,000 random searches: {name} answers all as an evaluator does that shares nothing with it",
            (*PYTEST, "-n", "2", "tests/server/search_oracle/test_random_searches.py", "--database", database),
            ("BATON_ORACLE_CASES=20000",),
        )
        for name, database in (("SQLite", "sqlite"), ("PostgreSQL", "postgresql"))
    ),
    *(
        Step(
            f"20,000 random requests over every row source: on {name} each token is shown what an oracle in"
            " memory shows it, and what is hidden makes no difference; 500 of them over HTTP",
            (*PYTEST, "-n", "2", "tests/server/access_oracle", "--database", database),
            ("BATON_ACCESS_CASES=20000",),
        )
        for name, database in (("SQLite", "sqlite"), ("PostgreSQL", "postgresql"))
    ),
    *(
        Step(
            f"Every attack is refused and audited on {name}, and what is revoked is refused at once by four"
            " processes",
            (*PYTEST, "tests/attacks", "--database", database),
        )
        for name, database in (("SQLite", "sqlite"), ("PostgreSQL", "postgresql"))
    ),
    *(
        Step(
            f"20 kills on {name} lose no token state and no audit record that was answered; the chain is whole",
            (*PYTEST, "-s", "tests/crash/test_token_kills.py", "--database", database),
            ("BATON_TOKEN_KILLS=20",),
        )
        for name, database in (("SQLite", "sqlite"), ("PostgreSQL", "postgresql"))
    ),
    *(
        Step(
            f"50 times a listener of HL7 v2, workers, database or queue are killed on {name} while senders send"
            " again what is not acknowledged: nothing acknowledged is lost, nothing is applied twice, each"
            " patient's messages in order",
            (
                *(*PYTEST, "-s", "tests/server/mllp/test_kills.py", "tests/crash/test_hl7v2_kills.py"),
                *("--database", database),
            ),
            ("BATON_KILL_ROUNDS=50",),
        )
        for name, database in (("SQLite", "sqlite"), ("PostgreSQL", "postgresql"))
    ),
    Step(
        "100,000 broken HL7 v2 messages: the listener goes on, each message ends in a known state, memory flat",
        (*PYTEST, "-s", "tests/server/mllp/test_fuzz.py"),
        ("BATON_HL7V2_FUZZ=100000",),
    ),
    *(
        Step(
            f"Every line of docs/conformance.md holds over HTTP on {name}",
            (*PYTEST, "tests/conformance", "--database", database),
        )
        for name, database in (("SQLite", "sqlite"), ("PostgreSQL", "postgresql"))
    ),
    Step(
        "20,000 hostile requests: no 5xx, none slower than 2 s, memory flat",
        (*PYTEST, "tests/hostile"),
        ("BATON_HOSTILE_REQUESTS=20000",),
    ),
    Step(
        "What Baton costs beside bare limits stays within its bars (docs/performance.md)",
        (
            *("benchmarks/run.py", "--check", "--part", "http", "--part", "store", "--part", "start"),
            *("--sizes", "1000,100000", "--clients", "8", "--rounds", "3"),
        ),
    ),
    Step(
        "The searches of a care team take no longer for 16,000 patients than for 1,000",
        ("benchmarks/run.py", "--check", "--part", "care"),
    ),
    Step(
        "The decision costs at most 35 % of a read at 8 clients",
        ("benchmarks/run.py", "--check", "--part", "access"),
    ),
    Step(
        "HL7 v2 messages are read, acknowledged and applied as fast as the bars ask, on both databases",
        ("benchmarks/run.py", "--check", "--part", "parser", "--part", "intake", "--part", "apply"),
    ),
    Step("First start under three minutes, later ones under five seconds", ("benchmarks/first_start.py",)),
)


def command_line(step: Step) -> str:
    """What to type to run a step alone."""
    return " ".join((*step.environment, "python", shlex.join(step.command)))


def run(step: Step) -> tuple[bool, str]:
    """(passed, its row of the page) of one step."""
    started = time.monotonic()
    given = dict(pair.split("=", 1) for pair in step.environment)
    done = subprocess.run(
        [sys.executable, *step.command], cwd=ROOT, env=os.environ | given, capture_output=True, text=True
    )
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode:
        click.echo("\n".join(lines[-40:]), err=True)
    cells = (
        step.promise,
        f"`{command_line(step)}`",
        "**failed**" if done.returncode else "passed",
        f"{time.monotonic() - started:.0f}",
        lines[-1] if lines else "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        commit(),
    )
    return done.returncode == 0, "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def commit() -> str:
    """The commit of the tree."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def kept_rows() -> dict[str, str]:
    """The rows that the page has, by command: those of steps that are not run this time stay."""
    known = PAGE.read_text("utf-8").splitlines() if PAGE.exists() else []
    wanted = {command_line(step) for step in STEPS}
    return {line.split("`")[1]: line for line in known if line.count("`") >= 2 and line.split("`")[1] in wanted}


def written(rows: Mapping[str, str]) -> str:
    """The page."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    head = ("promise", "command", "result", "seconds", "last line", "when (UTC)", "commit")
    lines = [
        "# Verification",
        "",
        "Reference, written by `make verify`. Do not edit.",
        "",
        f"On {machine}, Python {platform.python_version()}.",
        "",
        "| " + " | ".join(head) + " |",
        "| --- " * len(head) + "|",
        *(rows[line] for step in STEPS if (line := command_line(step)) in rows),
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--list", "listed", is_flag=True, help="Print the steps and their numbers.")
@click.argument("numbers", nargs=-1, type=click.IntRange(1, len(STEPS)))
def main(listed: bool, numbers: tuple[int, ...]) -> None:
    """Run all steps, or those of NUMBERS, and write docs/verification.md; rows of other steps stay."""
    if listed:
        for number, step in enumerate(STEPS, 1):
            click.echo(f"{number:2} {step.promise}\n   {command_line(step)}")
        return
    chosen = [STEPS[number - 1] for number in numbers] or list(STEPS)
    rows, failed = kept_rows() if numbers else {}, 0
    with click.progressbar(
        chosen, label="verifying", item_show_func=lambda s: s.promise[:60] if s else ""
    ) as steps:
        for step in steps:
            passed, rows[command_line(step)] = run(step)
            failed += not passed
            PAGE.write_text(written(rows), "utf-8")
    click.echo(f"{len(chosen) - failed} of {len(chosen)} promises hold; {PAGE.relative_to(ROOT)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
