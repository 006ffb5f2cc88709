"""All parts together: none outlives the supervisor, and one that cannot start takes no other with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from baton_processes import Baton, alive, children, free_port, until

pytestmark = pytest.mark.network
PARTS = ("web", "worker", "app", "app-worker")


def test_no_process_of_any_part_outlives_the_supervisor(deploy: Callable[..., Any]) -> None:
    """Web's and the app's own children too, which the supervisor does not know."""
    environment = {"BATON_WORKERS": "2", "BATON_PORT_APP": str(free_port())}
    baton: Baton = deploy(parts=PARTS, environment=environment)
    assert len(baton.pids("web worker")) == 2
    assert len(children(baton.pids("app")[0])) == 1
    everything = baton.everything()
    assert len(everything) == 1 + len(PARTS) + 3

    baton.kill(everything[0])

    assert baton.process is not None
    baton.process.wait()
    until(lambda: not any(map(alive, everything)), "every process ends", 5)


def test_a_web_that_cannot_start_is_named_and_the_worker_goes_on(tmp_path: Path) -> None:
    """A certificate that is none: web ends at every start, the worker is started again when it is killed."""
    no_certificate = tmp_path / "certificate.pem"
    no_certificate.write_text("nothing of the kind")
    environment = {"BATON_TLS_CERT": str(no_certificate), "BATON_TLS_KEY": str(no_certificate)}
    baton = Baton(tmp_path / "home", environment=environment)
    baton.launch()
    try:
        until(lambda: b"web ended with status" in baton.log.read_bytes(), "that web ended is said", 30)
        until(lambda: b"2 times in a row" in baton.log.read_bytes(), "and how often", 30)
        until(lambda: baton.pids("worker"), "the worker runs", 30)
        (worker,) = baton.pids("worker")
        os.kill(worker, signal.SIGKILL)
        until(lambda: baton.pids("worker") not in ([], [worker]), "the worker runs again", 30)
        assert b"\nready" not in baton.log.read_bytes()
        assert baton.stop() == 0
    finally:
        baton.kill(*baton.everything())
