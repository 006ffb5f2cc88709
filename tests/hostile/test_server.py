"""Hostile requests over every route of the server, through its WSGI door.

No 5xx, no answer slower than two seconds, errors in the form of their part, nothing of the input repeated in an
error or a log line, memory flat, and after every fifty requests an ordinary one is answered as ever.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

# `conftest` loads it first: tests are no packages.
from hostile_sockets import SLOWEST, slowest

from server.app import create_app, make_context
from server.auth.context import auth_context
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.auth.sessions import COOKIE
from server.auth.tokens import Claims, mint
from server.fhir.compartments import RESOURCE_TYPES
from server.fhir.search_parameters import supported
from server.interactions.perform import perform
from server.interactions.request import InteractionRequest
from server.logs import Log
from server.settings import Settings, read_settings
from server.storage import open_store
from server.storage.authorization import BrowserSessionRow, UserRow

HOST = "127.0.0.1:8000"
GROWTH = 64_000_000  # bytes that caches may still take once every type has been asked for
FHIR = "application/fhir+json"
MARK = b"Zq7xMarkedInput"


class Server:
    """The web server in demonstration mode, with a chart of two patients, asked below its WSGI application."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.log = log
        self.store = open_store(settings.database_url)
        self.store.upgrade()
        self._stream = log.open("ab")
        self.app = create_app(settings, store=self.store, log=Log("INFO", self._stream.fileno()))
        self._context = make_context(settings, self.store)
        for id in ("p1", "p2"):
            self.put(id)
        self.authorization = auth_context(
            self.store.authorization,
            self.store,
            base_url=settings.base_url,
            home=settings.home,
            secret_key=settings.secret_key,
            clock=lambda: datetime.now(UTC),
        )
        hour = timedelta(hours=1)
        self.tokens = {
            "everything": mint(self.authorization, Claims("test", "system/*.cruds"), hour),
            "patient": mint(self.authorization, Claims("test", "patient/*.rs", patient="p1"), hour),
            "wrong": "w" * 43,
        }
        self._sign_in("supervisor")
        self.slowest = (0.0, "")

    def close(self) -> None:
        self.store.close()
        self._stream.close()

    def put(self, id: str) -> None:
        """Have a patient stored under this id."""
        writer = Principal(client_id="test", scopes=parse_scopes("system/*.cruds"))
        body = {"resourceType": "Patient", "id": id, "name": [{"family": "Synthetic"}]}
        perform(self._context, writer, InteractionRequest("update", "Patient", id, body=body))

    def _sign_in(self, role: str) -> None:
        now = datetime.now(UTC)
        rows = self.authorization.rows
        rows.put_user(UserRow(role, "", role=role, practitioner_id="x", display=role))
        self.cookie = "s" * 43
        rows.add_browser_session(
            BrowserSessionRow(
                session_hash=self.authorization.hash(self.cookie),
                area="login",
                username=role,
                created=now,
                last_used=now,
                expires=now + timedelta(hours=12),
            )
        )

    def ask(self, request: Any) -> tuple[int, dict[str, str], bytes, float]:
        """Status, headers (lower case), body, seconds."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
            "QUERY_STRING": request.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.7",
            "HTTP_HOST": HOST,
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": sys.stderr,
            "wsgi.input_terminated": True,
        }
        if request.body:
            environ["CONTENT_LENGTH"] = str(len(request.body))
        if request.who == "staff":
            environ["HTTP_COOKIE"] = f"{COOKIE}={self.cookie}"
        elif request.who != "nobody":
            environ["HTTP_AUTHORIZATION"] = f"Bearer {self.tokens[request.who]}"
        for name, value in request.headers:
            key = name.upper().replace("-", "_")
            own = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            environ[own] = value.encode("utf-8", "replace").decode("latin-1")
        seen: list[Any] = []
        started, worked = time.perf_counter(), time.process_time()
        parts = self.app.wsgi_app(environ, lambda line, headers, exc=None: seen.extend((line, headers)))
        body = b"".join(parts)
        getattr(parts, "close", lambda: None)()
        # However busy the machine is, and at the first time of asking.
        assert time.process_time() - worked < SLOWEST, "too much work"
        seconds = time.perf_counter() - started
        if seconds > self.slowest[0]:
            self.slowest = (round(seconds, 2), f"{request.kind} {request.method} {request.path[:80]}")
        return int(seen[0][:3]), {name.lower(): value for name, value in seen[1]}, body, seconds


@pytest.fixture
def server(tmp_path: Path, database_url: str) -> Any:
    settings = read_settings(
        {
            "BATON_HOME": str(tmp_path / "home"),
            "BATON_DATABASE_URL": database_url,
            "BATON_SECRET_KEY": "a key for tests only, long enough to be one",
            "BATON_TIME_ZONE": "America/New_York",
            "BATON_RATE_LIMIT": "0",
            "BATON_RATE_LIMIT_ADDRESS": "0",
        }
    )
    found = Server(replace(settings, demo=True), tmp_path / "log.ndjson")
    yield found
    found.close()


def routes(app: Any) -> list[tuple[list[str], str]]:
    """The pages and endpoints beside FHIR, with samples for what varies."""
    adapter = app.url_map.bind(HOST)
    found = []
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/fhir/<") and rule.rule != "/fhir":
            values = {name: "Patient" if "type" in name else "1" for name in rule.arguments}
            methods = sorted(rule.methods)
            found.append((methods, adapter.build(rule.endpoint, values, method=methods[0])))
    return found


def resident() -> int:
    """Resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def in_form(request: Any, status: int, headers: dict[str, str], body: bytes) -> bool:
    """Whether an error has the form of the part that answers."""
    path = unquote_to_bytes(request.path).decode("latin-1")
    if request.method == "HEAD" or status == 304:
        return body == b""
    content_type = headers.get("content-type", "")
    if path == "/hl7v2" and content_type.startswith("application/hl7-v2"):
        return b"\rMSA|A" in body
    if path in ("/fhir", "/hl7v2") or path.startswith("/fhir/"):
        # A caller may ask for plain JSON.
        return content_type.startswith(("application/fhir+json", "application/json")) and (
            json.loads(body).get("resourceType") == "OperationOutcome"
        )
    if content_type.startswith("application/json"):
        return path.startswith(("/oauth2/", "/.well-known/")) and "error" in json.loads(body)
    return content_type.startswith(("text/html", "text/plain")) and b"Traceback" not in body


