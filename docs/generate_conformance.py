"""Ask a server every line of tests/conformance, on both databases, and write docs/conformance.md.

Run by `make conformance`: takes a minute or two and needs PostgreSQL (`make system`). Exit 1 if a line failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
SUITE = ROOT / "tests" / "conformance"
DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

# Beginning of an id -> what these lines are about; the page has a section for each.
SECTIONS = {
    "C1": "The CapabilityStatement",
    "C2": "Profiles and transport",
    "C3": "Bulk export",
    "C4": "Subscriptions",
    "C5": "What the CapabilityStatement claims, asked",
    "U1": "Searches of US Core 6.1.0 and 7.0.0",
    "U2": "The same searches in their other forms",
    "U3": "Dates beside timestamps",
    "U4": "Several values at once",
    "U5": "Provenance and includes",
    "SF": "Features of search",
    "IN": "Interactions",
    "D": "Discovery of SMART",
    "A": "Authorization requests",
    "T": "The token endpoint",
    "R": "Refresh and revocation",
    "I": "Introspection",
    "O": "OpenID Connect",
    "B": "Backend services",
    "G": "Granular scopes",
    "X": "What users of FHIR servers complain about",
}

HEAD = """\
# Conformance

Reference, written by `make conformance` on {date}. Do not edit.

`tests/conformance/` asks a running server over HTTP and judges its answers by FHIR and SMART App Launch alone.
It uses nothing of the server's code and can ask any other that takes ids of the client's, with
`BATON_CONFORMANCE_URL` (its base) and `BATON_CONFORMANCE_TOKEN` set; lines that need clients and people are
left out there, because no standard says how these are registered. The charts are the examples of US Core
6.1.0 and 7.0.0, with a few synthetic resources. Each line is one test or more; *listed* is asked too, and known
to fail for the reason given.

{asked} lines: {green} green on both databases, {listed} listed ({share:.1f} %), {failed} failed.

| | lines | green | listed |
| --- | ---: | ---: | ---: |
"""

Results = Mapping[str, Mapping[str, str]]


def section(id: str) -> str:
    """The key of SECTIONS that an id belongs to. Raises: StopIteration if there is none."""
    return next(key for key in sorted(SECTIONS, key=len, reverse=True) if id.startswith(key))


def gaps() -> dict[str, str]:
    """Id -> why it is listed."""
    return dict(tomllib.loads((SUITE / "gaps.toml").read_text("utf-8"))["reasons"])


def page(results: Mapping[str, Results], reasons: Mapping[str, str], date: str) -> str:
    """The scorecard. results: database -> id -> what was asked, and how it went there."""
    first = next(iter(results.values()))
    told = {id: {database: of[id]["result"] for database, of in results.items()} for id in first}
    green = {id for id, row in told.items() if set(row.values()) == {"passed"}}
    listed = {id for id, row in told.items() if set(row.values()) == {"listed"}}
    text = HEAD.format(
        date=date,
        asked=len(told),
        green=len(green),
        listed=len(listed),
        share=100 * len(listed) / len(told),
        failed=len(told) - len(green) - len(listed),
    )
    parts = {key: [id for id in told if section(id) == key] for key in SECTIONS}
    for key, ids in parts.items():
        text += f"| {key} {SECTIONS[key]} | {len(ids)} | {len(green & {*ids})} | {len(listed & {*ids})} |\n"
    text += "\n## Listed\n\n| id | what | why |\n| --- | --- | --- |\n"
    text += "".join(_row(id, first[id]["what"], reasons.get(id, "")) for id in told if id in listed)
    for key, ids in parts.items():
        heads = " | ".join(DATABASES[database] for database in results)
        text += (
            f"\n## {key}: {SECTIONS[key]}\n\n| id | what | {heads} |\n| --- | --- |{' --- |' * len(results)}\n"
        )
        text += "".join(_row(id, first[id]["what"], *map(_word, told[id].values())) for id in ids)
    return text


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("_", "\\_") for cell in cells) + " |\n"


def _word(result: str) -> str:
    return {"passed": "green", "listed": "listed"}.get(result, f"**{result or 'not asked'}**")


def ask(database: str, folder: Path) -> Results:
    """The results of the suite on a database."""
    path = folder / f"{database}.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(SUITE)]
    subprocess.run([*command, "--database", database, "--scorecard", str(path)], cwd=ROOT, check=False)  # noqa: S603
    results: Results = json.loads(path.read_text("utf-8"))
    return results


def main() -> None:
    """Ask, and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        results = {database: ask(database, Path(folder)) for database in DATABASES}
    PAGE.write_text(page(results, gaps(), f"{datetime.now(UTC):%Y-%m-%d}"), "utf-8")
    words = {row["result"] for of in results.values() for row in of.values()}
    sys.exit(0 if words <= {"passed", "listed"} else 1)


if __name__ == "__main__":
    main()
