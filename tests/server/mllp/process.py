"""The listener as a process of its own, as an operator runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
SECRET_KEY = "of tests alone: nothing is protected by it"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Process:
    """`baton serve mllp`, or another part. environment: settings beyond the necessary ones."""

    home: Path
    database_url: str
    environment: dict[str, str] = field(default_factory=dict)
    part: str = "mllp"
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.log = self.home.parent / f"{self.home.name}-{self.part}.log"

    @property
    def variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        return kept | {
            "BATON_HOME": str(self.home),
            "BATON_DATABASE_URL": self.database_url,
            "BATON_SECRET_KEY": SECRET_KEY,
            "BATON_TIME_ZONE": "America/New_York",
            "BATON_PORT_MLLP": str(self.port),
            "BATON_LOG_LEVEL": "WARNING",
            **self.environment,
        }

    def launch(self) -> Process:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", "serve", self.part],
                cwd=ROOT,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def start(self) -> Process:
        """Start it and wait until it can be connected to."""
        self.launch()
        assert self.process is not None
        deadline = time.monotonic() + 180  # of a busy machine
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                assert self.process.poll() is None, self.log.read_text("utf-8", "replace")[-2000:]
                assert time.monotonic() < deadline, "the listener does not listen"
                time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def resident(self) -> int:
        """Bytes of its memory."""
        assert self.process is not None
        return self.status("VmRSS") * 1024

    def status(self, name: str) -> int:
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise AssertionError(name)


def open_files(most: int) -> Any:
    """Let this process have that many files open."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, most), hard), hard))
