"""What another provider, or somebody between it and us, may try.

Covers server/auth/external_provider.py, external_sign_in.py, server/api/external_pages.py; RFC 9700 section 4.4
and RFC 9207 (mix-up), 4.5 (code injection), 4.7 (CSRF), RFC 8725 (algorithms, keys), OWASP SSRF.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc.jwk import RSAKey


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.usefixtures("linked")
class TestAttacks:
    def test_an_answer_is_good_once(self, elsewhere: Any, smart: Any, provider: Any) -> None:
        browser = smart.browser()
        answer = provider.agree(elsewhere.start(browser))
        held = browser.client.get_cookie("__Host-baton-external", domain="127.0.0.1").value
        assert elsewhere.back(browser, answer).status == 303
        again = smart.browser()
        again.client.set_cookie("__Host-baton-external", held, domain="127.0.0.1")
        elsewhere.refused(elsewhere.back(again, answer), again, "state")

    def test_an_answer_is_good_in_the_browser_that_asked_alone(
        self, elsewhere: Any, smart: Any, provider: Any
    ) -> None:
        """Somebody else's code in my browser: login CSRF."""
        attacker, victim = smart.browser(), smart.browser()
        answer = provider.agree(elsewhere.start(attacker))
        elsewhere.refused(elsewhere.back(victim, answer), victim, "state")
        elsewhere.start(victim)
        elsewhere.refused(elsewhere.back(victim, answer), victim, "state")

    @pytest.mark.parametrize("state", ["", "x", "é", "0" * 64])
    def test_another_state_is_refused(self, elsewhere: Any, smart: Any, provider: Any, state: str) -> None:
        browser = smart.browser()
        elsewhere.refused(
            elsewhere.back(browser, provider.agree(elsewhere.start(browser)) | {"state": state}),
            browser,
            "state",
        )

    def test_an_answer_after_ten_minutes_is_refused(
        self, elsewhere: Any, smart: Any, provider: Any, clock: Any
    ) -> None:
        browser = smart.browser()
        answer = provider.agree(elsewhere.start(browser))
        clock.advance(minutes=10)
        elsewhere.refused(elsewhere.back(browser, answer), browser, "state")

    @pytest.mark.parametrize("issuer", ["https://evil.example", "", None])
    def test_an_answer_of_another_provider_is_refused_before_its_code_goes_anywhere(
        self, elsewhere: Any, smart: Any, provider: Any, issuer: str | None
    ) -> None:
        """Mix-up: the code would be sent to whoever was not asked."""
        browser = smart.browser()
        answer = provider.agree(elsewhere.start(browser)) | {"iss": issuer}
        page = elsewhere.back(browser, {name: value for name, value in answer.items() if value is not None})
        elsewhere.refused(page, browser, "issuer")
        assert "/token" not in provider.asked

    def test_a_code_of_another_journey_does_not_fit_its_verifier(
        self, elsewhere: Any, smart: Any, provider: Any
    ) -> None:
        """Code injection: PKCE."""
        theirs, mine = smart.browser(), smart.browser()
        stolen = provider.agree(elsewhere.start(theirs))["code"]
        elsewhere.refused(
            elsewhere.back(mine, provider.agree(elsewhere.start(mine)) | {"code": stolen}), mine, "token"
        )

    @pytest.mark.parametrize(
        ("claims", "rule"),
        [
            ({"nonce": "another"}, "nonce"),
            ({"nonce": None}, "nonce"),
            ({"aud": "another client"}, "aud"),
            ({"azp": "another client"}, "azp"),
            ({"iss": "https://evil.example"}, "iss"),
            ({"exp": 1}, "exp"),
            ({"iat": 1}, "iat"),
            ({"sub": None}, "sub"),
        ],
    )
    def test_a_token_that_is_not_for_this_sign_in_is_refused(
        self, elsewhere: Any, smart: Any, provider: Any, claims: dict[str, Any], rule: str
    ) -> None:
        provider.claims = claims
        browser = smart.browser()
        elsewhere.refused(elsewhere.whole(browser), browser, rule)

    def test_algorithms_are_pinned(self, elsewhere: Any, smart: Any, provider: Any, store: Any) -> None:
        public = provider.key.as_pem(private=False)

        def by_hand(algorithm: str, sign: Any) -> Any:
            def make(claims: dict[str, Any]) -> str:
                parts = ({"alg": algorithm, "kid": "one"}, claims)
                text = ".".join(encoded(json.dumps(part).encode()) for part in parts)
                return f"{text}.{encoded(sign(text.encode()))}"

            return make

        shared_secret = by_hand("HS256", lambda text: hmac.digest(public, text, "sha256"))
        unsigned = by_hand("none", lambda text: b"")
        for sign in (shared_secret, unsigned):
            provider.sign = sign
            browser = smart.browser()
            page = elsewhere.whole(browser)
            assert page.status == 403
            assert browser.cookie == ""
        assert store.audit_rows(limit=1)[0].detail in ("alg", "form")

    def test_a_key_that_nobody_published_verifies_nothing(
        self, elsewhere: Any, smart: Any, provider: Any
    ) -> None:
        provider.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        browser = smart.browser()
        elsewhere.refused(elsewhere.whole(browser), browser, "signature")

    @pytest.mark.parametrize(
        "sign", [lambda claims: "x", lambda claims: "", lambda claims: None, lambda claims: 7]
    )
    def test_what_is_no_token_is_refused(self, elsewhere: Any, provider: Any, sign: Any) -> None:
        provider.sign = sign
        assert elsewhere.whole().status == 403

    @pytest.mark.parametrize(
        "metadata",
        [
            {"issuer": "https://evil.example"},
            {"authorization_endpoint": "javascript:alert(1)"},
            {"token_endpoint": None},
            {"jwks_uri": "file:///etc/passwd"},
            {"authorization_endpoint": "http://127.0.0.1/a#b"},
        ],
    )
    def test_metadata_that_is_not_the_providers_own_leads_nowhere(
        self, elsewhere: Any, smart: Any, provider: Any, metadata: dict[str, Any]
    ) -> None:
        provider.metadata = metadata
        browser = smart.browser()
        page = browser.get("/oauth2/external/start")
        assert "Location" not in page.headers
        elsewhere.refused(page, browser, "discovery")

    def test_no_secret_is_sent_inside_the_network_that_metadata_names(
        self, elsewhere: Any, smart: Any, provider: Any
    ) -> None:
        provider.metadata = {"token_endpoint": "http://10.1.2.3/token", "jwks_uri": "http://169.254.169.254/"}
        browser = smart.browser()
        elsewhere.refused(elsewhere.whole(browser), browser, "token")

    def test_an_error_of_the_provider_is_told_in_our_words(
        self, elsewhere: Any, smart: Any, provider: Any
    ) -> None:
        for error, rule in (("access_denied", "access_denied"), ("<script>alert(1)</script>", "error")):
            browser = smart.browser()
            answer = provider.agree(elsewhere.start(browser))
            page = elsewhere.back(browser, {"error": error, "state": answer["state"], "iss": provider.issuer})
            assert "<script" not in page.text
            elsewhere.refused(page, browser, rule)

    def test_a_parameter_given_twice_means_nothing(self, elsewhere: Any, smart: Any, provider: Any) -> None:
        browser = smart.browser()
        answer = provider.agree(elsewhere.start(browser))
        page = browser.get(
            "/oauth2/external/callback?" + urlencode([*answer.items(), ("state", answer["state"])])
        )
        elsewhere.refused(page, browser, "state")

    def test_another_site_starts_no_sign_in(self, smart: Any) -> None:
        page = smart.browser().get("/oauth2/external/start", Sec_Fetch_Site="cross-site")
        assert (page.status, page.location) == (303, "/oauth2/login")

    @pytest.mark.parametrize("next", ["https://evil.example/", "//evil.example", "/\\evil.example"])
    def test_it_leads_to_no_other_site(self, elsewhere: Any, smart: Any, provider: Any, next: str) -> None:
        browser = smart.browser()
        assert (
            elsewhere.back(browser, provider.agree(elsewhere.start(browser, next))).location == "/oauth2/grants"
        )

    def test_a_session_of_before_is_not_the_one_afterwards(self, elsewhere: Any, smart: Any) -> None:
        """Fixation: whoever knew the old id knows nothing."""
        browser = smart.browser()
        browser.sign_in("engineer")
        known = browser.cookie
        elsewhere.whole(browser)
        assert browser.cookie != known
        stale = smart.browser()
        stale.client.set_cookie("__Host-baton-web", known, domain="127.0.0.1")
        assert stale.get("/oauth2/account").status == 303
