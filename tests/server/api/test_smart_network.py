"""Authlib, unchanged, as a SMART client without a browser against a running server.

Covers a standalone launch with PKCE, refresh and revocation, and a backend service with private_key_jwt.
"""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import RSAKey

pytestmark = pytest.mark.network
CALLBACK = "http://127.0.0.1:9/callback"
PORTS = range(18200, 18250)


def free_port() -> int:
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no port is free")


class Server:
    """A server process with demonstration accounts, in a home of its own."""

    def __init__(self, home: Path) -> None:
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        self.home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        self.environment = kept | {"BATON_HOME": str(home), "BATON_PORT_WEB": str(port), "BATON_WORKERS": "1"}
        command = [sys.executable, "-m", "server.cli", "serve", "web", "--demo"]
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if requests.get(f"{self.base}/healthz", timeout=1).status_code == 200:
                    return
            except requests.RequestException:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def baton(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "server.cli", *arguments]
        run = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        return run.stdout.strip()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


class Browser:
    """A person's browser, as far as a sign-in needs one: follows redirects, keeps cookies, sends forms."""

    def __init__(self, base: str) -> None:
        self.base, self.cookies = base, dict[str, str]()
        self.text = self.left = ""

    def go(self, url: str, form: list[tuple[str, str]] | None = None) -> None:
        """Open a URL; `left` is where the browser was sent outside of the server."""
        while True:
            if url.startswith("/"):
                url = self.base + url
            if not url.startswith(self.base):
                self.left = url
                return
            parts = urlsplit(url)
            connection = http.client.HTTPConnection(parts.netloc, timeout=20)
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
            body = None
            if form is not None:
                body = urlencode(form)
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request("POST" if form is not None else "GET", path, body, headers)
            answer = connection.getresponse()
            self.text = answer.read().decode()
            for name, value in answer.getheaders():
                if name.lower() == "set-cookie":
                    key, _, rest = value.partition("=")
                    self.cookies[key] = rest.partition(";")[0]
            connection.close()
            if answer.status not in (302, 303):
                assert answer.status == 200, (answer.status, self.text)
                return
            url, form = answer.getheader("Location", ""), None

    def send(self, *fields: tuple[str, str]) -> None:
        """Send the last form of the page with these fields besides its hidden ones."""
        form = self.text.rpartition("<form")[2]
        hidden = [
            (name, html.unescape(value))
            for name, value in re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', form)
        ]
        action = re.search(r'action="([^"]*)"', form)
        assert action is not None
        self.go(html.unescape(action[1]), [*hidden, *fields])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("home"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def configuration(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(
        f"{server.base}/fhir/.well-known/smart-configuration", timeout=10
    ).json()
    return found


def test_authlib_completes_a_standalone_launch(server: Server, configuration: dict[str, Any]) -> None:
    scope = "openid fhirUser offline_access launch/patient patient/*.rs"
    added = server.baton(
        "client", "add", "--name", "Authlib", "--public", "--redirect-uri", CALLBACK, "--scope", scope
    )  # fmt: skip
    client_id = json.loads(added)["client_id"]
    operator = {"Authorization": f"Bearer {server.baton('token', 'mint', '--scope', 'system/Patient.cruds')}"}
    patient = {
        "resourceType": "Patient",
        "id": "synthetic",
        "name": [{"family": "Synthetic", "given": ["Pat"]}],
    }
    put = requests.put(f"{server.base}/fhir/Patient/synthetic", json=patient, headers=operator, timeout=10)
    assert put.status_code == 201, put.text

    app = OAuth2Session(
        client_id,
        redirect_uri=CALLBACK,
        scope=scope,
        code_challenge_method="S256",
        token_endpoint=configuration["token_endpoint"],
        token_endpoint_auth_method="none",
    )
    verifier = "v" * 64
    url, state = app.create_authorization_url(
        configuration["authorization_endpoint"], code_verifier=verifier, aud=f"{server.base}/fhir"
    )

    nurse = Browser(server.base)
    nurse.go(url)
    login = next(
        row for row in json.loads((server.home / "demo-logins.json").read_text()) if row["username"] == "rn"
    )
    nurse.send(("username", "rn"), ("password", login["password"]))
    assert "Choose a patient" in nurse.text
    nurse.send(("_patient", "synthetic"))
    assert "Allow Authlib" in nurse.text
    nurse.send(("_granted", "patient/*.rs"), ("_decision", "allow"))
    assert dict(parse_qsl(urlsplit(nurse.left).query))["state"] == state

    token = app.fetch_token(authorization_response=nurse.left, code_verifier=verifier)
    assert token["patient"] == "synthetic"
    assert set(token["scope"].split()) == set(scope.split())
    read = app.get(f"{server.base}/fhir/Patient/{token['patient']}")
    assert read.status_code == 200
    assert read.json()["name"][0]["family"] == "Synthetic"
    who = app.get(f"{server.base}/fhir/Patient?_count=5").json()
    assert [entry["resource"]["id"] for entry in who["entry"]] == ["synthetic"]

    renewed = app.refresh_token()
    assert renewed["access_token"] != token["access_token"]
    assert app.get(f"{server.base}/fhir/Patient/synthetic").status_code == 200
    gone = app.revoke_token(configuration["revocation_endpoint"], token=renewed["refresh_token"])
    assert gone.status_code == 200
    assert app.get(f"{server.base}/fhir/Patient/synthetic").status_code == 401


def test_authlib_is_a_backend_service(server: Server, configuration: dict[str, Any], tmp_path: Path) -> None:
    key = RSAKey.generate_key(2048, auto_kid=True)
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [{**key.as_dict(private=False), "kid": key.kid}]}))
    added = server.baton(
        "client", "add", "--name", "Service", "--backend", "--jwks", str(jwks),
        "--scope", "system/Practitioner.rs",
    )  # fmt: skip
    service = OAuth2Session(
        json.loads(added)["client_id"],
        key.as_pem(private=True),
        token_endpoint_auth_method=PrivateKeyJWT(
            configuration["token_endpoint"],
            headers={"kid": key.kid},
            alg="RS384",
            claims={"exp": int(time.time()) + 300},  # its default of an hour is more than SMART allows
        ),
    )
    token = service.fetch_token(
        configuration["token_endpoint"], grant_type="client_credentials", scope="system/Practitioner.rs"
    )
    assert token["expires_in"] == 300
    found = service.get(f"{server.base}/fhir/Practitioner").json()
    assert {entry["resource"]["id"] for entry in found["entry"]} >= {"demo-rn", "demo-prescriber"}


def test_a_token_revoked_on_the_command_line_ends_in_the_running_server(server: Server) -> None:
    token = server.baton("token", "mint", "--scope", "system/Practitioner.rs")
    ask = {
        "url": f"{server.base}/fhir/Practitioner",
        "headers": {"Authorization": f"Bearer {token}"},
        "timeout": 10,
    }
    assert requests.get(**ask).status_code == 200
    server.baton("token", "revoke", token)
    assert requests.get(**ask).status_code == 401
