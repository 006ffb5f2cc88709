"""Whatever is sent to the authorization server, it is answered: never by a 5xx, and never by another site."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAMES = (
    "response_type", "client_id", "redirect_uri", "scope", "state", "aud", "launch", "code_challenge", "prompt",
    "code_challenge_method", "nonce", "max_age", "grant_type", "code", "code_verifier", "refresh_token",
    "token", "client_assertion", "client_assertion_type", "client_secret", "token_type_hint", "_patient",
    "_name", "csrf", "_granted", "_decision", "_csrf", "next", "username", "password", "grant", "again",
    "_birth_date", "_number", "_encounter", "_cursor", "login_hint", "request_uri", "response_mode",
    "typed", "new", "action", "session", "others", "external", "because", "did",
)  # fmt: skip
HONEST = (
    "code", "S256", "authorization_code", "refresh_token", "client_credentials", "https://app.example/callback",
    "http://127.0.0.1:8000/fhir", "patient/*.rs launch openid", "v" * 43, "login none consent", "one", "allow",
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "a.b.c", "app", "1950-04-30", "stay",
    "launch/encounter launch/patient openid patient/*.rs",
)  # fmt: skip
FIELDS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.one_of(st.sampled_from(HONEST), st.text(max_size=40))), max_size=14
)
GET_PATHS = (
    "authorize", "login", "grants", "jwks", "smart-style.json", "account", "account/password", "proof",
    "second-factor", "second-factor/set-up", "external/start", "external/callback",
)  # fmt: skip
POST_PATHS = (
    "authorize", "authorize/patient", "authorize/encounter", "authorize/consent", "authorize/decision", "login",
    "logout", "token", "launch",
    "revoke", "introspect", "grants/withdraw",
    "account/password", "account/second-factor", "account/sessions", "account/external", "proof",
    "second-factor", "second-factor/set-up",
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    fields=FIELDS,
    path=st.sampled_from([*(("GET", p) for p in GET_PATHS), *(("POST", p) for p in POST_PATHS)]),
    started=st.booleans(),
)
def test_every_request_is_answered(
    smart: Any, fields: list[tuple[str, str]], path: tuple[str, str], started: bool
) -> None:
    """started: the fields change an otherwise honest request of a person who is signed in."""
    method, name = path
    if smart.context.rows.client("app") is None:
        smart.client(client_id="app", trusted=False)
        smart.nurse = smart.browser()
        smart.nurse.sign_in()
    # A lone surrogate cannot be sent; everything else can.
    sent = [(key, value.encode("utf-8", "replace").decode()) for key, value in fields]
    browser = smart.browser()
    if started:
        browser.client.set_cookie("__Host-baton-web", smart.nurse.cookie, domain="127.0.0.1")
        csrf = dict(smart.authorize(browser, "app").fields).get("_csrf", "")
        sent = [*(smart.parameters("app") | {"_csrf": csrf, "csrf": csrf} | dict(sent[:3])).items()]
    if method == "GET":
        page = browser.get(f"/oauth2/{name}?{urlencode(sent)}")
    else:
        page = browser.post(f"/oauth2/{name}", sent)
    assert page.status < 500, page.text
    if page.status in (302, 303):
        assert page.location.startswith(("/oauth2/", "/console", "/ehr", "https://app.example/callback?"))
    if started and name == "logout" and page.status == 303:
        smart.nurse.sign_in()


@pytest.mark.parametrize(
    "authorization", [" ", "\t", "Basic", "Basic ", "Basic :", "Basic =", "Bearer", "Basic \u00ff"]
)
@pytest.mark.parametrize("endpoint", ["token", "revoke", "introspect"])
def test_an_authorization_header_without_credentials_is_a_refusal(
    app: Any, endpoint: str, authorization: str
) -> None:
    answer = app.test_client().post(
        f"/oauth2/{endpoint}",
        base_url="http://127.0.0.1:8000",
        data={"token": "a", "grant_type": "client_credentials"},
        headers={"Authorization": authorization},
    )
    assert answer.status_code in (400, 401)
    assert "error" in answer.get_json()
