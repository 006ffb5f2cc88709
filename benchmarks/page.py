"""What was measured, written into docs/performance.md between its marks, and its plot."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from access_cost import Cost
from bars import Verdict, ratio
from care_team import Measured
from operations import LIMITS, OPERATIONS
from over_http import INSERTS, Figure, Plan, Results
from plot import plot
from storage import Row

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "images" / "performance.svg"
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_LABELS = {one.name: one.label for one in (*OPERATIONS, *LIMITS)} | {INSERTS: "the same rows inserted bare"}
_LIMIT_OF = {one.name: one.limit for one in OPERATIONS if one.name != "transaction"}


def write(name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the marks of a section."""
    text = PAGE.read_text("utf-8")
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    head, found, rest = text.partition(begin)
    if not found:
        raise SystemExit(f"{PAGE.name} has no section {name}")
    PAGE.write_text(f"{head}{begin}" + "\n".join(lines) + f"\n{end}{rest.partition(end)[2]}", "utf-8")


def circumstances(command: str) -> list[str]:
    """When, where and with what."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    load = subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout.partition(" [")[0]
    return [
        f"`{command}`, {datetime.now(UTC):%d %B %Y}, commit {commit}: {os.cpu_count()} cores ({model}),"
        " shared by the server, the database and the load.",
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, granian {version('granian')},"
        f" Flask {version('flask')}, psycopg {version('psycopg')}, {load or 'wrk'}.",
    ]


def bars_table(verdicts: Sequence[Verdict]) -> list[str]:
    """Every bar that was measured."""
    lines = ["| bar | measured | wanted | |", "| --- | --- | --- | --- |"]
    for one in verdicts:
        if one.value is not None:
            sign = "≥" if one.at_least else "≤"
            name = f"{one.name}, {one.where}" if one.where else one.name
            mark = "" if one.holds else "**missed**"
            lines.append(f"| {name} | {one.value:,.2f} | {sign} {one.bar:g} | {mark} |")
    return lines


def http_tables(results: Results, plan: Plan) -> list[str]:
    """By size at the most clients, then by clients at the middle size, for each database."""
    most, middle = max(plan.clients), sorted(plan.sizes)[len(plan.sizes) // 2]
    lines = ["![Answers a second against the number of resources](images/performance.svg)", ""]
    for database in plan.databases:
        lines += [
            f"### {_NAMES[database]}",
            "",
            f"Answers a second with {most} clients, median (lowest to highest).",
            "",
        ]
        heads = [f"{size:,}" for size in plan.sizes]
        lines += ["| | " + " | ".join(heads) + " | of its limit |", "| --- " * (len(heads) + 2) + "|"]
        for name in _measured(results, database):
            figures = [results.find(name, database, size, most) for size in plan.sizes]
            cells = [_rate(one) for one in figures]
            lines.append(f"| {_LABELS[name]} | " + " | ".join(cells) + f" | {_of_limit(results, figures)} |")
        lines += [
            "",
            f"By clients, with {middle:,} resources: answers a second, median and 99th percentile in ms.",
            "",
        ]
        heads = [str(count) for count in plan.clients]
        lines += ["| | " + " | ".join(heads) + " | wrk, cores |", "| --- " * (len(heads) + 2) + "|"]
        for name in _measured(results, database):
            found = [results.find(name, database, middle, count) for count in plan.clients]
            last = found[-1]
            cpu = f"{last.client_cpu:.2f}" if last and last.client_cpu else ""
            lines.append(f"| {_LABELS[name]} | " + " | ".join(_latency(one) for one in found) + f" | {cpu} |")
        lines.append("")
    return lines[:-1]


def store_table(in_process: Mapping[str, Sequence[Row]], sizes: Sequence[int]) -> list[str]:
    """The store alone."""
    lines: list[str] = []
    for database, rows in in_process.items():
        heads = " | ".join(f"{size:,}" for size in sizes)
        lines += [f"| {_NAMES[database]} | {heads} | growth |", "| --- " * (len(sizes) + 2) + "|"]
        for row in rows:
            unit = "µs" if row.unit == "us" else row.unit
            cells = " | ".join(f"{value:,.0f}" for value in row.values)
            name = f"`{row.name.partition(' [')[0]}`" if "?" in row.name else row.name
            rest = f" [{row.name.partition(' [')[2]}" if "[" in row.name else ""
            lines.append(f"| {name}{rest}, {unit} | {cells} | {row.last_to_first:.2f} |")
        lines.append("")
    return lines[:-1]


def care_table(found: Sequence[Measured]) -> list[str]:
    """The searches of a care team: medians in ms, and how they grow."""
    lines: list[str] = []
    for database, clients in dict.fromkeys((one.database, one.clients) for one in found):
        chosen = [one for one in found if (one.database, one.clients) == (database, clients)]
        sizes = sorted(chosen[0].loads)
        heads = " | ".join(f"{size:,} patients" for size in sizes)
        lines += [
            f"{_NAMES[database]}, {clients} {'client' if clients == 1 else 'clients'}: p50, p95 in ms.",
            "",
            f"| | {heads} | growth of p50 | of p95 |",
            "| --- " * (len(sizes) + 3) + "|",
        ]
        for one in chosen:
            cells = [f"{one.median(size, 'p50_ms'):.1f}, {one.median(size, 'p95_ms'):.1f}" for size in sizes]
            growth = f"{one.growth('p50_ms'):.2f} | {one.growth('p95_ms'):.2f}"
            lines.append(f"| {one.shape} | {' | '.join(cells)} | {growth} |")
        lines.append("")
    return lines[:-1]


def access_table(costs: Sequence[Cost]) -> list[str]:
    """Reads with and without the decision, by the token they are asked with."""
    lines: list[str] = []
    for database in dict.fromkeys(one.database for one in costs):
        lines += [
            f"| {_NAMES[database]}, reads a second with a token that is | with it | without it | share |",
            "| --- " * 4 + "|",
        ]
        for one in (one for one in costs if one.database == database):
            rates = [f"{statistics.median(rates):,.0f}" for rates in (one.with_it, one.without_it)]
            lines.append(f"| {one.kind} | {' | '.join(rates)} | {100 * one.share:.0f} % |")
        lines.append("")
    return lines[:-1]


def write_plot(results: Results, plan: Plan) -> None:
    """Read, search and create against size, both databases."""
    shown = (("read", "read"), ("observation", "search in a chart"), ("create", "create"))
    lines: dict[tuple[str, bool], dict[int, float]] = {}
    for database in plan.databases:
        for name, label in shown:
            points = {
                size: found.rate
                for size in plan.sizes
                if (found := results.find(name, database, size, max(plan.clients)))
            }
            if points:
                lines[(label, database == "postgresql")] = points
    PLOT.write_text(plot(lines, title="Answers a second against the number of resources"), "utf-8")


def start_line(seconds: Mapping[str, Sequence[float]]) -> str:
    """Cold starts in one sentence."""
    words = [
        f"{what} {statistics.median(taken):.2f} s ({min(taken):.2f} to {max(taken):.2f})"
        for what, taken in seconds.items()
    ]
    return "From `baton serve web` to the first 200: " + ", ".join(words) + "."


def _measured(results: Results, database: str) -> list[str]:
    present = {one.name for one in results.figures if one.database == database}
    return [name for name in _LABELS if name in present]


def _rate(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return f"{figure.rate:,.0f} ({min(figure.rates):,.0f} to {max(figure.rates):,.0f})"


def _latency(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return f"{figure.rate:,.0f}" + (f"; {figure.p50_ms:.1f}, {figure.p99_ms:.1f}" if figure.p50_ms else "")


def _of_limit(results: Results, figures: Sequence[Figure | None]) -> str:
    ratios = []
    for one in figures:
        limit = _LIMIT_OF.get(one.name) if one else None
        other = results.find(limit, one.database, one.size, one.clients) if one and limit else None
        if one and other:
            ratios.append(ratio(one, other))
    return f"{statistics.median(ratios):.2f}" if ratios else ""


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError:
        return []
