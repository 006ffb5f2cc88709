"""Who may import whom (ARCHITECTURE.md, "Invariants"), kept by the contracts in pyproject.toml."""

from __future__ import annotations

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
