"""The scorecard of docs/conformance.md is that of the suite: every line of one is in the other, none failed.

Covers docs/generate_conformance.py, tests/conformance/gaps.toml. The suite itself: tests/conformance.
"""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
MOST_LISTED = 0.03


@pytest.fixture(scope="module")
def generator() -> dict:
    return runpy.run_path(str(ROOT / "docs" / "generate_conformance.py"))


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Id -> what is asked, of the tests that are collected."""
    path = tmp_path_factory.mktemp("conformance") / "lines.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    run = subprocess.run(
        [*command, "tests/conformance", "--scorecard", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout
    return {id: row["what"] for id, row in json.loads(path.read_text("utf-8")).items()}


@pytest.fixture(scope="module")
def page() -> dict[str, list[str]]:
    """Id -> the other cells of its row in the sections of results."""
    results = PAGE.read_text("utf-8").partition("\n## Listed\n")[2].partition("\n## ")[2]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in results.splitlines() if line.startswith("| ")]
    cells = [[re.sub(r"\\(.)", r"\1", cell.strip()) for cell in row] for row in rows]
    return {id: rest for id, *rest in cells if id not in ("id", "---")}


def test_page_and_suite_have_the_same_lines(suite: dict[str, str], page: dict[str, list[str]]) -> None:
    assert {id: what for id, (what, *_) in page.items()} == suite, "run `make conformance`"


def test_every_line_is_green_or_listed_on_both_databases(generator: dict, page: dict[str, list[str]]) -> None:
    listed = {id for id, (_, *results) in page.items() if set(results) == {"listed"}}
    assert {id for id, (_, *results) in page.items() if set(results) != {"green"}} == listed
    assert listed == set(generator["gaps"]())
    assert all(len(results) == 2 for _, *results in page.values())


def test_few_lines_are_listed_and_each_says_why(generator: dict, suite: dict[str, str]) -> None:
    gaps = generator["gaps"]()
    assert set(gaps) <= set(suite)
    assert len(gaps) <= MOST_LISTED * len(suite)
    text = PAGE.read_text("utf-8").replace("\\", "")
    assert all(reason in text for reason in gaps.values())


def test_a_line_that_failed_is_not_hidden(generator: dict) -> None:
    row = {"what": "asked", "result": "passed"}
    results = {"sqlite": {"C1-a": row}, "postgresql": {"C1-a": row | {"result": "failed"}}}
    made = generator["page"](results, {}, "2026-01-01")
    assert "0 green on both databases, 0 listed (0.0 %), 1 failed" in made
    assert "| C1-a | asked | green | **failed** |" in made
