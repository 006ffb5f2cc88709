"""Backend services: lines B1-B5, with every assertion that has to be refused.

Sources: hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html,
hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html, RFC 7523
"""

from __future__ import annotations

import http.server
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asking.smart import ASSERTION, App, Keys, unsigned
from cryptography.hazmat.primitives import hashes, hmac, serialization

SCOPE = "system/*.rs"
FETCH_PAUSE = 11  # seconds; a server may leave a publisher in peace for a while, however often it is asked


def line(id: str, what: str) -> Any:
    return pytest.mark.requirement(id, what)


def ask(app: App, assertion: str, **more: str) -> Any:
    form = {
        "grant_type": "client_credentials",
        "scope": SCOPE,
        "client_assertion_type": ASSERTION,
        "client_assertion": assertion,
    }
    return app.post("token_endpoint", form | more, signed=False)


def audience(app: App) -> str:
    return str(app.configuration["token_endpoint"])


def signed(app: App, **changes: Any) -> str:
    """A right assertion but for the changes."""
    assert app.keys
    return app.keys.assertion(app.client_id, audience(app), **changes)


def refused(answer: Any) -> None:
    assert answer.status_code in (400, 401), answer.text
    assert answer.json()["error"] == "invalid_client"
    assert answer.headers["Content-Type"].startswith("application/json")
    assert "access_token" not in answer.json()


@line("B1", "a signed assertion brings a token that works for five minutes")
@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_token(backend: App, chart: Any, algorithm: str) -> None:
    answer = ask(backend, signed(backend, algorithm=algorithm))
    assert answer.status_code in (200, 201)
    told = answer.json()
    assert told["token_type"].lower() == "bearer"
    assert 0 < told["expires_in"] <= 300
    assert told["scope"] == SCOPE
    assert "refresh_token" not in told
    assert "no-store" in answer.headers["Cache-Control"]
    assert backend.get(f"Patient/{chart.patient}", told["access_token"]).status_code == 200
    assert backend.get(f"Patient?_id={chart.patient}", told["access_token"]).json()["total"] == 1


@line("B1-scope", "a token has no more than was asked for and registered")
def test_scope(backend: App, chart: Any) -> None:
    told = ask(backend, signed(backend), scope="system/Condition.rs system/Patient.cruds").json()
    assert {*told["scope"].split()} == {"system/Condition.rs", "system/Patient.rs"}
    assert backend.get(f"Observation?patient={chart.patient}", told["access_token"]).status_code == 403
    assert ask(backend, signed(backend), scope="patient/*.rs").json()["error"] == "invalid_scope"


@line("B2", "another grant_type is 400")
def test_grant_type(backend: App) -> None:
    answer = ask(backend, signed(backend), grant_type="not_a_grant_type")
    assert answer.status_code == 400
    assert answer.json()["error"] == "unsupported_grant_type"


@line("B3", "another client_assertion_type is refused")
def test_assertion_type(backend: App) -> None:
    assert ask(backend, signed(backend), client_assertion_type="not_an_assertion_type").status_code in (
        400,
        401,
    )


@line("B4-signature", "an assertion that other keys signed, or that was changed, is refused")
def test_signature(backend: App) -> None:
    assert backend.keys
    stranger = Keys().assertion(backend.client_id, audience(backend), header={"kid": backend.keys.rsa.kid})
    refused(ask(backend, stranger))
    head, body, signature = signed(backend).split(".")
    refused(ask(backend, f"{head}.{body}.{signature[:-8]}AAAAAAAA"))
    _, other, _ = signed(backend, sub="somebody", iss="somebody").split(".")
    refused(ask(backend, f"{head}.{other}.{signature}"))


@line("B4-audience", "an assertion for another audience is refused")
@pytest.mark.parametrize(
    "aud", ["https://ehr.example/token", "", [], None], ids=["other", "empty", "none of them", "none"]
)
def test_audience(backend: App, aud: Any) -> None:
    refused(ask(backend, signed(backend, aud=aud)))


@line("B4-far", "an assertion that is good for more than five minutes is refused")
def test_far_expiry(backend: App) -> None:
    refused(ask(backend, signed(backend, exp=int(time.time()) + 3600)))


@line("B4-expired", "an assertion that has expired, or never does, is refused")
@pytest.mark.parametrize("exp", [-3600, None], ids=["expired", "never"])
def test_expired(backend: App, exp: int | None) -> None:
    refused(ask(backend, signed(backend, exp=None if exp is None else int(time.time()) + exp)))


@line("B4-no-jti", "an assertion without a jti is refused")
def test_no_jti(backend: App) -> None:
    refused(ask(backend, signed(backend, jti=None)))


@line("B4-replayed", "an assertion is good once")
def test_replayed(backend: App) -> None:
    assertion = signed(backend)
    assert ask(backend, assertion).status_code == 200
    refused(ask(backend, assertion))
    again = uuid.uuid4().hex
    assert ask(backend, signed(backend, jti=again)).status_code == 200
    refused(ask(backend, signed(backend, jti=again, exp=int(time.time()) + 200)))


