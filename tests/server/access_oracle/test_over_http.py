"""The same random requests over HTTP, to a server of its own process.

BATON_ACCESS_HTTP_CASES: how many (500).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest
import requests
from access_oracle.curious import Curious
from access_oracle.emergencies import open_chart
from access_oracle.entrance import Entrance
from access_oracle.grants import random_grant
from access_oracle.sight import Sight
from access_oracle.sources import made
from access_oracle.world import Opened, World
from search_oracle.asking import offered
from search_oracle.makers import IDS

from server.app import now
from server.auth.context import auth_context
from server.auth.tokens import Claims, mint
from server.fhir.json_codec import decode, encode
from server.process import die_with_parent
from server.settings import read_settings
from server.storage import open_store
from server.storage.interface import Store

pytestmark = [pytest.mark.network, pytest.mark.long]

CASES = int(os.environ.get("BATON_ACCESS_HTTP_CASES") or 500)
SEED = os.environ.get("BATON_ACCESS_SEED")
WRITES = 70
TOKENS, REQUESTS = 5, 20
POLICIES = 2  # of a site: each case is run with both
ATTEMPTS = 3  # to open a chart
MOMENT = timedelta(seconds=2)
ORIGIN = "http://127.0.0.1:8000"  # what the charts' absolute references name; sent as Host, not connected to
ROOT = Path(__file__).resolve().parents[3]


class _Answer:
    def __init__(self, response: requests.Response) -> None:
        self.status, self.headers, self.body = response.status_code, response.headers, response.content

    @property
    def json(self) -> Any:
        return decode(self.body)


class _Fhir:
    """Requests with one token to the server at a port."""

    def __init__(self, port: int, token: str) -> None:
        self._base, self._token = f"http://127.0.0.1:{port}/fhir", token
        self._session = requests.Session()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> _Answer:
        sent = {"Authorization": f"Bearer {self._token}", "Host": ORIGIN.partition("//")[2]}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body = encode(body)
            sent.setdefault("Content-Type", "application/fhir+json")
        url = f"{self._base}/{path}" if path else self._base
        answer = self._session.request(method, url, data=body, headers=sent, timeout=60, allow_redirects=False)
        assert answer.status_code < 500, (method, path, answer.text[:300])
        return _Answer(answer)

    def get(self, path: str, **headers: str) -> _Answer:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> _Answer:
        return self("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> _Answer:
        return self("PUT", path, body, **headers)

    def delete(self, path: str, **headers: str) -> _Answer:
        return self("DELETE", path, **headers)


@dataclass(frozen=True, slots=True)
class _Server:
    """A server of the test's own: the way in, and the store that it works on."""

    enter: Entrance
    store: Store

    def open_for_a_moment(self, world: World, user: str) -> datetime:
        """When a chart is closed that is opened as by `$break-glass`, for less time than a policy can say."""
        patient, now = world.random.choice(IDS), world.clock.now
        until = now + MOMENT
        access = self.store.emergency_access.open(
            "", user, patient, "ETREAT", "found on the floor", opened=now, until=until
        )
        world.opened.append(Opened(user, patient, access.opened, access.until))
        return access.until


class _WallClock:
    """The server's clock is the machine's."""

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Time passes by itself."""


@pytest.fixture
def over_http(tmp_path: Path, database_url: str, policy_text: str) -> Iterator[_Server]:
    """A server of the test's own, in a process of its own."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {
        "BATON_HOME": str(tmp_path / "home"),
        "BATON_DATABASE_URL": database_url,
        "BATON_SECRET_KEY": uuid.uuid4().hex,
        "BATON_TIME_ZONE": "America/New_York",
        "BATON_PORT_WEB": str(port),
        "BATON_BASE_URL": ORIGIN,
        "BATON_WORKERS": "1",
        "BATON_RATE_LIMIT": "0",
        "BATON_LOG_LEVEL": "ERROR",
        "BATON_POLICY": str(tmp_path / "policy.json"),
    }
    (tmp_path / "policy.json").write_text(policy_text, "utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    parent = os.getpid()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "serve", "web"],
            cwd=ROOT,
            env=kept | environment,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: die_with_parent(parent),
        )
    try:
        deadline = time.monotonic() + 60
        while not _is_ready(port):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        settings = read_settings(environment)
        store = open_store(settings.database_url)
        authorization = auth_context(
            store.authorization,
            store,
            base_url=settings.base_url,
            home=settings.home,
            secret_key=settings.secret_key,
            clock=now,
        )

        def make(scope: str, *, client_id: str = "tests", **claims: Any) -> _Fhir:
            return _Fhir(port, mint(authorization, Claims(client_id, scope, **claims), timedelta(hours=1)))

        yield _Server(Entrance(make, authorization), store)
        store.close()
    finally:
        process.terminate()
        process.wait(20)


def _is_ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=1).status_code == 200
    except requests.RequestException:
        return False


@pytest.mark.parametrize("number", range(1 if SEED else -(-CASES // (TOKENS * REQUESTS * POLICIES))))
def test_over_http_a_token_is_shown_what_it_may_see_and_nothing_else(
    number: int, over_http: _Server, site_policy: Any
) -> None:
    seed = int(SEED) if SEED else SystemRandom().randrange(10**9)
    random = Random(seed)
    world = World(over_http.enter, random, _WallClock())
    world.write(WRITES)
    known = offered(world.everything)
    wrong: list[str] = []
    for _ in range(TOKENS):
        grant = random_grant(random, world.kinds, known=[one.user for one in world.opened])
        fhir = over_http.enter(grant)

        sight = partial(Sight, world, grant, fhir, site_policy)
        for turn in range(REQUESTS):
            if turn == REQUESTS // 4:
                faults = [open_chart(sight(), random) for _ in range(ATTEMPTS)]
                wrong += [f"{grant}\n  {fault}" for fault in faults if fault]
            if turn == REQUESTS // 2 and grant.user is not None:
                closed = over_http.open_for_a_moment(world, grant.user)
            if turn == REQUESTS - REQUESTS // 4 and grant.user is not None:
                world.wait(closed)
            name, request, judge = made(Curious(sight(), random, known))
            opened = world.open_to(grant.user)
            fault = judge(request.ask(fhir))
            if fault and world.open_to(grant.user) == opened:  # else one was closed meanwhile
                wrong.append(f"{name}: {request}\n  {grant}\n  {fault}")
    assert not wrong, f"BATON_ACCESS_SEED={seed}\n" + "\n\n".join(wrong)
