"""Addresses that lead where nobody should get: SSRF, other hosts, and paths that say one thing and mean
another.

Sources: OWASP Server-Side Request Forgery Prevention cheat sheet, RFC 9110 section 7.2, RFC 3986 section 6
"""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests


class _Trap(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"keys": []}')

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def inside() -> Iterator[Any]:
    """A service inside the network that nobody outside may reach. asked: the paths it was asked for."""

    class _Both(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6

        def server_bind(self) -> None:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            super().server_bind()

    server: Any = _Both(("::", 0), _Trap)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


# Hosts that all mean this machine.
HERE = (
    "127.0.0.1",
    "localhost",
    "localhost.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "[::]",
    "user@127.0.0.1",
)


def add(site: Any, url: str) -> tuple[int, str]:
    """Try to register a client whose keys are at a URL: (exit status, what was said)."""
    options = ("--name", "SSRF", "--backend", "--scope", "system/*.rs", "--jwks-uri", url)
    run = site.run("client", "add", *options)
    return run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize("host", HERE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_keys_are_never_fetched_from_inside(site: Any, inside: Any, scheme: str, host: str) -> None:
    _, said = add(site, f"{scheme}://{host}:{inside.server_port}/secret")
    assert inside.asked == []
    assert "keys" not in said or "secret" not in said.replace("/secret", "")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1/x",
        "ftp://127.0.0.1/x",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/",
        "https://user:password@example.org/",
    ],
)
def test_what_is_no_public_https_address_is_no_key_set(site: Any, url: str) -> None:
    status, said = add(site, url)
    assert status != 0 or json.loads(said[said.index("{") : said.rindex("}") + 1]).get("jwks_uri") is None


def test_a_token_request_makes_the_server_call_nobody_inside(
    site: Any, inside: Any, backend: Any, since: Any
) -> None:
    from asking.smart import ASSERTION, Keys

    stranger = Keys()
    for host in HERE[:6]:
        url = f"http://{host}:{inside.server_port}/jwks"
        form = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion_type": ASSERTION}
        header = {"jku": url, "x5u": url}
        token_url = backend.configuration["token_endpoint"]
        form["client_assertion"] = stranger.assertion(
            backend.client_id, token_url, header=header, iss=url, sub=url
        )
        assert backend.post("token_endpoint", form, signed=False).status_code == 401
        form["client_assertion"] = stranger.assertion(backend.client_id, token_url, header=header)
        assert backend.post("token_endpoint", form, signed=False).status_code == 401
    assert inside.asked == []
    site.audited(since, interaction="token-refused", outcome=401)


def test_registration_by_anybody_makes_the_server_call_nobody_inside(site: Any, inside: Any) -> None:
    """Each metadata field that holds a URL; the endpoint may be missing or closed, but never call."""
    home = f"http://127.0.0.1:{inside.server_port}"
    for field in (
        "jwks_uri",
        "logo_uri",
        "client_uri",
        "policy_uri",
        "tos_uri",
        "sector_identifier_uri",
        "request_uris",
    ):
        body = {
            "client_name": "SSRF",
            "redirect_uris": ["https://evil.example/cb"],
            "token_endpoint_auth_method": "private_key_jwt",
            "grant_types": ["client_credentials"],
            "scope": "system/*.rs",
            field: [f"{home}/{field}"] if field.endswith("s") and field != "jwks_uri" else f"{home}/{field}",
        }
        answer = requests.post(f"{site.origin}/oauth2/register", json=body, timeout=30)
        assert 400 <= answer.status_code < 500, answer.text
    assert inside.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_who_is_invited_to_register_makes_the_server_call_nobody_inside(
    site: Any, inside: Any, host: str
) -> None:
    """Even where the operator let the client name that very host, keys come from public places."""
    options = ("--note", "Attacker", "--backend", "--redirect-host", host, "--scope", "system/*.rs", "--json")
    told = json.loads(site.baton("client", "invite", *options))
    body = {
        "client_name": "SSRF",
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"],
        "scope": "system/*.rs",
        "jwks_uri": f"http://{host}:{inside.server_port}/jwks",
    }
    headers = {"Authorization": f"Bearer {told['initial_access_token']}"}
    answer = requests.post(f"{site.origin}/oauth2/register", json=body, headers=headers, timeout=30)
    assert answer.status_code < 500
    if answer.status_code == 201:  # then the first use must not fetch them either
        from asking.smart import App, Keys

        configuration = {"token_endpoint": f"{site.origin}/oauth2/token"}
        client_id = answer.json()["client_id"]
        app = App(site.base, configuration, client_id, keys=Keys())
        form = {"grant_type": "client_credentials", "scope": "system/*.rs"}
        assert app.post("token_endpoint", form).status_code == 401
    assert inside.asked == []


