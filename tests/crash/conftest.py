"""Real deployments that are killed, filled up and driven hard; what they acknowledged is kept outside."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent


def _module(name: str) -> ModuleType:
    """A module of this folder, under its plain name, so that they find each other."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


for _name in ("baton_processes", "ledger", "clients", "checks", "recorder"):
    _module(_name)


@pytest.fixture
def deploy(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`deploy(environment=...)`: a Baton that runs; killed with all its processes at the end."""
    made: list[Any] = []

    def make(**options: Any) -> Any:
        baton = _module("baton_processes").Baton(tmp_path / f"home{len(made)}", **options)
        made.append(baton)
        return baton.start()

    yield make
    for baton in made:
        if baton.process is not None and baton.process.poll() is None:
            baton.kill(*baton.everything())
            baton.process.wait()


@pytest.fixture(scope="module")
def baton(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Any]:
    """One deployment with four server processes, on the database of the run."""
    home, four = tmp_path_factory.mktemp("four") / "home", {"BATON_WORKERS": "4"}
    made, databases = _module("baton_processes").Baton, request.getfixturevalue("databases")
    with ExitStack() as stack:
        if databases is None:
            baton = made(home, environment=four)
        else:
            baton = made(home, stack.enter_context(databases.lent()), environment=four)
        baton.start()
        stack.callback(lambda: baton.kill(*baton.everything()))
        assert len(baton.pids("web worker")) == 4
        yield baton


@pytest.fixture(scope="session")
def redis_module() -> ModuleType:
    """tests/redis_server.py"""
    spec = importlib.util.spec_from_file_location("redis_server", HERE.parent / "redis_server.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["redis_server"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
