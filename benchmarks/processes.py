"""The processes of a benchmark: Baton as an operator starts it, the bare endpoints, the bare inserters."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bare import SETTINGS

from server.process import die_with_parent

if TYPE_CHECKING:
    from server.auth.tokens import Claims

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
START_SECONDS = 60.0


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Process:
    """A child process (with its children) that listens on a port."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], log: Path, port: int) -> None:
        self.port = port
        self._log = log
        self.started = time.perf_counter()
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                command,
                cwd=HERE,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )

    def wait_for(self, path: str, headers: dict[str, str] | None = None) -> float:
        """Seconds from the start until a GET is answered with 200.

        Raises: SystemExit when it does not come up.
        """
        while time.perf_counter() - self.started < START_SECONDS and self.process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", path, headers=headers or {})
                if connection.getresponse().status == 200:
                    return time.perf_counter() - self.started
            connection.close()
            time.sleep(0.002)
        self.stop()
        raise SystemExit(f"{path} is not answered; see {self._log}\n{self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End it, by force if it does not end by itself."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Baton(Process):
    """`baton serve` with the settings of a hospital: log line, audit, outbox, worker beside the web server."""

    def __init__(self, home: Path, url: str, workers: int, parts: Sequence[str] = ("web", "worker")) -> None:
        home.mkdir(parents=True, exist_ok=True)
        port = free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        self.environment = clean | {
            "BATON_HOME": str(home),
            "BATON_DATABASE_URL": url,
            "BATON_SECRET_KEY": "of no value: it lives for a minute",
            "BATON_TIME_ZONE": "America/New_York",
            "BATON_PORT_WEB": str(port),
            "BATON_WORKERS": str(workers),
            "BATON_RATE_LIMIT": "0",  # one client asks for everything here
        }
        super().__init__(self.command(parts), self.environment, home / "log", port)

    def command(self, parts: Sequence[str]) -> list[str]:
        """What is started."""
        return [str(Path(sys.executable).with_name("baton")), "serve", *parts]

    def token(self) -> str:
        """An access token with all system scopes, from this server's own database."""
        from server.auth.tokens import Claims

        return self.tokens([Claims(client_id="benchmark", scope="system/*.cruds")])[0]

    def tokens(self, claims: Sequence[Claims]) -> list[str]:
        """An access token for each of the claims."""
        from server.app import now
        from server.auth.context import auth_context
        from server.auth.tokens import mint
        from server.settings import read_settings
        from server.storage import open_store

        settings = read_settings(self.environment)
        store = open_store(settings.database_url)
        authorization = auth_context(
            store.authorization,
            store,
            base_url=settings.base_url,
            home=settings.home,
            secret_key=settings.secret_key,
            clock=now,
        )
        made = [mint(authorization, one, timedelta(hours=6)) for one in claims]
        store.close()
        return made

    def resident(self) -> dict[str, list[float]]:
        """Resident memory in MB (10^6 bytes): `web worker` answers requests, `web` starts those, `worker` is
        the part of that name."""
        found: dict[str, list[float]] = {}
        for pid, parent in _descendants(self.process.pid):
            words = _command(pid)
            part = words[words.index("serve") + 1] if "--prepared" in words else ""
            if part == "web" and "--prepared" in _command(parent):
                part = "web worker"  # granian forks them
            if part:
                found.setdefault(part, []).append(_resident(pid))
        return found


class Endpoints(Process):
    """The bare endpoints under granian, with as many processes as the server."""

    def __init__(self, folder: Path, urls: dict[str, str], workers: int) -> None:
        port = free_port()
        command = [
            str(Path(sys.executable).with_name("granian")),
            *("--interface", "wsgi", "--factory", "--http", "1", "--no-ws"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--workers", str(workers), "--blocking-threads", "1", "--log-level", "warning"),
            "bare:endpoints",
        ]
        environment = {**os.environ, SETTINGS: json.dumps(urls), "PYTHONPATH": str(HERE)}
        super().__init__(command, environment, folder / "bare.log", port)


class Inserters:
    """Processes that insert bare rows, all for the same seconds."""

    def __init__(self, url: str, processes: int) -> None:
        self._children = [
            subprocess.Popen(
                [sys.executable, str(HERE / "bare.py"), url, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(processes)
        ]
        for child in self._children:
            assert child.stdout
            if child.stdout.readline().strip() != "ready":
                raise SystemExit("the bare inserter does not start")

    def rate(self, seconds: int, processes: int) -> float:
        """Transactions a second of so many of them."""
        chosen = self._children[:processes]
        for child in chosen:
            assert child.stdin
            print(seconds, file=child.stdin, flush=True)
        rates = []
        for child in chosen:
            assert child.stdout
            done, took = json.loads(child.stdout.readline())
            rates.append(done / took)
        return sum(rates)

    def stop(self) -> None:
        """End all."""
        for child in self._children:
            if child.stdin:
                child.stdin.close()
            child.wait(30)


def _descendants(pid: int) -> list[tuple[int, int]]:
    """Every process below one, with its parent."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, waiting = [(pid, 0)], [pid]
    while waiting:
        parent = waiting.pop()
        for child, its_parent in parents.items():
            if its_parent == parent:
                found.append((child, parent))
                waiting.append(child)
    return found


def _command(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return []


def _resident(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0
