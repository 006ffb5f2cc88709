"""The tutorial of a feed works: its commands are run, in their order, beside a Baton that was just started.

Covers docs/tutorial/map-a-feed.md. `make run` is what starts it there; here it is the same on free ports.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from server.process import die_with_parent

pytestmark = pytest.mark.network

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial"
WRITTEN = "http://127.0.0.1:8000"
_BLOCK = re.compile(r"^```(sh|sh fails|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What is other each time that the tutorial is done.
_VARIES = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z|[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{16}\b|\S+\.yaml:\d+")


def free_ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@dataclass
class Reader:
    """Somebody who does what the page says, in a folder with the files that the page names."""

    folder: Path
    address: str
    environment: dict[str, str]
    printed: str = ""
    done: list[str] = field(default_factory=list)

    def run(self, block: str, *, fails: bool) -> None:
        """Type a block of the page into the shell."""
        text = "set -e\n" + block.replace(WRITTEN, self.address)
        shell = subprocess.run(
            ["bash", "-c", text],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert (shell.returncode != 0) is fails, f"{block}\n{shell.stdout}"
        self.printed = shell.stdout
        self.done.append(block)

    def sees(self, text: str) -> None:
        """Compare what was printed last with what the page shows of it; `...` leaves something out."""
        printed = [_VARIES.sub("#", line.strip()) for line in self.printed.splitlines()]
        at = 0
        for line in text.splitlines():
            if not (wanted := _VARIES.sub("#", line.strip())) or wanted == "...":
                continue
            assert wanted in printed[at:], f"{line!r} is not in\n{self.printed}"
            at += printed[at:].index(wanted)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader who has just started Baton (step 1)."""
    web, app, mllp = free_ports(3)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    programs = tmp_path / "bin"
    programs.mkdir()
    baton = programs / "baton"
    baton.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m server.cli "$@"\n')
    baton.chmod(0o755)
    environment = kept | {
        "BATON_PORT_WEB": str(web),
        "BATON_PORT_APP": str(app),
        "BATON_PORT_MLLP": str(mllp),
        "BATON_WORKERS": "1",
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    shutil.copytree(TUTORIAL, tmp_path / "docs" / "tutorial")
    parent = os.getpid()
    process = subprocess.Popen(
        [str(baton), "serve", "web", "worker", "mllp", "--demo", "--no-data"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: die_with_parent(parent),
    )
    address = f"http://127.0.0.1:{web}"
    deadline = time.monotonic() + 60
    while not _answers(address, mllp):
        assert time.monotonic() < deadline, "Baton did not start"
        time.sleep(0.1)
    yield Reader(tmp_path, address, environment)
    process.terminate()
    process.wait(20)


def _answers(address: str, mllp: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", mllp), timeout=1):
            return requests.get(f"{address}/readyz", timeout=1).status_code == 200
    except (OSError, requests.RequestException):
        return False


@pytest.mark.requirement("hl7v2-tutorial")
def test_every_command_of_the_tutorial_does_what_it_shows(reader: Reader) -> None:
    for kind, block in _BLOCK.findall((TUTORIAL / "map-a-feed.md").read_text("utf-8")):
        if kind == "text":
            reader.sees(block)
        else:
            reader.run(block, fails=kind == "sh fails")
    assert len(reader.done) > 12
    assert '"code": "IMP"' in reader.printed
    reader.run("baton hl7v2 replay 4 --show --dry-run", fails=False)
    reader.sees("map     says the same as before\nrecord  nothing would change")
