"""A deployment that is attacked over HTTP, as an operator runs it: two web processes, a worker, no
demonstration.

What an attacker knows is what everybody knows; what the tests know beyond it is the audit trail, read from the
database as the console reads it. The app's and the person's side are those of tests/conformance/asking.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests

from server.process import die_with_parent
from server.storage import open_store
from server.storage.audit_values import AuditQuery, AuditRow

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CALLBACK = "http://127.0.0.1:9/callback"
SCOPE = "openid fhirUser offline_access launch launch/patient patient/*.rs user/*.rs"
AUDIT_SECONDS = 15.0  # until the worker has sealed what happened

if "asking" not in sys.modules:
    _spec = importlib.machinery.ModuleSpec("asking", None, is_package=True)
    _spec.submodule_search_locations = [str(ROOT / "tests" / "conformance" / "asking")]
    sys.modules["asking"] = importlib.util.module_from_spec(_spec)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.network)


@dataclass(slots=True)
class Site:
    """A running deployment. environment: of its processes and commands."""

    port: int
    environment: dict[str, str]
    store: Any = None
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base(self) -> str:
        return f"{self.origin}/fhir"

    def run(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """A `baton` command of the deployment."""
        command = [sys.executable, "-m", "server.cli", *arguments]
        return subprocess.run(
            command, env=self.environment, cwd=ROOT, input=typed, capture_output=True, text=True, timeout=60
        )

    def baton(self, *arguments: str, typed: str = "") -> str:
        """What a `baton` command prints that has to succeed."""
        run = self.run(*arguments, typed=typed)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    def client(self, *arguments: str) -> dict[str, Any]:
        """`baton client add` with these options."""
        return dict(json.loads(self.baton("client", "add", "--name", "A client", *arguments)))

    def token(self, scope: str, *more: str) -> str:
        return self.baton("token", "mint", "--scope", scope, *more)

    def put(self, resource: dict[str, Any]) -> None:
        """Store a resource under its id."""
        if "token" not in self.made:
            self.made["token"] = self.token("system/*.cruds")
        answer = requests.put(
            f"{self.base}/{resource['resourceType']}/{resource['id']}",
            data=json.dumps(resource),
            headers={"Authorization": f"Bearer {self.made['token']}", "Content-Type": "application/fhir+json"},
            timeout=30,
        )
        assert answer.status_code in (200, 201), answer.text

    def user(self, username: str, role: str, practitioner: str) -> str:
        """An account and its password."""
        password = secrets.token_urlsafe(24)
        self.baton(
            *("user", "add", username, "--role", role, "--practitioner", f"Practitioner/{practitioner}"),
            *("--name", f"Synthetic {role}", "--password-file", "-"),
            typed=password + "\n",
        )
        return password

    def audited(self, since: datetime, *, interaction: str | tuple[str, ...], **wanted: Any) -> AuditRow:
        """The audit row after a moment of one of the interactions that has these fields.

        Raises: AssertionError when none comes.
        """
        names = (interaction,) if isinstance(interaction, str) else interaction
        deadline = time.monotonic() + AUDIT_SECONDS
        seen: list[AuditRow] = []
        while time.monotonic() < deadline:
            pages = [
                self.store.search_audit(AuditQuery(since=since, interaction=name, count=500)) for name in names
            ]
            seen = [row for page in pages for _, row in page.rows]
            for row in seen:
                if all(getattr(row, name) == value for name, value in wanted.items()):
                    return row
            time.sleep(0.2)
        told = sorted({(row.interaction, row.outcome, row.client_id, row.detail) for row in seen})
        raise AssertionError(f"no audit row {names} of {wanted}; there are {told}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def running(home: Path, database_url: str, **more: str) -> Iterator[Site]:
    """A deployment until the iterator is closed. database_url: "" is SQLite in home."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    environment = kept | {
        "BATON_HOME": str(home),
        "BATON_PORT_WEB": str(port),
        "BATON_SECRET_KEY": uuid.uuid4().hex,
        "BATON_TIME_ZONE": "America/New_York",
        "BATON_WORKERS": "2",
        "BATON_LOG_LEVEL": "WARNING",
        "BATON_SECOND_FACTOR": "optional",  # what is attacked here is the first one
        **more,
    }
    if database_url:
        environment["BATON_DATABASE_URL"] = database_url
    log, parent = home.with_suffix(".log"), os.getpid()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "serve", "web", "worker"],
            env=environment,
            cwd=ROOT,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: die_with_parent(parent),
        )
    try:
        site = Site(port, environment)
        deadline = time.monotonic() + 60
        while not _is_ready(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        site.store = open_store(database_url or f"sqlite:///{home / 'baton.sqlite3'}")
        yield site
        site.store.close()
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=1).status_code == 200
    except requests.RequestException:
        return False


