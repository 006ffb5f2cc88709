"""A running server, for client libraries that others wrote and that are used here as they come."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from server.process import die_with_parent

ROOT = Path(__file__).resolve().parents[4]

# A person in front of the pages: tests/conformance/asking.
if "asking" not in sys.modules:
    _spec = importlib.machinery.ModuleSpec("asking", None, is_package=True)
    _spec.submodule_search_locations = [str(ROOT / "tests" / "conformance" / "asking")]
    sys.modules["asking"] = importlib.util.module_from_spec(_spec)


@dataclass(frozen=True, slots=True)
class Running:
    """A server process. base: of the FHIR API. token: may do everything."""

    base: str
    environment: dict[str, str]
    token: str = ""

    def baton(self, *arguments: str, typed: str = "") -> str:
        """The standard output of another `baton` command of this deployment."""
        command = [sys.executable, "-m", "server.cli", *arguments]
        run = subprocess.run(
            command,
            env=self.environment | {"BATON_DEMO": "1"},
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    def mint(self, scope: str) -> str:
        return self.baton("token", "mint", "--scope", scope)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def running(
    tmp_path_factory: pytest.TempPathFactory, database_kind: str, request: pytest.FixtureRequest
) -> Iterator[Running]:
    """The web part of a deployment without data, on the database of the run."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")} | {
        "BATON_HOME": str(tmp_path_factory.mktemp("home")),
        "BATON_PORT_WEB": str(port),
        "BATON_WORKERS": "1",
    }
    if database_kind == "postgresql":
        name = f"clients_{uuid.uuid4().hex[:12]}"
        environment["BATON_DATABASE_URL"] = request.getfixturevalue("cluster").create_database(name)
    log = Path(environment["BATON_HOME"]).with_suffix(".log")
    parent = os.getpid()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "serve", "web", "--demo", "--no-data"],
            env=environment,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: die_with_parent(parent),
        )
    try:
        server = Running(f"http://127.0.0.1:{port}/fhir", environment)
        deadline = time.monotonic() + 60
        while not _is_ready(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, f"the server did not start:\n{log.read_text()}"
            time.sleep(0.1)
        yield Running(server.base, environment, server.mint("system/*.cruds"))
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=1).status_code == 200
    except requests.RequestException:
        return False


@pytest.fixture
def system() -> str:
    """The system of the identifiers of one test: what it stores is told by it from what others store."""
    return f"urn:example:{uuid.uuid4()}"