@line("B4-iss-sub", "an assertion whose issuer is not its subject is refused")
@pytest.mark.parametrize("claim", ["iss", "sub"])
def test_issuer_and_subject(backend: App, claim: str) -> None:
    refused(ask(backend, signed(backend, **{claim: "somebody-else"})))
    refused(ask(backend, signed(backend, **{claim: None})))


@line("B4-kid", "an assertion that names no registered key is refused")
@pytest.mark.parametrize("kid", ["no-such-key", "", None])
def test_key_id(backend: App, kid: str | None) -> None:
    refused(ask(backend, signed(backend, header={"kid": kid})))


def claims(app: App) -> dict[str, Any]:
    expires = int(time.time()) + 240
    return {
        "iss": app.client_id,
        "sub": app.client_id,
        "aud": audience(app),
        "jti": uuid.uuid4().hex,
        "exp": expires,
    }


@line("B4-none", "an assertion that nobody signed is refused")
@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_no_signature(backend: App, algorithm: str) -> None:
    assert backend.keys
    header = {"alg": algorithm, "typ": "JWT", "kid": backend.keys.rsa.kid}
    refused(ask(backend, unsigned(header, claims(backend))))
    refused(ask(backend, unsigned(header, claims(backend), b"any")))


@line("B4-hs256", "an assertion that the public key signs as a shared secret is refused")
@pytest.mark.parametrize("algorithm", ["HS256", "HS384"])
def test_public_key_as_secret(backend: App, algorithm: str) -> None:
    assert backend.keys
    public = backend.keys.rsa.raw_value
    public = public.public_key() if hasattr(public, "public_key") else public
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    secret = public.public_bytes(serialization.Encoding.PEM, form)
    header = {"alg": algorithm, "typ": "JWT", "kid": backend.keys.rsa.kid}
    text = unsigned(header, claims(backend)).rpartition(".")[0]
    for key in (secret, secret.strip(), json.dumps(backend.keys.public["keys"][0]).encode()):
        code = hmac.HMAC(key, hashes.SHA256() if algorithm == "HS256" else hashes.SHA384())
        code.update(text.encode())
        signature = unsigned({}, {}, code.finalize()).rpartition(".")[2]
        refused(ask(backend, f"{text}.{signature}"))


@line("B4-rs256", "an assertion by another algorithm than RS384 and ES384 is refused")
def test_other_algorithm(backend: App) -> None:
    refused(ask(backend, signed(backend, algorithm="RS256")))


@line("B5-error", "a refusal is an invalid_client in JSON, also for a client that is not known")
def test_unknown_client(backend: App) -> None:
    assert backend.keys
    refused(ask(backend, backend.keys.assertion("nobody", audience(backend))))


class _KeyServer(http.server.BaseHTTPRequestHandler):
    """Publishes `server.published` and counts who asks."""

    def do_GET(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        body = json.dumps(self.server.published).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", self.server.cache)  # type: ignore[attr-defined]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def key_server() -> Iterator[Any]:
    """A web server on loopback. published: the key set; cache: how long it may be kept; asked: how often."""
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _KeyServer)
    server.published, server.cache, server.asked = {"keys": []}, "max-age=3600", 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def published(register: Callable[..., App], key_server: Any) -> App:
    keys = Keys()
    key_server.published = keys.public
    url = f"http://127.0.0.1:{key_server.server_port}/jwks.json"
    app = register("backend", SCOPE, "--jwks-uri", url)
    app.keys = keys
    return app


@line("B5-jwks-uri", "keys are taken from the client's URL, and kept as long as it says")
def test_keys_by_url(register: Callable[..., App], key_server: Any) -> None:
    app = published(register, key_server)
    for _ in range(3):
        assert ask(app, signed(app)).status_code == 200
    assert key_server.asked <= 2  # at the registration and at the first use


@line("B5-rotation", "a new key of the client's URL is found when it is used first")
def test_rotated_keys(register: Callable[..., App], key_server: Any) -> None:
    key_server.cache = "max-age=0"
    app = published(register, key_server)
    assert ask(app, signed(app)).status_code == 200
    before, app.keys = app.keys, Keys()
    key_server.published = app.keys.public
    time.sleep(FETCH_PAUSE)
    assert ask(app, signed(app)).status_code == 200
    assert before
    refused(ask(app, before.assertion(app.client_id, audience(app))))


@line("B5-jku", "keys are never taken from where the assertion says")
def test_jku(backend: App, key_server: Any) -> None:
    stranger = Keys()
    key_server.published = stranger.public
    url = f"http://127.0.0.1:{key_server.server_port}/jwks.json"
    refused(ask(backend, stranger.assertion(backend.client_id, audience(backend), header={"jku": url})))
    assert key_server.asked == 0