def test_no_input_breaks_the_server(server: Any, grammar: Any, hostile_requests: int, capsys: Any) -> None:
    parameters = {name: sorted(supported(name)) for name in sorted(RESOURCE_TYPES)}
    asked = grammar(routes(server.app), parameters)
    load = sys.modules["hostile_grammar"].Hostile
    for name in parameters:  # what is loaded for a type when it is first asked for is no growth
        body = json.dumps({"resourceType": name}).encode()
        server.ask(load("warm", "GET", f"/fhir/{name}", "_count=1"))
        server.ask(load("warm", "POST", f"/fhir/{name}", "", (("Content-Type", FHIR),), body))
    statuses: Counter[tuple[str, int]] = Counter()
    failures: list[str] = []
    base = 0
    for number in range(hostile_requests):
        request = next(asked)
        try:
            status, headers, body, seconds = server.ask(request)
        except Exception as error:
            failures.append(f"{error!r} for {request!r:.600}")
            continue
        if seconds > slowest():
            seconds = min(seconds, server.ask(request)[3])
        statuses[request.kind.split()[0], status] += 1
        what = f"{status} in {seconds:.2f} s for {request!r:.600} -> {body[:300]!r}"
        if status >= 500:
            failures.append(f"5xx: {what}")
        if seconds > slowest():
            failures.append(f"slow: {what}")
        if status >= 400 and not in_form(request, status, headers, body):
            failures.append(f"form: {what}")
        repeats = MARK in body or any(MARK.decode() in value for value in headers.values())
        # The sign-in page keeps the name somebody typed.
        if status >= 400 and repeats and not request.path.startswith("/oauth2/login"):
            failures.append(f"repeats its input: {what}")
        if number == hostile_requests // 4:
            base = resident()
        if number % 50 == 49:
            server.put("p2")  # a condition may have deleted it
            ordinary = load("ordinary", "GET", "/fhir/Patient/p2")
            status, _, body, seconds = server.ask(ordinary)
            assert (status, b"Synthetic" in body) == (200, True), f"after {request!r:.300}"
            assert seconds < slowest()
        if len(failures) > 20:
            break
    growth = resident() - base
    with capsys.disabled():
        codes = Counter(status for (_, status), times in statuses.items() for _ in range(times))
        print(f" {dict(sorted(codes.items()))} slowest {server.slowest} growth {growth / 1e6:.0f} MB", end="")
    assert not failures, "\n".join(failures)
    assert MARK.decode() not in server.log.read_text()
    assert growth < GROWTH
