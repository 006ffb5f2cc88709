"""Fixtures of the vocabulary tests: the shipped tables, built once and kept in pytest's cache."""

import pytest

from terminology.rxnorm import RxNorm, open_rxnorm


@pytest.fixture(scope="session")
def rxnorm(pytestconfig: pytest.Config) -> RxNorm:
    return open_rxnorm(pytestconfig.cache.mkdir("terminology"))
