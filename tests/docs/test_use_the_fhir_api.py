"""The how-to for partners works: its blocks are run, in their order, against a server with a worker.

Covers docs/how-to/use-the-fhir-api.md.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from server.process import die_with_parent

pytestmark = pytest.mark.network

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-the-fhir-api.md"
WRITTEN = "http://127.0.0.1:8000"
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STATUS = re.compile(r"  # (\d{3})$", re.MULTILINE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a server with a worker, and the environment in which it runs."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    environment = kept | {
        "BATON_HOME": str(tmp_path / "home"),
        "BATON_PORT_WEB": str(port),
        "BATON_PORT_APP": str(free_port()),
        "BATON_WORKERS": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    parent = os.getpid()
    process = subprocess.Popen(
        [sys.executable, "-m", "server.cli", "serve", "web", "worker", "--demo", "--no-data"],
        env=environment,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: die_with_parent(parent),
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            if requests.get(f"{address}/readyz", timeout=1).status_code == 200:
                break
        except requests.RequestException:
            pass
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.1)
    yield address, environment
    process.terminate()
    process.wait(20)


def script(text: str, address: str) -> str:
    """The page as one script of a shell; a Python block whose first line names a file is saved in it."""
    parts = ["set -euo pipefail"]
    for kind, block in _BLOCK.findall(text.replace(WRITTEN, address)):
        named = re.match(r"# (\w+\.py)\n", block)
        if kind == "sh":
            parts.append(block)
        elif named:
            parts.append(f"cat > {named[1]} <<'END_OF_BLOCK'\n{block}END_OF_BLOCK\n")
        else:
            parts.append(f"python - <<'END_OF_BLOCK'\n{block}END_OF_BLOCK\n")
    return "\n".join(parts)


def test_every_command_of_the_page_does_what_it_says(
    server: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    address, environment = server
    folder = tmp_path / "partner"
    folder.mkdir()
    text = PAGE.read_text("utf-8")
    run = subprocess.run(
        ["bash", "-c", script(text, address)],
        cwd=folder,
        env=environment | {"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    printed = [line for line in run.stdout.splitlines() if re.fullmatch(r"\d{3}", line)]
    assert printed == _STATUS.findall(text)
    assert len(_BLOCK.findall(text)) > 12