def _database(request: pytest.FixtureRequest, database_kind: str) -> str:
    if database_kind != "postgresql":
        return ""
    return str(request.getfixturevalue("cluster").create_database(f"attacks_{uuid.uuid4().hex[:12]}"))


@pytest.fixture(scope="session")
def deploy_site() -> Callable[..., Iterator[Site]]:
    """`deploy_site(home, database_url, BATON_WORKERS="4")`: as `running`."""
    return running


@pytest.fixture(scope="session")
def site(
    tmp_path_factory: pytest.TempPathFactory, database_kind: str, request: pytest.FixtureRequest
) -> Iterator[Site]:
    """The deployment that most attacks share, with two synthetic patients and two people."""
    for site in running(tmp_path_factory.mktemp("attacked"), _database(request, database_kind)):
        for id, family in (("victim", "Victim"), ("other", "Other")):
            doctor = f"doctor-{id}"
            site.put({"resourceType": "Practitioner", "id": doctor, "name": [{"family": doctor}]})
            about = {"reference": f"Practitioner/{doctor}"}
            site.put(
                {
                    "resourceType": "Patient",
                    "id": id,
                    "name": [{"family": family, "given": ["Synthetic"]}],
                    "generalPractitioner": [about],
                }
            )
            site.put(
                {
                    "resourceType": "Observation",
                    "id": f"secret-of-{id}",
                    "status": "final",
                    "code": {"text": "synthetic"},
                    "subject": {"reference": f"Patient/{id}"},
                }
            )
            site.made[doctor] = site.user(doctor, "prescriber", doctor)
        yield site


@pytest.fixture
def own_site(tmp_path: Path, database_kind: str, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A deployment of the test's own: for attacks that leave somebody locked out."""
    yield from running(tmp_path / "home", _database(request, database_kind))


@pytest.fixture
def since() -> datetime:
    """The moment from which the audit trail is looked at."""
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def configuration(site: Site) -> dict[str, Any]:
    return dict(requests.get(f"{site.base}/.well-known/smart-configuration", timeout=30).json())


@pytest.fixture
def victim(site: Site) -> Any:
    """The person whose access is after: asking.pages.Person, not signed in."""
    from asking.pages import Person

    return Person(site.origin, "doctor-victim", site.made["doctor-victim"])


@pytest.fixture
def attacker(site: Site) -> Any:
    """Another person with an account of their own."""
    from asking.pages import Person

    return Person(site.origin, "doctor-other", site.made["doctor-other"])


@pytest.fixture
def chosen() -> Any:
    """The choices of a person who opens an app on their patient."""
    from asking.pages import Choices

    return Choices(("victim", "Victim"))


@pytest.fixture(scope="session")
def register(
    site: Site, configuration: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """`register("public")`: a client as asking.smart.App; kinds: public, confidential, jwks, backend."""
    from asking.smart import App, Keys

    def make(kind: str, scope: str = SCOPE, *more: str, redirect_uri: str = CALLBACK) -> Any:
        arguments, keys = ["--scope", scope, *more], None
        if kind in ("public", "confidential"):
            arguments.append(f"--{kind}")
        else:
            keys = Keys()
            path = tmp_path_factory.mktemp("keys") / "jwks.json"
            path.write_text(json.dumps(keys.public), "utf-8")
            arguments += ["--jwks", str(path)]
        arguments += ["--backend"] if kind == "backend" else ["--redirect-uri", redirect_uri]
        told = site.client(*arguments)
        return App(
            site.base,
            configuration,
            told["client_id"],
            "" if kind == "backend" else redirect_uri,
            told.get("client_secret", ""),
            keys,
        )

    return make


@pytest.fixture(scope="session")
def registered(register: Callable[..., Any]) -> Callable[..., Any]:
    """A client of each kind, registered when it is first asked for; every test has it on a machine of its
    own."""
    known = cache(register)
    return lambda *options: known(*options).from_elsewhere()


@pytest.fixture
def public(registered: Callable[..., Any]) -> Any:
    return registered("public")


@pytest.fixture
def confidential(registered: Callable[..., Any]) -> Any:
    return registered("confidential")


@pytest.fixture
def backend(registered: Callable[..., Any]) -> Any:
    return registered("backend", "system/*.rs")
