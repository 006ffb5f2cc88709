"""Who may import whom (ARCHITECTURE.md, "Invariants"), kept by the contracts in pyproject.toml."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("server", "smart_app", "mappings", "terminology")


def modules() -> list[Path]:
    return [
        path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "generated" not in path.parts
    ]


def test_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_only_errors_builds_an_operation_outcome() -> None:
    builds = re.compile(r"[\"']resourceType[\"']\s*:\s*[\"']OperationOutcome[\"']")
    found = [p.relative_to(ROOT).as_posix() for p in modules() if builds.search(p.read_text("utf-8"))]
    assert found == ["server/errors.py"]


def test_no_module_is_named_for_nothing() -> None:
    empty = {"utils", "helpers", "manager", "service", "common", "misc"}
    assert [p for p in modules() if p.stem in empty] == []


def test_sql_stands_only_where_storage_is() -> None:
    rooms = ("server/storage/", "smart_app/session_store", "terminology/")
    statement = re.compile(r"\b(SELECT .* FROM|INSERT INTO|DELETE FROM|UPDATE \w+ SET)\b")
    found = [
        name
        for p in modules()
        if not (name := p.relative_to(ROOT).as_posix()).startswith(rooms)
        and statement.search(p.read_text("utf-8"))
    ]
    assert found == []


# Modules that open connections to other systems, by the names they are imported by.
CALLING = {"requests", "urllib3", "http.client", "urllib.request", "httpx", "aiohttp", "ftplib", "smtplib"}
CALLERS = {
    "server/outbound_http.py",  # all calls of a running server
    "server/cli.py",  # asks its own parts whether they are healthy
    "server/load_command.py",  # `baton load --url`: the operator's own client of a server that they name
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_other_systems_are_called_from_one_module() -> None:
    found = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "server").rglob("*.py")
        for name in imported(p)
        if any(name == caller or name.startswith(f"{caller}.") for caller in CALLING)
    }
    assert found == CALLERS
