"""Workers that run inside a test, and a real server of Redis' protocol."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from server.workers.timing import Backoff, Timing
from server.workers.worker import Worker

QUICK = Timing(
    lease=timedelta(seconds=2),
    heartbeat=timedelta(milliseconds=200),
    idle=timedelta(milliseconds=20),
    drain=timedelta(seconds=3),
)
SOON = Backoff(lambda: 0.0, attempts=3, first=timedelta(milliseconds=50), factor=1.0)


def _now() -> datetime:
    return datetime.now(UTC)


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


@pytest.fixture
def until() -> Callable[..., None]:
    """`until(holds)`: wait until it holds."""

    def wait(holds: Callable[[], object], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it did not come to pass"
            time.sleep(0.02)

    return wait


@pytest.fixture
def working(store: Any) -> Any:
    """`with working(consumers) as failures`: a worker that runs inside the block, in haste."""

    @contextmanager
    def work(consumers: Any, **more: Any) -> Iterator[list[tuple[str, str]]]:
        failures: list[tuple[str, str]] = []
        stop = threading.Event()
        options = {"redis_url": "", "timing": QUICK, "backoff": SOON, "todo": ()} | more
        worker = Worker(
            store=store,
            consumers=consumers,
            clock=_now,
            failed=lambda name, error: failures.append((name, type(error).__name__)),
            **options,
        )
        thread = threading.Thread(target=worker.run, args=(stop,))
        thread.start()
        try:
            yield failures
        finally:
            stop.set()
            thread.join(15)
            assert not thread.is_alive()

    return work
