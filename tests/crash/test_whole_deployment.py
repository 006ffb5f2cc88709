"""All parts together: none outlives the supervisor, and one that cannot start takes no other with it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest
from baton_processes import Baton, alive, children, free_port, until

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.long]
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


def test_a_web_that_cannot_start_is_named_and_the_worker_goes_on(deploy: Callable[..., Any]) -> None:
    """Somebody takes web's port while web is down: it ends at every start, the worker is restarted as ever."""
    baton: Baton = deploy(environment={"BATON_WORKERS": "1"})
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        baton.kill(*baton.pids("web worker"), *baton.pids("web"))
        until(lambda: _taken(squatter, baton.port), "the port is free for a moment", 5)
        said = baton.log.read_bytes
        until(lambda: b"web ended with status" in said(), "that web ended is said", 30)
        until(lambda: b"2 times in a row" in said(), "and how often", 30)
        (worker,) = baton.pids("worker")
        os.kill(worker, signal.SIGKILL)
        until(lambda: baton.pids("worker") not in ([], [worker]), "the worker runs again", 30)
        assert baton.stop() == 0


def _taken(squatter: socket.socket, port: int) -> bool:
    try:
        squatter.bind(("127.0.0.1", port))
    except OSError:
        return False
    squatter.listen()
    return True
