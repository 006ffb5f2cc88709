"""The grammar, and judges of the answers, for hostile requests to the server and to the app."""

from __future__ import annotations

import importlib.util
import os
import random
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parent
REQUESTS = int(os.environ.get("BATON_HOSTILE_REQUESTS") or 500)
SEED = os.environ.get("BATON_HOSTILE_SEED")


def load(name: str) -> ModuleType:
    """A module of this folder: tests are no packages."""
    full = f"hostile_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


@pytest.fixture(scope="session")
def hostile_requests() -> int:
    """How many requests a run sends: BATON_HOSTILE_REQUESTS, or enough to see that nothing obvious broke."""
    return REQUESTS


@pytest.fixture
def seeded(capsys: pytest.CaptureFixture[str]) -> random.Random:
    """Randomness whose seed is printed, and taken from BATON_HOSTILE_SEED to see something again."""
    seed = int(SEED or secrets.randbits(32))
    with capsys.disabled():
        print(f" BATON_HOSTILE_SEED={seed}", end="", flush=True)
    return random.Random(seed)


@pytest.fixture
def grammar(seeded: random.Random) -> Callable[..., Iterator[Any]]:
    """`grammar(routes, parameters)`: hostile requests without end."""
    load("words")
    module = load("grammar")
    return lambda *arguments: module.Grammar(seeded, *arguments).requests()


load("sockets")
