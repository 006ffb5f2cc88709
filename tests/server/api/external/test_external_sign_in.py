"""Signing in by another OpenID provider, over real HTTP.

Covers server/auth/external_provider.py, external_sign_in.py, server/api/external_pages.py; OpenID Connect Core
1.0 sections 3.1 and 9, Discovery 1.0, RFC 7636, RFC 8176 (amr).
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from joserfc.jwk import RSAKey

CLIENT = "baton-at-hospital"
SECRET = "the provider gave this"


@pytest.mark.usefixtures("linked")
class TestSigningIn:
    def test_who_is_linked_is_signed_in_by_their_account_here(
        self, elsewhere: Any, smart: Any, store: Any
    ) -> None:
        browser = smart.browser()
        page = elsewhere.whole(browser)
        assert (page.status, page.location) == (303, "/oauth2/account")
        assert "Signed in as" in browser.get("/oauth2/account").text
        row = store.audit_rows(limit=1)[0]
        assert (row.interaction, row.principal, row.username, row.detail) == (
            "login",
            "Practitioner/prac-rn",
            "rn",
            "external",
        )

    def test_the_sign_in_page_offers_it_by_name(self, smart: Any) -> None:
        page = smart.browser().get("/oauth2/login?next=/console")
        assert "Sign in with Hospital login" in page.text
        assert 'href="/oauth2/external/start?next=/console"' in page.text

    def test_the_cookie_of_the_way_is_bound_to_the_host_and_gone_afterwards(
        self, elsewhere: Any, smart: Any, provider: Any
    ) -> None:
        browser = smart.browser()
        page = browser.get("/oauth2/external/start")
        cookie = page.headers["Set-Cookie"]
        assert cookie.startswith("__Host-baton-external=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
        elsewhere.back(browser, provider.agree(page.location))
        assert browser.client.get_cookie("__Host-baton-external", domain="127.0.0.1") is None

    def test_what_an_app_asked_for_goes_on(self, elsewhere: Any, smart: Any, provider: Any) -> None:
        client_id, browser = smart.client(), smart.browser()
        after = parse_qs(urlsplit(smart.authorize(browser, client_id, scope="user/*.rs").location).query)[
            "next"
        ][0]
        page = elsewhere.back(browser, provider.agree(elsewhere.start(browser, after)))
        assert "code" in browser.get(page.location).answer

    def test_a_client_that_asks_for_a_fresh_sign_in_gets_one_there_too(
        self, elsewhere: Any, smart: Any, provider: Any, clock: Any, store: Any
    ) -> None:
        """prompt=login: an old sign-in at the provider does not do."""
        client_id, browser = smart.client(), smart.browser()
        elsewhere.whole(browser)
        clock.advance(minutes=5)
        asked = smart.authorize(browser, client_id, scope="user/*.rs", prompt="login").location
        link_there = re.search(r'href="(/oauth2/external/start[^"]+)"', browser.get(asked).text)[1]  # type: ignore[index]
        provider.claims = {"auth_time": int(clock().timestamp()) - 600}
        journey = browser.get(link_there.replace("&amp;", "&")).location
        assert parse_qs(urlsplit(journey).query)["prompt"] == ["login"]
        assert elsewhere.back(browser, provider.agree(journey)).status == 403
        assert store.audit_rows(limit=1)[0].detail == "auth_time"
        provider.claims = {}
        page = elsewhere.back(browser, provider.agree(browser.get(link_there.replace("&amp;", "&")).location))
        assert "code" in browser.get(page.location).answer

    def test_metadata_and_keys_are_asked_for_once(self, elsewhere: Any, provider: Any) -> None:
        for _ in range(3):
            assert elsewhere.whole().status == 303
        assert provider.asked.count("/.well-known/openid-configuration") == 1
        assert provider.asked.count("/jwks") == 1

    def test_a_provider_that_does_not_name_itself_is_believed_as_its_metadata_says(
        self, elsewhere: Any, provider: Any
    ) -> None:
        provider.names_itself = False
        assert elsewhere.whole().status == 303

    def test_keys_that_were_changed_meanwhile_are_fetched_but_not_all_the_time(
        self, elsewhere: Any, smart: Any, provider: Any, clock: Any
    ) -> None:
        assert elsewhere.whole().status == 303
        provider.key = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
        provider.published = [provider.key]
        browser = smart.browser()
        elsewhere.refused(elsewhere.whole(browser), browser, "kid")
        clock.advance(minutes=1, seconds=1)
        assert elsewhere.whole().status == 303
        assert provider.asked.count("/jwks") == 2

    def test_signing_out_offers_to_sign_out_there(self, elsewhere: Any, smart: Any, provider: Any) -> None:
        browser = smart.browser()
        elsewhere.whole(browser)
        csrf = re.search(r'name="csrf" value="([^"]+)"', browser.get("/oauth2/account").text)[1]  # type: ignore[index]
        page = browser.get(browser.post("/oauth2/logout", {"csrf": csrf}).location)
        assert f"{provider.issuer}/bye?client_id={CLIENT}" in page.text
        assert browser.get("/oauth2/account").status == 303


@pytest.mark.usefixtures("linked")
class TestSecondFactor:
    @pytest.fixture
    def given(self, request: Any) -> dict[str, str]:
        more = getattr(request, "param", {})
        return {"BATON_OIDC_CLIENT_SECRET": SECRET, "BATON_SECOND_FACTOR": "by-role", **more}

    @pytest.mark.parametrize(
        ("amr", "asked"),
        [(None, True), (["pwd"], True), (["pwd", "otp"], True), (["pwd", "mfa"], False), ("mfa", True)],
    )
    def test_ours_is_asked_unless_the_provider_says_it_asked(
        self, elsewhere: Any, smart: Any, provider: Any, amr: Any, asked: bool
    ) -> None:
        provider.claims = {"amr": amr}
        browser = smart.browser()
        page = elsewhere.whole(browser)
        assert page.location.startswith("/oauth2/second-factor") is asked
        assert (browser.cookie == "") is asked

    @pytest.mark.parametrize("given", [{"BATON_OIDC_SECOND_FACTOR": "trusted"}], indirect=True)
    def test_an_operator_may_vouch_for_the_provider(self, elsewhere: Any) -> None:
        assert elsewhere.whole().location == "/oauth2/account"


@pytest.mark.usefixtures("linked")
class TestOwnKeys:
    @pytest.fixture
    def given(self) -> dict[str, str]:
        return {}

    def test_without_a_secret_the_server_proves_itself_by_its_published_keys(
        self, elsewhere: Any, smart: Any, provider: Any
    ) -> None:
        provider.keys_of_client = lambda: json.loads(smart.browser().get("/oauth2/jwks").text)
        assert elsewhere.whole().location == "/oauth2/account"


def test_the_stand_in_answers_over_real_http(provider: Any) -> None:
    answer = requests.get(f"{provider.issuer}/.well-known/openid-configuration", timeout=5)
    assert answer.json()["issuer"] == provider.issuer


def test_a_provider_that_is_away_is_a_page_and_no_failure(elsewhere: Any, smart: Any, provider: Any) -> None:
    provider.server.shutdown()
    provider.server.server_close()
    browser = smart.browser()
    elsewhere.refused(browser.get("/oauth2/external/start"), browser, "discovery")
    assert smart.browser().sign_in().status == 303
