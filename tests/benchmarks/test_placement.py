"""The simulation of placement: nobody is lost, the same seed gives the same figures, the sizes are whole.

Covers benchmarks/placement.py; docs/explanation/scale.md.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "placement.py"


@pytest.fixture(scope="module")
def placement() -> ModuleType:
    spec = importlib.util.spec_from_file_location("placement", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["placement"] = module
    spec.loader.exec_module(module)
    return module


def test_every_patient_is_on_one_shard_however_many_there_are(placement: ModuleType) -> None:
    buckets = placement.fill_buckets(50_000, 400.0, np.random.default_rng(1))
    for shards in placement.SHARDS:
        assert placement.by_shard(buckets.patients, shards).sum() == 50_000
        assert len(placement.by_shard(buckets.patients, shards)) == shards
    assert (buckets.active <= buckets.patients).all()


def test_charts_are_skewed_around_the_measured_mean(placement: ModuleType) -> None:
    buckets = placement.fill_buckets(400_000, 400.0, np.random.default_rng(2))
    assert buckets.resources.sum() / 400_000 == pytest.approx(400, rel=0.02)
    assert buckets.resources.std() > np.sqrt(400_000 / placement.BUCKETS) * 400  # more than equal charts would


def test_statements_are_all_sent_and_a_scatter_is_work_for_every_shard(placement: ModuleType) -> None:
    active = placement.fill_buckets(200_000, 400.0, np.random.default_rng(3)).active
    few, many = placement.load(active, 4), placement.load(active, 64)
    assert few.requests == pytest.approx(many.requests)
    assert few.chart.sum() == pytest.approx(many.chart.sum())
    assert few.everywhere == many.everywhere > 0
    assert few.scatter_of_requests == pytest.approx(many.scatter_of_requests)
    assert few.scatter_of_work < many.scatter_of_work < 1


@pytest.mark.slow
def test_the_same_seed_prints_the_same(placement: ModuleType) -> None:
    sizes = placement.read_sizes()
    first, second = (list(placement.report((20_000,), sizes)) for _ in range(2))
    assert first == second
    assert sum(line.startswith("| 20,000 |") for line in first) == 2 * len(placement.SHARDS)


def test_the_real_hash_is_no_less_even_than_chance(placement: ModuleType) -> None:
    assert placement.hash_evenness(seed=7, count=100_000) > 1e-4
    assert placement.bucket_of("a") == placement.bucket_of("a")


def test_the_page_shows_what_the_simulation_is_about(placement: ModuleType) -> None:
    page = placement.PAGE.read_text("utf-8")
    shown = page.partition(placement.MARKS[0])[2].partition(placement.MARKS[1])[0]
    for population in placement.POPULATIONS:
        for shards in placement.SHARDS:
            assert shown.count(f"| {population:,} | {shards} |") == 2
    for kind in placement.MIX:
        assert f"| {kind.name} |" in shown
