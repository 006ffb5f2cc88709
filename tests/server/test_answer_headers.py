"""Every answer of every route carries the safe headers: pages, FHIR, OAuth, refusals, static files (both https
and http), whoever asks. Sources: OWASP secure headers project, W3C Content Security Policy Level 3."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from werkzeug.routing import BuildError

from server.app import create_app
from server.logs import Log

BASE = "http://127.0.0.1:8000"
SAMPLES = {"any_path": "Patient/none", "filename": "none.css", "path": "x", "string": "x", "number": "1"}
PUBLIC = {
    "/fhir/.well-known/smart-configuration",
    "/.well-known/openid-configuration",
    "/oauth2/jwks",
    "/oauth2/smart-style.json",
    "/fhir/.well-known/brands.json",
}


def addresses(app):
    """(method, path) of every rule, and of some that are none."""
    adapter = app.url_map.bind("127.0.0.1:8000")
    for rule in app.url_map.iter_rules():
        values = {name: SAMPLES.get(name, "x") for name in rule.arguments}
        for method in sorted(rule.methods):
            try:
                yield method, adapter.build(rule.endpoint, values, method=method)
            except BuildError:
                raise AssertionError(f"{rule} cannot be asked") from None
    for path in (
        "/nowhere",
        "/fhir/metadata",
        "/fhir/Nowhere",
        "/oauth2/nowhere",
        "/console/nowhere",
        "/ehr/static/x",
    ):
        for method in ("GET", "POST", "TRACE"):
            yield method, path


def check(answer, path):
    headers = answer.headers
    for name in (
        "X-Content-Type-Options",
        "Referrer-Policy",
        "Permissions-Policy",
        "Cross-Origin-Resource-Policy",
        "Cross-Origin-Opener-Policy",
        "Cache-Control",
        "Content-Security-Policy",
    ):
        assert len(headers.getlist(name)) == 1, (path, name, headers)
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy, path
    assert re.search(r"(^|; )default-src 'none'(;|$)", policy), path
    assert "frame-ancestors " in policy, path
    assert "base-uri 'none'" in policy, path
    if not (path in PUBLIC or "/static/" in path):
        assert "no-store" in headers["Cache-Control"], (path, headers["Cache-Control"])


@pytest.mark.parametrize("who", ["nobody", "engineer"])
def test_every_route_answers_with_safe_headers(demo_app, sign_in, who):
    client = demo_app.test_client() if who == "nobody" else sign_in(who)
    seen = 0
    for method, path in sorted(addresses(demo_app), key=lambda row: row[1].endswith(("/sign-out", "/logout"))):
        answer = client.open(path, method=method, base_url=BASE)
        assert answer.status_code < 500, (method, path)
        check(answer, path)
        seen += 1
    assert seen > 60


def test_another_host_a_long_url_and_a_preflight_are_answered_with_them_too(demo_app):
    client = demo_app.test_client()
    check(client.get("/console", base_url="http://other.example"), "/console")
    check(client.post("/fhir/Patient", base_url="http://other.example"), "/fhir/Patient")
    check(client.get("/fhir/Patient?" + "a" * 20_000, base_url=BASE), "/fhir/Patient")
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    check(client.options("/fhir/Patient", base_url=BASE, headers=asked), "/fhir/Patient")


def test_https_is_said_to_stay_https_and_http_says_nothing_of_it(settings, store, clock):
    secure = replace(settings, base_url="https://fhir.example")
    client = create_app(secure, store=store, clock=clock, log=Log("ERROR")).test_client()
    for path in ("/healthz", "/fhir/metadata", "/console", "/nowhere"):
        answer = client.get(path, base_url="https://fhir.example")
        assert answer.headers.getlist("Strict-Transport-Security") == ["max-age=31536000"], path
    plain = create_app(settings, store=store, clock=clock, log=Log("ERROR")).test_client()
    assert "Strict-Transport-Security" not in plain.get("/healthz", base_url=BASE).headers


def test_no_page_may_be_framed_unless_a_client_registered_for_it(demo_app, sign_in):
    client = sign_in("engineer")
    for path in (
        "/console",
        "/console/",
        "/ehr",
        "/ehr/",
        "/oauth2/login",
        "/oauth2/grants",
        "/oauth2/authorize",
    ):
        policy = client.get(path, base_url=BASE).headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy, path
