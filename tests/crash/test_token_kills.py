"""Killed at any moment, the authorization server forgets nothing that it has answered.

While clients take tokens, use them, revoke them and rotate refresh tokens, the deployment is killed. Afterwards
what was given works, what was revoked does not, an assertion that was used is not good again, a refresh token
that was rotated has its successor; every answered request is in the audit trail, and `audit verify` passes.

BATON_TOKEN_KILLS: how often (1). BATON_KILL_SEED: repeats the choices of an earlier run.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from baton_processes import SECRET_KEY, Baton, until
from joserfc import jwt
from joserfc.jwk import ECKey

from server.auth.context import auth_context
from server.storage import open_store
from server.storage.authorization import GrantRow, RefreshTokenRow

pytestmark = [pytest.mark.network, pytest.mark.early]

KILLS = int(os.environ.get("BATON_TOKEN_KILLS") or 1)
SEED = int(os.environ.get("BATON_KILL_SEED") or random.SystemRandom().randrange(1_000_000))
CLIENTS = 4
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_AUDIT = "SELECT request_id FROM audit UNION ALL SELECT request_id FROM audit_chain"


@dataclass
class Known:
    """What one client was told. answered: ids of requests that got an answer. good, revoked: access tokens of
    the service; kept: those of the app.
    refresh: the token to use next, "" where the answer to its last use is not known. faults: what must not
    be."""

    refresh: str
    answered: list[str] = field(default_factory=list)
    good: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """One backend service that is an app as well, until `stop` is set."""

    def __init__(self, baton: Baton, ids: tuple[str, str], key: ECKey, known: Known, seed: str) -> None:
        super().__init__(daemon=True)
        self._baton, self.ids, self.key, self.known = baton, ids, key, known
        self._service, self._app = ids
        self._random = random.Random(seed)
        self._stopped = threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        while not self._stopped.is_set():
            step = self._random.choice((self._issue, self._issue, self._use, self._revoke, self.rotate))
            step()

    def send(
        self, method: str, path: str, form: dict[str, str] | None = None, token: str = ""
    ) -> tuple[int, Any]:
        """(status, JSON) of an answer; (0, None) where none came."""
        id = uuid.uuid4().hex
        headers = {"X-Request-Id": id} | ({"Authorization": f"Bearer {token}"} if token else {})
        body = urlencode(form) if form else None
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._baton.port, timeout=30)
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection = None
            return 0, None
        if answer.status >= 500 and answer.status != 503:
            self.known.faults.append(f"{method} {path}: {answer.status}")
        if answer.status == 503:
            return 0, None
        self.known.answered.append(id)
        return answer.status, json.loads(text) if text else None

    def assertion(self) -> str:
        claims = {
            "iss": self._service,
            "sub": self._service,
            "aud": f"http://127.0.0.1:{self._baton.port}/oauth2/token",
        }
        more = {"jti": uuid.uuid4().hex, "exp": int(time.time()) + 280}
        header = {"alg": "ES384", "kid": self.key.kid}
        return jwt.encode(header, claims | more, self.key, algorithms=["ES384"])

    def take(self, assertion: str) -> tuple[int, Any]:
        form = {"grant_type": "client_credentials", "scope": "system/Patient.rs"}
        form |= {"client_assertion_type": ASSERTION, "client_assertion": assertion}
        return self.send("POST", "/oauth2/token", form)

    def _issue(self) -> None:
        assertion = self.assertion()
        status, told = self.take(assertion)
        if status == 200:
            self.known.good.append(told["access_token"])
            self.known.used.append(assertion)
        elif status:
            self.known.faults.append(f"a right assertion: {status} {told}")

    def _use(self) -> None:
        if self.known.good:
            status, _ = self.send("GET", "/fhir/Patient/p1", token=self._random.choice(self.known.good))
            if status not in (0, 200):
                self.known.faults.append(f"a good token: {status}")

    def _revoke(self) -> None:
        if len(self.known.good) < 3:
            return
        token = self.known.good.pop(self._random.randrange(len(self.known.good)))
        form = {"client_assertion_type": ASSERTION, "client_assertion": self.assertion(), "token": token}
        status, _ = self.send("POST", "/oauth2/revoke", form)
        if status == 200:
            self.known.revoked.append(token)
        elif status:
            self.known.faults.append(f"a revocation: {status}")

    def rotate(self) -> None:
        if not self.known.refresh:
            return
        token, self.known.refresh = self.known.refresh, ""
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": self._app}
        status, told = self.send("POST", "/oauth2/token", form)
        if status == 200:
            self.known.refresh = told["refresh_token"]
            self.known.kept.append(told["access_token"])
        elif status:
            self.known.faults.append(f"a good refresh token: {status} {told}")


def kill_the_group(baton: Baton, _: random.Random) -> None:
    baton.kill_group()


def kill_a_web_process(baton: Baton, chance: random.Random) -> None:
    baton.kill(chance.choice(baton.pids("web worker")))


def kill_the_supervisor(baton: Baton, _: random.Random) -> None:
    assert baton.process is not None
    baton.kill(baton.everything()[0])
    baton.process.wait()
    time.sleep(1)  # its processes end with it


WAYS = (kill_the_group, kill_a_web_process, kill_the_supervisor)


@pytest.fixture
def baton(tmp_path: Path, database_kind: str, request: pytest.FixtureRequest) -> Iterator[Baton]:
    """A deployment of two web processes, on the database of the run, without demonstration data."""
    url = ""
    if database_kind == "postgresql":
        url = request.getfixturevalue("cluster").create_database(f"kills_{uuid.uuid4().hex[:12]}")
    made = Baton(tmp_path / "home", url, environment={"BATON_WORKERS": "2"})
    made.start()
    try:
        yield made
    finally:
        made.kill(*made.everything())


def prepared(baton: Baton, folder: Path, seed: int) -> list[Client]:
    """Clients with a service, an app and a grant of their own, and the one patient that they read."""
    import requests

    answer = requests.put(
        f"http://127.0.0.1:{baton.port}/fhir/Patient/p1",
        json={"resourceType": "Patient", "id": "p1"},
        headers={"Authorization": f"Bearer {baton.token}", "Content-Type": "application/fhir+json"},
        timeout=30,
    )
    assert answer.status_code == 201
    baton.command("user", "add", "somebody", "--role", "rn")
    store = open_store(baton.url)
    context = auth_context(
        store.authorization,
        store,
        base_url=f"http://127.0.0.1:{baton.port}",
        home=baton.home,
        secret_key=SECRET_KEY.encode(),
        clock=lambda: datetime.now(UTC),
    )
    clients = []
    for number in range(CLIENTS):
        key = ECKey.generate_key("P-384", {"kid": f"key-{number}"})
        path = folder / f"jwks-{number}.json"
        path.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
        service, app = (
            json.loads(baton.command("client", "add", "--name", f"{name} {number}", *options))["client_id"]
            for name, options in (
                ("Service", ("--backend", "--jwks", str(path), "--scope", "system/*.rs")),
                (
                    "App",
                    (
                        *("--public", "--redirect-uri", "http://127.0.0.1:9/cb"),
                        *("--scope", "patient/*.rs offline_access"),
                    ),
                ),
            )
        )
        now, secret, scope = context.clock(), context.new_secret(), "patient/Patient.rs offline_access"
        with context.rows.transaction():
            grant = GrantRow(f"grant-{number}", app, now, scope, username="somebody", role="rn", patient="p1")
            context.rows.add_grant(grant)
            row = RefreshTokenRow(context.hash(secret), grant.grant_id, app, scope, now + timedelta(days=1))
            context.rows.add_refresh_token(row)
        clients.append(Client(baton, (service, app), key, Known(secret), f"{seed} {number}"))
    store.close()
    return clients


def has_answers(clients: list[Client], count: int) -> bool:
    return sum(len(client.known.answered) for client in clients) > count


def test_no_token_state_and_no_audit_record_is_lost_to_a_kill(baton: Baton, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    clients = prepared(baton, tmp_path, SEED)
    for number in range(KILLS):
        way = WAYS[number % len(WAYS)]
        before = sum(len(client.known.answered) for client in clients)
        for client in clients:
            client.start()
        until(partial(has_answers, clients, before + 60), "first answers", 60)
        time.sleep(chance.uniform(0.0, 1.0))
        way(baton, chance)
        time.sleep(0.2)
        for client in clients:
            client.stop()
        assert baton.process is not None
        if baton.process.poll() is not None:
            baton.start()
        else:
            until(
                lambda: len(baton.pids("web worker")) == 2 and baton.healthy(), "what was killed runs again", 30
            )
        # One client a kill: whoever is refused too often has to wait, also with what is good.
        replays = clients[number % CLIENTS]
        wrong = [fault for client in clients for fault in looked_at(client, 2 if client is replays else 0)]
        print(
            f"seed {SEED}, kill {number + 1}, {way.__name__.replace('_', ' ')}: {len(wrong)} findings",
            flush=True,
        )
        assert wrong == [], f"seed {SEED}: {wrong[:20]}"
        clients = [
            Client(baton, client.ids, client.key, client.known, f"{SEED} {number} {place}")
            for place, client in enumerate(clients)
        ]
    assert baton.stop() == 0
    store = open_store(baton.url)
    store.ingest_audit(baton.home / "audit")
    with store.database.reading() as connection:
        audited = {row[0] for row in connection.execute(_AUDIT).fetchall()}
    store.close()
    answered = {id for client in clients for id in client.known.answered}
    assert answered
    assert answered - audited == set()
    baton.command("audit", "verify")


def looked_at(client: Client, replays: int) -> Iterator[str]:
    """Everything that is not as the client was told, asked anew of the server that was started again.

    replays: how many assertions that were used are used once more.
    """
    known = client.known
    yield from known.faults
    for token in [*known.good[-20:], *known.kept[-20:]]:
        status, _ = client.send("GET", "/fhir/Patient/p1", token=token)
        if status != 200:
            yield f"a token that was given: {status}"
    for token in known.revoked[-20:]:
        status, _ = client.send("GET", "/fhir/Patient/p1", token=token)
        if status != 401:
            yield f"a token that was revoked: {status}"
    for assertion in known.used[-replays:] if replays else ():
        status, _ = client.take(assertion)
        if status != 401:
            yield f"an assertion that was used: {status}"
    if known.refresh:
        client.rotate()
        yield from known.faults
    # Tokens of services are good for five minutes; the next round has its own.
    known.good.clear()
    known.kept.clear()
    known.revoked.clear()
    known.used.clear()
