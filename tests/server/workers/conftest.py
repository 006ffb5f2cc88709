"""A real server of Redis' protocol, once a module."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _redis_module() -> ModuleType:
    """tests/redis_server.py"""
    if "redis_server" not in sys.modules:
        path = Path(__file__).parents[2] / "redis_server.py"
        spec = importlib.util.spec_from_file_location("redis_server", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["redis_server"] = module
        spec.loader.exec_module(module)
    return sys.modules["redis_server"]


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Any]:
    """A running, empty server; `kill`, `start` and `restart` it as the test likes."""
    with _redis_module().redis_server(tmp_path) as server:
        yield server