def test_resources_make_the_server_call_nobody_inside(site: Any, inside: Any) -> None:
    """References, canonicals and attachments in what is stored, validated and searched by."""
    home = f"http://127.0.0.1:{inside.server_port}"
    site.put(
        {
            "resourceType": "Observation",
            "id": "calls",
            "meta": {"profile": [f"{home}/StructureDefinition/x"]},
            "status": "final",
            "code": {"coding": [{"system": f"{home}/codes", "code": "a"}]},
            "subject": {"reference": f"{home}/Patient/1"},
            "implicitRules": f"{home}/rules",
        }
    )
    headers = {"Authorization": f"Bearer {site.made['token']}", "Content-Type": "application/fhir+json"}
    for path in (
        f"Observation?code:in={home}/ValueSet/x",
        f"Observation?subject={home}/Patient/1",
        f"Observation?_profile={home}/StructureDefinition/x",
        "Observation?_include=*&_id=calls",
        f"Observation/calls/$validate?profile={home}/StructureDefinition/x",
    ):
        assert requests.get(f"{site.base}/{path}", headers=headers, timeout=30).status_code < 500
    assert inside.asked == []


# Hosts --------------------------------------------------------------------------------------------------------


def raw(site: Any, *lines: str, body: str = "") -> tuple[int, str]:
    """Status and text of the answer to a request as it is written here."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(("\r\n".join([*lines, "Connection: close", "", body])).encode("latin-1"))
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    head = answer.decode("utf-8", "replace")
    return (int(head.split()[1]) if head else 0), head


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1:1", "localhost", "", "a@127.0.0.1"]
)
def test_no_link_is_made_for_a_host_that_somebody_else_chose(site: Any, host: str) -> None:
    for path in (
        "/fhir/.well-known/smart-configuration",
        "/.well-known/openid-configuration",
        "/fhir/metadata",
        "/oauth2/login",
        "/oauth2/authorize?client_id=x",
    ):
        status, text = raw(site, f"GET {path} HTTP/1.1", f"Host: {host}")
        assert status in (308, 400, 421), text[:300]
        assert not host or "evil" not in text
        if status == 308:
            assert f"ocation: {site.origin}/" in text
    status, text = raw(site, "POST /oauth2/token HTTP/1.1", f"Host: {host}", "Content-Length: 0")
    assert status in (400, 421)


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-Host: evil.example",
        "X-Host: evil.example",
        "Forwarded: host=evil.example",
        "X-Original-URL: /console/",
    ],
)
def test_headers_of_a_proxy_that_is_not_trusted_change_nothing(site: Any, header: str) -> None:
    path = "GET /fhir/.well-known/smart-configuration HTTP/1.1"
    status, text = raw(site, path, f"Host: 127.0.0.1:{site.port}", header)
    assert status == 200
    assert "evil.example" not in text
    assert f'"{site.origin}/oauth2/token"' in text


def test_two_hosts_and_an_absolute_target_do_not_confuse(site: Any) -> None:
    own = f"Host: 127.0.0.1:{site.port}"
    status, text = raw(site, "GET /fhir/metadata HTTP/1.1", own, "Host: evil.example")
    assert status in (308, 400, 421)
    assert "ocation: http://evil" not in text
    status, text = raw(site, "GET http://evil.example/fhir/metadata HTTP/1.1", own)
    assert "evil.example" not in text.partition("\r\n\r\n")[0]


# Paths --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/fhir/metadata/../Patient/victim",
        "/fhir/metadata%2f..%2fPatient/victim",
        "/fhir/.well-known/../Patient/victim",
        "/fhir/.well-known/smart-configuration/../../Patient/victim",
        "/fhir//Patient/victim",
        "//fhir/Patient/victim",
        "/fhir/./Patient/victim",
        "/fhir/%2e/Patient/victim",
        "/fhir/Patient%2fvictim",
        "/FHIR/Patient/victim",
        "/fhir/Patient/victim;x=/metadata",
        "/fhir/Patient/victim%00",
        "/fhir/Patient/victim#/metadata",
        "/fhir/Patient/victim?/metadata",
        "/oauth2/static/../../fhir/Patient/victim",
        "/oauth2/static/..%2f..%2f..%2f..%2fetc/passwd",
        "/oauth2/static/%2e%2e/%2e%2e/settings.py",
        "/console/../fhir/Patient/victim",
        "/healthz/../console/",
    ],
)
def test_no_spelling_of_a_path_opens_what_needs_a_token(site: Any, path: str) -> None:
    for method in ("GET", "POST", "HEAD", "PUT"):
        status, text = raw(
            site, f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{site.port}", "Content-Length: 0"
        )
        assert 300 <= status < 500, (method, text[:200])
        assert "Synthetic" not in text
        assert "root:" not in text
        assert "BATON_" not in text


def test_a_method_is_what_the_request_line_says(site: Any) -> None:
    headers = {"Authorization": f"Bearer {site.token('system/*.rs')}"}
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = requests.post(
            f"{site.base}/Patient/victim",
            headers=headers | {name: "DELETE"},
            params={"_method": "DELETE"},
            timeout=30,
        )
        assert answer.status_code in (400, 404, 405, 415)
    assert requests.get(f"{site.base}/Patient/victim", headers=headers, timeout=30).status_code == 200


def test_what_the_console_shows_needs_a_session_with_the_role(site: Any, victim: Any) -> None:
    for path in ("/console/", "/console/audit", "/console/resources", "/console/queue"):
        answer = requests.get(site.origin + path, allow_redirects=False, timeout=30)
        assert answer.status_code in (302, 303, 401, 403, 404)
    page = victim.open(f"{site.origin}/oauth2/grants")
    victim.sign_in(page)
    for path in ("/console/", "/console/audit"):
        assert victim.ask("GET", site.origin + path).status_code == 403, "a prescriber is no engineer"
