"""A throwaway PostgreSQL for tests and benchmarks: a cluster of its own that is started, killed, restarted.

    cluster = Cluster(); cluster.start(); url = cluster.create_database("some_name"); ...; cluster.remove()

It is as durable as a real one (PostgreSQL's own settings, until `change`), listens on loopback and on a socket
in its folder, trusts whoever connects, and ends with the process that started it. PostgreSQL refuses to run as
root, so root runs it as another user. `PostgresqlMissing` is raised where no server programs are installed.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_START_SECONDS = 30
_SUPERUSER = "baton"


class PostgresqlMissing(Exception):
    """No PostgreSQL server is installed here."""


def programs() -> Path:
    """The folder of `initdb` and `postgres`: the one on the PATH, else the newest of Debian's.

    Raises: PostgresqlMissing.
    """
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(debian, key=lambda path: int(path.parent.name), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise PostgresqlMissing("PostgreSQL is not installed (Debian: apt-get install postgresql)")


class Cluster:
    """One PostgreSQL server with its data in a temporary folder.

    settings: further server settings, for example {"max_connections": "50"}.
    """

    def __init__(self, **settings: str) -> None:
        self._programs = programs()
        self._settings = settings
        self._as: dict[str, Any] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="baton-pg-"))
        if os.geteuid() == 0:
            user = _unprivileged()
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        self._data = self.folder / "data"
        self.log = self.folder / "log"
        self.port = 0
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, making the cluster first if there is none yet; returns when it takes connections.

        Raises: RuntimeError with the end of the log.
        """
        if not self._data.exists():
            self._run(
                "initdb", f"--pgdata={self._data}", f"--username={_SUPERUSER}", "--auth=trust",
                "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
            )  # fmt: skip
        for _ in range(3):  # another process may take the port between the choice and the start
            self.port = self.port or _free_port()
            if self._launch():
                return
            self.port = 0
        raise RuntimeError(f"PostgreSQL does not start: {self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        """A clean end: clients are thrown out, a checkpoint is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash of the machine would: every process at once, nothing written any more."""
        if self._server is None:
            return
        self._server.send_signal(signal.SIGSTOP)  # no further children while they are looked up
        for pid in [*_children(self._server.pid), self._server.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._server.wait()
        self._server = None

    def restart(self) -> None:
        """Stop if it runs, and start again on the same port."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """End it and delete its data."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def create_database(self, name: str, template: str = "") -> str:
        """Make an empty database, or a copy of one that nobody is connected to; its URL."""
        copied = f' TEMPLATE "{template}"' if template else ""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"{copied}')
        return self.url(name)

    def change(self, **settings: str) -> None:
        """Change server settings that need no restart, for every connection that is opened from now on."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            connection.execute("SELECT pg_reload_conf()")
        while any(self._setting(name) != value for name, value in settings.items()):
            time.sleep(0.01)

    def url(self, name: str) -> str:
        """The URL of a database, over loopback."""
        return f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/{name}"

    def _setting(self, name: str) -> str:
        with psycopg.connect(self.url("postgres")) as connection:
            row = connection.execute(f"SHOW {name}").fetchone()
        return str(row[0]) if row else ""

    def _launch(self) -> bool:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        } | self._settings
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for the tests; they end the server themselves
                preexec_fn=_end_with_parent(),
                **self._as,
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._server.poll() is None:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return True
            time.sleep(0.02)
        self._end(signal.SIGQUIT)
        return False

    def _end(self, how: signal.Signals) -> None:
        if self._server is None:
            return
        self._server.send_signal(how)
        try:
            self._server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
        self._server = None

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            text=True,
            **self._as,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout[-2000:]}")


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("PostgreSQL must not run as root, and there is no user `postgres` or `nobody`")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # pid (command) state parent ...; the command may hold blanks and brackets
            if int(entry.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.parent.name))
    return found


def _end_with_parent() -> Callable[[], None] | None:
    """Runs between fork and exec: SIGQUIT, PostgreSQL's immediate shutdown, when this process ends."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return lambda: library.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
