"""Fixtures of the vocabulary tests: the shipped tables, built once and kept in pytest's cache."""

from pathlib import Path

import pytest

from terminology.concepts import Concepts
from terminology.rxnorm import RxNorm
from terminology.store import Store, open_store


@pytest.fixture(scope="session")
def built(pytestconfig: pytest.Config) -> Path:
    """The file of the shipped tables."""
    return open_store(pytestconfig.cache.mkdir("terminology")).path


@pytest.fixture(scope="session")
def rxnorm(built: Path) -> RxNorm:
    return RxNorm(Store(built))


@pytest.fixture(scope="session")
def concepts(built: Path) -> Concepts:
    return Concepts(built)
