"""`make bench`: what Baton costs, beside the bare limits of the same run; written to docs/performance.md.

    python benchmarks/run.py                                    everything, about an hour and a half
    python benchmarks/run.py --quick                            two sizes, two rounds: some minutes
    python benchmarks/run.py --only create --database sqlite --sizes 1000,100000
    python benchmarks/run.py --quick --check                    status 1 where a bar is missed

Only a run of everything writes the page. docs/performance.md says what the figures mean.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import access_cost
import care_team
import click
import cold_start
import hl7v2_end_to_end
import hl7v2_intake
import hl7v2_parser
import page
import storage
from bars import Verdict, access_verdicts, care_verdicts, parser_verdicts, verdicts
from charts import CHART
from data_sets import DATABASES, can_run_postgresql
from operations import OPERATIONS
from over_http import Plan, Results, measure

PARTS = ("http", "store", "start", "care", "access", "parser", "intake", "apply")


def _numbers(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",")})) if text else ()
    except ValueError:
        raise click.BadParameter("numbers with commas between them") from None


@click.command()
@click.option(
    "--quick", is_flag=True, help="1,000 and 10,000 resources, 1,000 and 4,000 patients, 2 rounds, 8 clients."
)
@click.option(
    "--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this part; several allowed."
)
@click.option("--only", multiple=True, type=click.Choice([one.name for one in OPERATIONS]), help="Over HTTP.")
@click.option("--database", "databases", multiple=True, type=click.Choice(sorted(DATABASES)))
@click.option("--sizes", default="", callback=_numbers, help="For example 1000,100000.")
@click.option("--patients", default="", callback=_numbers, help="For example 1000,4000,16000.")
@click.option("--clients", default="", callback=_numbers, help="For example 1,8,16.")
@click.option("--rounds", type=click.IntRange(1), help="Default 5, of a care team's searches 15; quick 2.")
@click.option("--seconds", type=click.IntRange(1), default=1, show_default=True, help="Of one round.")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Server processes.")
@click.option("--check", is_flag=True, help="Status 1 where a bar is missed.")
@click.option("--write", is_flag=True, help="Write the page also where sizes, clients or rounds are chosen.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Raw figures.")
def main(
    quick: bool,
    parts: tuple[str, ...],
    only: tuple[str, ...],
    databases: tuple[str, ...],
    sizes: tuple[int, ...],
    patients: tuple[int, ...],
    clients: tuple[int, ...],
    rounds: int | None,
    seconds: int,
    workers: int,
    check: bool,
    write: bool,
    json_file: Path | None,
) -> None:
    """Measure Baton beside the bare limits of the same run."""
    if any(size < 10 * CHART for size in sizes):
        raise click.BadParameter(f"a size is {10 * CHART} resources at least")
    chosen = parts or (("http",) if only else PARTS)
    if {"http", "care", "access"} & {*chosen} and not shutil.which("wrk"):
        raise click.ClickException("wrk is not installed (Debian: apt-get install wrk, or make system)")
    plan = Plan(
        databases=databases or _databases_here(),
        sizes=sizes or ((1_000, 10_000) if quick else (1_000, 10_000, 100_000)),
        clients=clients or ((8,) if quick else (1, 8, 16)),
        rounds=rounds or (2 if quick else 5),
        seconds=seconds,
        workers=workers,
        only=only,
    )
    http = _with_bar(plan.steps, "over HTTP", lambda step: measure(plan, step)) if "http" in chosen else None
    in_process = {}
    if "store" in chosen:
        for database in plan.databases:
            in_process[database] = _with_bar(
                25, f"store, {database}", lambda step, name=database: storage.measure(name, plan.sizes, step)
            )
    starts = None
    if "start" in chosen:
        starts = _with_bar(5, "cold start", lambda step: cold_start.measure(max(3, plan.rounds), workers, step))
    care: list[care_team.Measured] = []
    if "care" in chosen:
        patients = patients or ((1_000, 4_000) if quick else (1_000, 4_000, 16_000))
        counts = tuple(count for count in plan.clients if count != 8) or plan.clients
        turns = rounds or (2 if quick else care_team.ROUNDS)
        length = care_team.steps(patients, counts, turns)
        for database in plan.databases:
            care += _with_bar(
                length,
                f"care team, {database}",
                lambda step, name=database: care_team.measure(name, patients, counts, turns, step),
            )
    costs: list[access_cost.Cost] = []
    if "access" in chosen:
        for database in plan.databases:
            costs += _with_bar(
                access_cost.steps(plan.rounds),
                f"the decision, {database}",
                lambda step, name=database: access_cost.measure(name, plan.rounds, step),
            )
    read: list[hl7v2_parser.Rates] = []
    if "parser" in chosen:
        length = hl7v2_parser.steps(plan.rounds)
        read = _with_bar(length, "HL7 v2 parser", lambda step: hl7v2_parser.measure(plan.rounds, 0.5, step))
    taken: list[hl7v2_intake.Figures] = []
    if "intake" in chosen:
        for database in plan.databases:
            taken.append(
                _with_bar(
                    hl7v2_intake.steps(plan.rounds),
                    f"HL7 v2 intake, {database}",
                    lambda step, name=database: hl7v2_intake.measure(
                        name, plan.rounds, 10.0 if quick else 60.0, step
                    ),
                )
            )
    applied: list[hl7v2_end_to_end.Figures] = []
    if "apply" in chosen:
        for database in plan.databases:
            applied.append(
                _with_bar(
                    hl7v2_end_to_end.steps(plan.rounds),
                    f"HL7 v2 applied, {database}",
                    lambda step, name=database: hl7v2_end_to_end.measure(
                        name, 500 if quick else 2_000, plan.rounds, step
                    ),
                )
            )
    found = verdicts(http, in_process, starts)
    apart = [
        *care_verdicts(care),
        *access_verdicts(costs),
        *parser_verdicts(read),
        *hl7v2_intake.verdicts(taken),
        *hl7v2_end_to_end.verdicts(applied),
    ]
    _show(http, in_process, care, costs, read, taken, applied, plan, found + apart)
    if json_file:
        json_file.write_text(json.dumps(http.as_json() if http else {}, indent=1), "utf-8")
    everything = not (quick or parts or only or databases)
    if everything and http and starts and (write or not (sizes or clients)):
        page.write("circumstances", page.circumstances(_command()))
        page.write("bars", page.bars_table(found))
        page.write("http", page.http_tables(http, plan))
        page.write("storage", page.store_table(in_process, plan.sizes))
        page.write("cold start", [page.start_line(starts)])
        page.write_plot(http, plan)
        click.echo(f"written to {page.PAGE.relative_to(page.ROOT)}")
    if care and not quick and (write or everything):
        page.write("care team", [*page.bars_table(care_verdicts(care)), "", *page.care_table(care)])
    if costs and not quick and (write or everything):
        page.write("access", [*page.bars_table(access_verdicts(costs)), "", *page.access_table(costs)])
    if read and not quick and (write or everything):
        page.write("parser", [*page.bars_table(parser_verdicts(read)), "", *hl7v2_parser.table(read)])
    if taken and not quick and (write or everything):
        page.write("intake", [*page.bars_table(hl7v2_intake.verdicts(taken)), "", *hl7v2_intake.table(taken)])
    if applied and not quick and (write or everything):
        bars = page.bars_table(hl7v2_end_to_end.verdicts(applied))
        page.write("apply", [*bars, "", *hl7v2_end_to_end.table(applied)])
    if check and not all(one.holds for one in found + apart):
        sys.exit(1)


def _command() -> str:
    """What to type for the same figures."""
    return f"python benchmarks/run.py {shlex.join(sys.argv[1:])}" if sys.argv[1:] else "make bench"


def _databases_here() -> tuple[str, ...]:
    """Both, or SQLite alone where no PostgreSQL is installed."""
    if can_run_postgresql():
        return ("sqlite", "postgresql")
    click.echo("PostgreSQL is not installed here (Debian: apt-get install postgresql): left out", err=True)
    return ("sqlite",)


def _with_bar(length: int, label: str, work: Callable[[Callable[[str], None]], Any]) -> Any:
    with click.progressbar(length=length, label=label, file=sys.stderr, item_show_func=str) as bar:
        return work(lambda what: bar.update(1, what))


def _show(
    http: Results | None,
    in_process: dict[str, Any],
    care: list[care_team.Measured],
    costs: list[access_cost.Cost],
    read: list[hl7v2_parser.Rates],
    taken: list[hl7v2_intake.Figures],
    applied: list[hl7v2_end_to_end.Figures],
    plan: Plan,
    found: list[Verdict],
) -> None:
    if http:
        click.echo("\n".join(page.http_tables(http, plan)))
    for database, rows in in_process.items():
        click.secho(f"\nthe store alone, {database}", bold=True)
        click.echo(storage.table(rows, plan.sizes))
    if care:
        click.secho("\na care team's day", bold=True)
        click.echo("\n".join(page.care_table(care)))
    if costs:
        click.secho("\nthe decision", bold=True)
        click.echo("\n".join(page.access_table(costs)))
    if read:
        click.secho("\nHL7 v2 parsers", bold=True)
        click.echo("\n".join(hl7v2_parser.table(read)))
    if taken:
        click.secho("\nHL7 v2 intake", bold=True)
        click.echo("\n".join(hl7v2_intake.table(taken)))
    if applied:
        click.secho("\nHL7 v2 from its sender into the store", bold=True)
        click.echo("\n".join(hl7v2_end_to_end.table(applied)))
    click.echo()
    for one in found:
        click.secho(one.line(), fg=None if one.holds else "red")


if __name__ == "__main__":
    main()
