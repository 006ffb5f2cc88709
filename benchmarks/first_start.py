"""How long the README's command takes in a fresh clone, and again: `make run` until `ready`, then stopped.

    python benchmarks/first_start.py [--json]

The clone is made in a temporary folder from this repository's HEAD. The first start installs everything.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST_SECONDS, LATER_SECONDS = 180.0, 5.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start(clone: Path, environment: dict[str, str]) -> float:
    """Seconds from `make run` until the ready line; the deployment is stopped again."""
    began = time.monotonic()
    process = subprocess.Popen(
        ["make", "run"],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    seconds = 0.0
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("ready "):
            seconds = time.monotonic() - began
            break
    threading.Thread(target=process.stdout.read, daemon=True).start()
    if seconds:
        wait_for(clone / "var" / "demo-data.json")
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)
    if not seconds:
        sys.exit("no ready line:\n" + "".join(lines[-30:]))
    return seconds


def wait_for(file: Path, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.5)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "baton"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("BATON_", "PYTHON"))
        }
        environment |= {"BATON_PORT_WEB": str(free_port()), "BATON_PORT_APP": str(free_port())}
        first = start(clone, environment)
        later = min(start(clone, environment) for _ in range(2))
    figures = {"first_seconds": round(first, 1), "later_seconds": round(later, 1)}
    if "--json" in sys.argv:
        print(json.dumps(figures))
    else:
        print(f"first start {first:.0f} s of {FIRST_SECONDS:.0f}, later {later:.1f} s of {LATER_SECONDS:.0f}")
    if first > FIRST_SECONDS or later > LATER_SECONDS:
        sys.exit(1)


if __name__ == "__main__":
    main()
