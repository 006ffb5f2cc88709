"""The maps that ship, loaded once, and a judge of what they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from mappings.engine import MapSet, load
from server.fhir.validation import validate


@pytest.fixture(scope="session")
def maps() -> MapSet:
    return load()


@pytest.fixture(scope="session")
def faults_of() -> Callable[[Mapping[str, Any]], Sequence[str]]:
    """What is wrong with a resource by R4."""
    return lambda resource: [str(fault) for fault in validate(resource)]
