"""A service registers itself with a real server of four processes, and its published keys serve all of them.

Covers server/auth/registration.py, server/auth/key_sets.py and the replay of assertions across processes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey

from server.process import die_with_parent

pytestmark = pytest.mark.network
KEY = ECKey.generate_key("P-384", {"alg": "ES384", "use": "sig"}, auto_kid=True)
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A demonstration, whose outbound calls may go to loopback."""

    def __init__(self, home: Path) -> None:
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        self.environment = kept | {"BATON_HOME": str(home), "BATON_PORT_WEB": str(port), "BATON_WORKERS": "4"}
        parent = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "serve", "web", "--demo", "--no-data"],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda: die_with_parent(parent),
        )
        deadline = time.monotonic() + 90
        while True:
            try:
                if requests.get(f"{self.base}/readyz", timeout=1).status_code == 200:
                    break
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline, "the server did not start"
            assert self.process.poll() is None, "the server ended"
            time.sleep(0.2)

    def baton(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "server.cli", *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    def configuration(self) -> dict[str, Any]:
        return requests.get(f"{self.base}/fhir/.well-known/smart-configuration", timeout=10).json()

    def assertion(self, client_id: str) -> str:
        now = int(time.time())
        claims = {"iss": client_id, "sub": client_id, "aud": f"{self.base}/oauth2/token", "exp": now + 200}
        claims["jti"] = str(uuid.uuid4())
        return jwt.encode({"alg": "ES384", "kid": KEY.kid, "typ": "JWT"}, claims, KEY, ["ES384"])

    def ask(self, assertion: str) -> requests.Response:
        form = {
            "grant_type": "client_credentials",
            "scope": "system/Patient.rs",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        return requests.post(f"{self.base}/oauth2/token", data=form, timeout=30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "home")
    yield made
    made.process.terminate()
    made.process.wait(20)


@pytest.mark.requirement("B4")
@pytest.mark.requirement("D9")
def test_a_service_registers_itself_and_all_processes_know_its_keys(server: Server, publisher: Any) -> None:
    publisher.document = {"keys": [{**KEY.as_dict(private=False), "kid": KEY.kid}]}
    publisher.before = lambda: time.sleep(0.3)
    before = server.configuration()
    assert "registration_endpoint" not in before
    bundle = requests.get(before["user_access_brand_bundle"], timeout=10)
    assert bundle.json()["entry"][1]["resource"]["address"] == f"{server.base}/fhir"

    token = server.baton(
        "client", "invite", "--backend", "--scope", "system/*.rs", "--redirect-host", "127.0.0.1"
    )
    asked = {
        "client_name": "Warehouse",
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks_uri": publisher.url,
        "scope": "system/Patient.rs",
    }
    answer = requests.post(
        server.configuration()["registration_endpoint"],
        json=asked,
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    assert answer.status_code == 201, answer.text
    client_id = answer.json()["client_id"]
    assert publisher.asked == []

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(server.ask, [server.assertion(client_id) for _ in range(12)]))
        assert [answer.status_code for answer in answers] == [200] * 12
        assert len(publisher.asked) == 1
        once = server.assertion(client_id)
        again = [
            answer.status_code for answer in threads.map(server.ask, [once] * 8)
        ]  # more refusals close the door
    assert sorted(again) == [200] + [401] * 7

    own = answer.json()["registration_client_uri"]
    headers = {"Authorization": f"Bearer {answer.json()['registration_access_token']}"}
    assert requests.delete(own, headers=headers, timeout=10).status_code == 204
    assert {server.ask(server.assertion(client_id)).status_code for _ in range(2)} == {401}
