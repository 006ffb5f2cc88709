"""What the decision costs is counted as promised: a share of a read, round by round, the dearest token last.

Covers benchmarks/access_cost.py, benchmarks/bars.py.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """access_cost and bars."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("access_cost"), importlib.import_module("bars")


def test_the_share_is_that_of_neighbouring_rounds(modules: tuple[ModuleType, ModuleType]) -> None:
    cost = modules[0].Cost("sqlite", "a token", [60.0, 150.0, 80.0], [100.0, 200.0, 100.0])
    assert cost.share == pytest.approx(0.25)


@pytest.mark.parametrize(("rate", "holds"), [(66.0, True), (64.0, False)])
def test_the_dearest_token_meets_the_bar_or_misses_it(
    modules: tuple[ModuleType, ModuleType], rate: float, holds: bool
) -> None:
    access_cost, bars = modules
    costs = [
        access_cost.Cost("sqlite", "cheap", [95.0], [100.0]),
        access_cost.Cost("sqlite", "dear", [rate], [100.0]),
    ]
    (verdict,) = bars.access_verdicts(costs)
    assert verdict.bar == 0.35
    assert verdict.holds is holds
    assert verdict.where == "token: dear"


def test_every_kind_of_token_reads_what_the_charts_hold(modules: tuple[ModuleType, ModuleType]) -> None:
    access_cost = modules[0]
    assert access_cost.TOKENS * access_cost.PANEL <= access_cost.PATIENTS
    for claims, _ in access_cost.KINDS.values():
        assert claims(3)["scope"]
