"""A real Baton of separate processes, as an operator runs it: started by its command, killed by its parts."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECRET_KEY = "of tests alone: nothing is protected by it"
START_SECONDS = 180.0  # the app reads its vocabulary into a database of its own at the first start
COMMAND = str(Path(sys.executable).with_name("baton"))


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait for the condition. Raises: AssertionError naming what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"within {seconds:.0f} s: {what}"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """The direct children of a process, oldest first."""
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not yet asked for its status does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@dataclass
class Baton:
    """One deployment without demonstration data. home: its BATON_HOME. database_url: "" is SQLite in home.

    parts: what `baton serve` is asked for. environment: more settings. python_path: folders of packages that
    are installed for its processes alone.
    """

    home: Path
    database_url: str = ""
    parts: tuple[str, ...] = ("web", "worker")
    environment: dict[str, str] = field(default_factory=dict)
    python_path: tuple[Path, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.port, self.log = free_port(), self.home.parent / f"{self.home.name}.log"
        self.url = self.database_url or f"sqlite:///{self.home / 'baton.sqlite3'}"
        self._token = ""

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its commands: nothing of a Baton around these tests gets in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        return kept | {
            "BATON_HOME": str(self.home),
            "BATON_DATABASE_URL": self.url,
            "BATON_SECRET_KEY": SECRET_KEY,
            "BATON_TIME_ZONE": "America/New_York",
            "BATON_PORT_WEB": str(self.port),
            "BATON_LOG_LEVEL": "WARNING",
            "PYTHONPATH": os.pathsep.join([*map(str, self.python_path), os.environ.get("PYTHONPATH", "")]),
            **self.environment,
        }

    def launch(self) -> None:
        """Start it in a process group of its own."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [COMMAND, "serve", *self.parts],
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start(self) -> Baton:
        """Start it and wait until it says that it is ready."""
        before = self.log.stat().st_size if self.log.exists() else 0
        self.launch()

        def ready() -> bool:
            assert self.process is not None
            said = self.log.read_bytes()[before:]
            assert self.process.poll() is None, said[-4000:].decode("utf-8", "replace")
            return b"\nready " in b"\n" + said

        until(ready, "a ready line", START_SECONDS)
        return self

    def command(self, *arguments: str) -> str:
        """What another `baton` command of this deployment prints."""
        done = subprocess.run(
            [COMMAND, *arguments], env=self.variables, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def token(self) -> str:
        """An access token for everything, valid longer than any test."""
        if not self._token:
            minted = self.command("token", "mint", "--scope", "system/*.cruds", "--minutes", "600")
            self._token = minted.strip()
        return self._token

    def pids(self, role: str) -> list[int]:
        """The processes of a role: `supervisor`, `web` (granian), `web worker`, or a part's name."""
        assert self.process is not None
        if role == "supervisor":
            return [self.process.pid]
        if role == "web worker":
            return [pid for parent in self.pids("web") for pid in children(parent)]
        wanted = ["serve", role, "--prepared"]
        return [pid for pid in children(self.process.pid) if _arguments(pid)[-3:] == wanted]

    def everything(self) -> list[int]:
        """Every process of the deployment, the supervisor first."""
        found = self.pids("supervisor")
        for pid in found:
            found += children(pid)
        return found

    def healthy(self) -> bool:
        """Whether web answers, its database too."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self, *pids: int) -> None:
        """SIGKILL, to whatever of them still runs."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_group(self) -> None:
        """SIGKILL to the whole process group at once, as the kernel does it when memory runs out."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    except OSError:
        return []
