"""The web server over a real database of its own; the clock and the ids are the test's."""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from server.app import create_app
from server.auth import credentials
from server.auth.audit_heads import head_signer
from server.auth.context import AuthContext
from server.auth.credentials import derived_key
from server.auth.keys import SigningKeys, signing_keys
from server.auth.sessions import COOKIE
from server.auth.tokens import Claims, mint
from server.fhir.json_codec import decode, encode
from server.logs import Log
from server.settings import Settings, read_settings
from server.storage import open_store, sqlite_database
from server.storage.authorization import BrowserSessionRow, UserRow
from server.storage.interface import Store

BASE = "http://127.0.0.1:8000"
SECRET_KEY = "a key for tests only, long enough to be one"


class Clock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = datetime(2024, 5, 17, 12, 0, 0, 123456, UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


class Answer:
    """An HTTP answer, as tests look at it."""

    def __init__(self, response: TestResponse) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.body = response.get_data()

    @property
    def json(self) -> Any:
        """The body, decimals kept."""
        return decode(self.body)

    @property
    def codes(self) -> list[str]:
        """The issue codes of an OperationOutcome."""
        outcome = self.json
        assert outcome["resourceType"] == "OperationOutcome", outcome
        return [issue["code"] for issue in outcome["issue"]]

    @property
    def text(self) -> str:
        """What the OperationOutcome says."""
        return " | ".join(issue.get("diagnostics", "") for issue in self.json["issue"])

    @property
    def paths(self) -> list[str]:
        """The expressions of the OperationOutcome."""
        return [path for issue in self.json["issue"] for path in issue.get("expression", ())]


class Fhir:
    """Requests to the FHIR API with one token; paths are relative to the base."""

    def __init__(self, client: FlaskClient, token: str | None) -> None:
        self._client, self._token = client, token

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._token is not None:
            sent.setdefault("Authorization", f"Bearer {self._token}")
        data = body
        if isinstance(body, dict):
            data = encode(body)
            sent.setdefault("Content-Type", "application/fhir+json")
        url = f"/fhir/{path}" if path or method == "GET" else "/fhir"
        return Answer(self._client.open(url, method=method, data=data, headers=sent, base_url=BASE))

    def get(self, path: str, **headers: str) -> Answer:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Answer:
        return self("PUT", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Answer:
        return self("DELETE", path, **headers)


@pytest.fixture(scope="session", autouse=True)
def password_cost() -> Iterator[tuple[int, int, int]]:
    """What a password's hash costs outside of tests; in them, where nobody guesses, it costs almost nothing."""
    cost = credentials.PASSWORD_COST
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credentials, "PASSWORD_COST", (16, 8, 1))
        yield cost


@pytest.fixture(scope="session", autouse=True)
def disk_not_waited_for() -> Iterator[None]:
    """SQLite hands what it commits to the kernel and goes on: no test cuts the power, and a kill takes nothing
    from the kernel. Servers that tests start have the settings of every server.
    """
    settings = [statement.replace("= FULL", "= OFF") for statement in sqlite_database.SETTINGS]
    assert "PRAGMA synchronous = OFF" in settings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_database, "SETTINGS", settings)
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def signing_key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signing keys made once: making a pair takes a tenth of a second."""
    home = tmp_path_factory.mktemp("keys")
    signing_keys(home, SECRET_KEY.encode())
    return home / "keys"


@pytest.fixture
def settings(tmp_path: Path, signing_key_folder: Path, database_url: str) -> Settings:
    shutil.copytree(signing_key_folder, tmp_path / "home" / "keys")
    return read_settings(
        {
            "BATON_HOME": str(tmp_path / "home"),
            "BATON_DATABASE_URL": database_url,
            "BATON_SECRET_KEY": SECRET_KEY,
            "BATON_TIME_ZONE": "America/New_York",
            "BATON_LOG_LEVEL": "INFO",
            # What the pages after a sign-in do is told without one; tests of second factors demand it.
            "BATON_SECOND_FACTOR": "optional",
        }
    )


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = open_store(settings.database_url)
    yield store
    store.close()


@pytest.fixture
def seal_trail(store: Any, settings: Settings, authorization: AuthContext, clock: Clock) -> Callable[[], None]:
    """What the worker does: move the audit segments into the database and seal everything."""

    def run() -> None:
        store.ingest_audit(settings.home / "audit")
        store.seal_audit(head_signer(authorization.keys, BASE, clock), clock())

    return run


@pytest.fixture
def log_lines(tmp_path: Path) -> Callable[[], str]:
    """What was logged so far."""
    path = tmp_path / "log.ndjson"
    path.touch()
    return path.read_text


@pytest.fixture
def app(settings: Settings, store: Store, clock: Clock, tmp_path: Path) -> Iterator[Flask]:
    numbers = itertools.count(1)
    with (tmp_path / "log.ndjson").open("ab") as stream:
        yield create_app(
            settings,
            store=store,
            clock=clock,
            new_id=lambda: f"new-{next(numbers)}",
            log=Log("INFO", stream.fileno()),
        )


class Publisher(ThreadingHTTPServer):
    """Another system on loopback that publishes one document: what it answers is the test's to change.

    before: called before each answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Published)
        self.url = f"http://127.0.0.1:{self.server_port}/jwks.json"
        self.status = 200
        self.headers: dict[str, str] = {}
        self.document: Any = {}
        self.before: Callable[[], object] = lambda: None
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Published(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.before()
        document = self.server.document
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """A system on loopback that publishes a key set."""
    made = Publisher()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def authorization(settings: Settings, store: Store, clock: Clock) -> AuthContext:
    # Minting signs nothing, so that the keys, slow to read, are left where they are.
    return AuthContext(
        rows=store.authorization,
        store=store,
        base_url=settings.base_url,
        clock=clock,
        keys=SigningKeys(settings.home, settings.secret_key, clock),
        token_key=derived_key(settings.secret_key, "token hashes"),
        outbound=settings.outbound_allow,
    )


@pytest.fixture
def as_token(app: Flask, authorization: AuthContext) -> Callable[..., Fhir]:
    """`as_token("patient/*.rs", patient="1")`: requests with a token of these claims."""

    def make(scope: str, *, client_id: str = "tests", **claims: Any) -> Fhir:
        token = mint(authorization, Claims(client_id, scope, **claims), timedelta(hours=1))
        return Fhir(app.test_client(), token)

    return make


@pytest.fixture
def fhir(as_token: Callable[..., Fhir]) -> Fhir:
    """Requests that may do everything."""
    return as_token("system/*.cruds")


@pytest.fixture
def anonymous(app: Flask) -> Fhir:
    """Requests without a token."""
    return Fhir(app.test_client(), None)


@pytest.fixture(scope="session")
def build() -> ModuleType:
    """tests/builders.py"""
    path = Path(__file__).parent.parent / "builders.py"
    spec = importlib.util.spec_from_file_location("builders", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["builders"] = module
    spec.loader.exec_module(module)
    return module


def log_records(text: str) -> list[dict[str, Any]]:
    """Log lines as objects."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def demo_app(settings: Settings, store: Store, clock: Clock) -> Flask:
    """The server in demonstration mode, quiet."""
    return create_app(replace(settings, demo=True), store=store, clock=clock, log=Log("ERROR"))


@pytest.fixture
def sign_in(demo_app: Flask, authorization: AuthContext) -> Callable[[str], FlaskClient]:
    """`sign_in("rn")`: a browser with the session of a person of that role."""

    def make(role: str) -> FlaskClient:
        secret = f"session of {role}"
        now = authorization.clock()
        authorization.rows.put_user(
            UserRow(username=role, password_hash="", role=role, practitioner_id=f"demo-{role}", display=role)
        )
        authorization.rows.add_browser_session(
            BrowserSessionRow(
                session_hash=authorization.hash(secret),
                area="login",
                username=role,
                created=now,
                last_used=now,
                expires=now + timedelta(hours=12),
            )
        )
        client = demo_app.test_client()
        client.set_cookie(COOKIE, secret, domain="127.0.0.1", secure=False)
        return client

    return make
