"""A real Baton for the journeys: the README's command on free ports, its own BATON_HOME, demonstration mode."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

START_SECONDS = 120
DATA_SECONDS = 360


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Deployment:
    """One running Baton. host: of the EHR's origin; app_host: of the app's (another one: cross-site)."""

    home: Path
    host: str = "127.0.0.1"
    app_host: str = "127.0.0.1"
    data: bool = True
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    output: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.port_web, self.port_app = free_port(), free_port()
        self.base_url = f"http://{self.host}:{self.port_web}"
        self.app_url = f"http://{self.app_host}:{self.port_app}"
        self.fhir = f"{self.base_url}/fhir"

    @property
    def variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        return kept | {
            "BATON_HOME": str(self.home),
            "BATON_PORT_WEB": str(self.port_web),
            "BATON_PORT_APP": str(self.port_app),
            "BATON_PORT_MLLP": str(free_port()),
            "BATON_BASE_URL": self.base_url,
            "BATON_APP_URL": self.app_url,
            **self.environment,
        }

    def start(self) -> Deployment:
        command = [str(Path(sys.executable).with_name("baton")), "serve", "--demo"]
        if not self.data:
            command.append("--no-data")
        self.process = subprocess.Popen(
            command, env=self.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._read_output, daemon=True).start()
        self._wait(lambda: any(line.startswith("ready ") for line in self.output), START_SECONDS, "ready line")
        if self.data:
            self._wait(lambda: (self.home / "demo-data.json").exists(), DATA_SECONDS, "synthetic charts")
        return self

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def baton(self, *arguments: str) -> str:
        """The standard output of another `baton` command of this deployment."""
        command = [str(Path(sys.executable).with_name("baton")), *arguments]
        run = subprocess.run(
            command, env=self.variables | {"BATON_DEMO": "1"}, capture_output=True, text=True, timeout=120
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    def token(self, scope: str, *more: str) -> str:
        return self.baton("token", "mint", "--scope", scope, *more).strip()

    def read(self, path: str, token: str) -> Any:
        answer = requests.get(f"{self.fhir}/{path}", headers={"Authorization": f"Bearer {token}"}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def search(self, query: str, token: str) -> list[dict[str, Any]]:
        return [
            e["resource"] for e in self.read(query, token).get("entry", ()) if e["search"]["mode"] == "match"
        ]

    def password(self, username: str) -> str:
        logins = json.loads((self.home / "demo-logins.json").read_text("utf-8"))
        return next(login["password"] for login in logins if login["username"] == username)

    def patients_with_discharge(self, token: str) -> list[str]:
        """Ids of the patients on the worklist's ground: a finished inpatient stay of the last ten days."""
        encounters = self.search("Encounter?class=IMP&status=finished&_sort=-date&_count=100", token)
        seen = dict.fromkeys(e["subject"]["reference"].removeprefix("Patient/") for e in encounters)
        return list(seen)

    def _read_output(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(re.sub(r"\x1b\[[0-9;]*m", "", line.rstrip()))

    def _wait(self, done: Any, seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no {what}:\n" + "\n".join(self.output[-60:]))
            time.sleep(0.1)
