"""SMART App Launch as the app does it: EHR and standalone launch, and every way it may fail.

Covers: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html, RFC 7636, OpenID Connect Core 3.1.3.7.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from smart_app.issuers import Issuer, Issuers

ISS = "https://ehr.example/r4"
FRAME = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"}


def headline(answer: Any) -> str:
    found = re.search(r'<h1 id="headline">(.*?)</h1>', answer.text)
    return found[1] if found else answer.text


def set_cookies(answer: Any) -> list[str]:
    return answer.headers.getlist("Set-Cookie")


@pytest.mark.requirement("A1")
def test_the_authorization_request_carries_what_smart_asks(browser: Any) -> None:
    asked = browser.authorize("abc")
    assert asked["response_type"] == "code"
    assert asked["client_id"] == "app-there"
    assert asked["redirect_uri"] == "https://app.example/callback"
    assert asked["aud"] == ISS
    assert asked["launch"] == "abc"
    assert asked["code_challenge_method"] == "S256"
    assert {"launch", "openid", "fhirUser", "offline_access", "user/Patient.rs"} <= set(asked["scope"].split())
    assert len(asked["state"]) >= 43
    assert len(asked["nonce"]) >= 43


def test_the_code_is_exchanged_with_the_verifier_and_a_signed_assertion(browser: Any, ehr: Any) -> None:
    asked = browser.authorize()
    browser.get(f"/callback?code=the-code&state={asked['state']}")
    (form,) = ehr.token_requests
    assert form["grant_type"] == "authorization_code"
    assert form["code"] == "the-code"
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
    assert form["client_assertion_type"].endswith("jwt-bearer")
    assert "client_secret" not in form


def test_a_launch_with_cookies_redirects_to_its_own_address(browser: Any) -> None:
    answer = browser.launch()
    assert answer.status_code == 302
    assert re.fullmatch(r"/c/[\w-]{43}/", answer.location)
    (session,) = [cookie for cookie in set_cookies(answer) if cookie.startswith("__Host-baton-app=")]
    for attribute in ("Secure", "HttpOnly", "Path=/", "SameSite=None", "Partitioned"):
        assert attribute in session
    assert "Domain" not in session
    assert browser.get(answer.location).status_code == 303


def test_where_a_frame_refuses_cookies_the_tab_gets_a_secret_of_its_own(browser: Any) -> None:
    asked = browser.authorize()
    stranger = browser.app.test_client()
    answer = stranger.get(
        f"/callback?code=c&state={asked['state']}", base_url="https://app.example", headers=FRAME
    )
    assert answer.status_code == 200
    assert set_cookies(answer) == []
    found = re.search(r'"secret":"([\w-]{43})"', answer.text)
    start = re.search(r'"start":"(/c/[\w-]{43}/)"', answer.text)
    assert found
    assert start
    home = "https://app.example"
    assert stranger.get(start[1], base_url=home, headers={"X-Baton-Tab": found[1]}).status_code == 303
    assert stranger.get(start[1], base_url=home).status_code == 401
    assert stranger.get(start[1], base_url=home, headers={"X-Baton-Tab": "x" * 43}).status_code == 401


def test_without_cookies_in_a_window_of_its_own_the_launch_is_refused(browser: Any) -> None:
    asked = browser.authorize()
    stranger = browser.app.test_client()
    answer = stranger.get(f"/callback?code=c&state={asked['state']}", base_url="https://app.example")
    assert answer.status_code == 403
    assert headline(answer) == "The browser refuses cookies for this app"


def test_a_standalone_launch_without_patient_goes_to_the_worklist(browser: Any, ehr: Any) -> None:
    ehr.context = {}
    asked = browser.authorize(launch="")
    assert "launch" not in asked
    assert "launch" not in asked["scope"].split()
    answer = browser.get(f"/callback?code=c&state={asked['state']}")
    assert browser.get(answer.location).location.endswith("/worklist")


def test_an_ehr_launch_without_patient_says_so_and_offers_the_worklist(browser: Any, ehr: Any) -> None:
    ehr.context = {}
    answer = browser.launch()
    assert answer.status_code == 400
    assert headline(answer) == "No patient is open"
    link = re.search(r'href="(/c/[\w-]+/)"', answer.text)
    assert link
    assert browser.get(link[1]).status_code == 303


def test_a_foreign_chart_without_patient_is_of_no_use(browser: Any, ehr: Any, issuers: Issuers) -> None:
    issuers.add(Issuer(ISS, "app-there", "Mercy EHR"))
    ehr.context = {}
    answer = browser.launch()
    assert (answer.status_code, headline(answer)) == (400, "No patient is open")


def test_an_unknown_issuer_is_named_and_may_show_the_page_in_its_frame(browser: Any) -> None:
    answer = browser.get("/launch?iss=https://elsewhere.example/fhir&launch=x")
    assert answer.status_code == 403
    assert headline(answer) == "This EHR is not known here"
    assert "elsewhere.example" in answer.text
    assert answer.headers["Content-Security-Policy"].endswith("frame-ancestors *")


@pytest.mark.parametrize("query", ["", "launch=x", "iss=", "iss=" + "x" * 5000])
def test_a_launch_without_issuer_is_refused(browser: Any, query: str) -> None:
    answer = browser.get(f"/launch?{query}")
    assert answer.status_code == 400
    assert headline(answer) == "The app was opened without what it needs"


def test_a_hostile_issuer_cannot_break_the_page(browser: Any) -> None:
    answer = browser.get("/launch?iss=https://[x<script>/fhir")
    assert answer.status_code == 403
    assert "<script>/" not in answer.text


def test_the_same_answer_twice_is_a_used_launch(browser: Any) -> None:
    asked = browser.authorize()
    assert browser.get(f"/callback?code=c&state={asked['state']}").status_code == 302
    answer = browser.get(f"/callback?code=c&state={asked['state']}")
    assert (answer.status_code, headline(answer)) == (400, "This launch was already used")


def test_an_answer_of_another_authorization_server_is_refused(browser: Any) -> None:
    asked = browser.authorize()
    answer = browser.get(f"/callback?code=c&state={asked['state']}&iss=https://evil.example")
    assert (answer.status_code, headline(answer)) == (403, "This login did not start here")
    asked = browser.authorize()
    assert browser.get(f"/callback?code=c&state={asked['state']}&iss=https://ehr.example").status_code == 302


def test_a_launch_that_took_too_long_has_expired(browser: Any, clock: Any) -> None:
    asked = browser.authorize()
    clock.move(minutes=11)
    answer = browser.get(f"/callback?code=c&state={asked['state']}")
    assert (answer.status_code, headline(answer)) == (400, "The launch took too long")


def test_an_answer_that_nobody_asked_for_is_refused(browser: Any) -> None:
    for state in ("", "unknown", "x" * 9000):
        answer = browser.get(f"/callback?code=c&state={state}")
        assert (answer.status_code, headline(answer)) == (403, "This login did not start here")


def test_an_answer_in_another_browser_is_refused(browser: Any, clock: Any) -> None:
    first = browser.authorize()
    name = browser.get(f"/launch?iss={ISS}").headers.getlist("Set-Cookie")[0].split("=")[0]
    assert name.startswith("__Host-baton-app-launch-")
    other = browser.app.test_client()
    cookie = f"__Host-baton-app-launch-{hashlib.sha256(first['state'].encode()).hexdigest()[:12]}"
    other.set_cookie(cookie, "somebody-else", domain="app.example", secure=True)
    answer = other.get(
        f"/callback?code=c&state={first['state']}", base_url="https://app.example", headers=FRAME
    )
    assert (answer.status_code, headline(answer)) == (403, "This login did not start here")


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        ("access_denied", 403, "The login was not completed"),
        ("temporarily_unavailable", 503, "The EHR does not answer"),
        ("invalid_scope", 403, "The app may not read what it needs"),
        ("invalid_request", 400, "The launch took too long"),
        ("<b>", 403, "The login was not completed"),
    ],
)
def test_an_error_of_the_ehr_becomes_a_page(browser: Any, error: str, status: int, says: str) -> None:
    asked = browser.authorize()
    query = {"error": error, "error_description": "<i>x</i>", "state": asked["state"]}
    answer = browser.client.get("/callback", query_string=query, base_url="https://app.example")
    assert (answer.status_code, headline(answer)) == (status, says)
    assert "<i>" not in answer.text


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (400, "invalid_grant", "The launch took too long"),
        (401, "invalid_client", "The login was not completed"),
        (503, "", "The EHR does not answer"),
        (302, "", "The login was not completed"),
    ],
)
def test_a_refused_code_becomes_a_page(browser: Any, ehr: Any, status: int, error: str, says: str) -> None:
    ehr.token_status, ehr.token_error = status, error
    assert headline(browser.launch()) == says


def test_an_ehr_that_is_down_is_said_before_anyone_logs_in(browser: Any, ehr: Any) -> None:
    ehr.failing["smart"] = 503
    answer = browser.get(f"/launch?iss={ISS}&launch=x")
    assert (answer.status_code, headline(answer)) == (503, "The EHR does not answer")
    assert "Mercy EHR" in answer.text


@pytest.mark.requirement("O3")
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://ehr.example/other"},
        {"aud": "another-app"},
        {"aud": ["app-there", "another-app"]},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1},
        {"exp": None},
        {"iat": 99999999999},
        {"sub": ""},
        {"sub": None},
    ],
)
def test_an_id_token_that_does_not_hold_ends_the_login(browser: Any, ehr: Any, claims: dict[str, Any]) -> None:
    ehr.claims = claims
    answer = browser.launch()
    assert (answer.status_code, headline(answer)) == (403, "The login could not be verified")


def test_an_id_token_of_another_key_ends_the_login(browser: Any, ehr: Any) -> None:
    for kid in ("k1", "unknown"):
        ehr.signing_key = RSAKey.generate_key(2048, {"kid": kid})
        assert headline(browser.launch()) == "The login could not be verified"


def test_a_key_that_was_exchanged_is_fetched_again(browser: Any, ehr: Any, clock: Any) -> None:
    assert browser.launch().status_code == 302
    ehr.key = RSAKey.generate_key(2048, {"kid": "k2", "use": "sig"})
    clock.move(seconds=3)
    assert browser.launch().status_code == 302


def test_unknown_keys_make_the_app_ask_for_the_keys_at_most_every_few_seconds(
    browser: Any, ehr: Any, clock: Any
) -> None:
    assert browser.launch().status_code == 302
    ehr.signing_key = RSAKey.generate_key(2048, {"kid": "unknown"})
    clock.move(minutes=1)
    before = sum(str(request.url).endswith("/jwks") for request in ehr.requests)
    for _ in range(3):
        assert headline(browser.launch()) == "The login could not be verified"
    assert sum(str(request.url).endswith("/jwks") for request in ehr.requests) == before + 1


def test_required_permissions_that_were_cut_stop_the_app_and_are_named(browser: Any, ehr: Any) -> None:
    ehr.scope = "openid fhirUser user/Patient.rs user/AllergyIntolerance.rs"
    answer = browser.launch()
    assert (answer.status_code, headline(answer)) == (403, "The app may not read what it needs")
    assert "medication orders" in answer.text


@pytest.mark.requirement("A7")
def test_permissions_in_the_words_of_smart_v1_are_understood(browser: Any, ehr: Any) -> None:
    ehr.scope = "openid fhirUser user/*.read"
    assert browser.launch().status_code == 302


def test_an_ehr_with_a_shared_secret_gets_it_by_basic(browser: Any, ehr: Any, issuers: Issuers) -> None:
    issuers.add(Issuer(ISS, "app-there", "Mercy EHR", auth="client_secret_basic", client_secret="s:e c"))
    assert browser.launch().status_code == 302
    sent = next(r for r in ehr.requests if str(r.url).endswith("/token"))
    assert base64.b64decode(sent.headers["Authorization"][6:]) == b"app-there:s%3Ae+c"
    assert "client_assertion" not in ehr.token_requests[0]


def test_an_ehr_with_public_clients_gets_the_client_id(browser: Any, ehr: Any, issuers: Issuers) -> None:
    issuers.add(Issuer(ISS, "app-there", "Mercy EHR", auth="none"))
    assert browser.launch().status_code == 302
    assert ehr.token_requests[0]["client_id"] == "app-there"


def test_no_redirect_of_an_ehr_is_followed_with_a_token(browser: Any, ehr: Any) -> None:
    ehr.failing["Practitioner"] = 307
    assert browser.launch().status_code == 302  # a person without a name and a role
    assert all(str(request.url).startswith("https://ehr.example/") for request in ehr.requests)
