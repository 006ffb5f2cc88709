"""Whose account a sign-in elsewhere opens, and how the two are linked.

Covers server/auth/external_identities.py, external_sign_in.py; OpenID Connect Core 1.0 section 5.7.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from server.auth.accounts import disable_account
from server.auth.external_identities import account_of

SUBJECT = "248289761001"


class TestAccounts:
    def test_who_is_not_linked_is_told_their_identifier_and_stays_out(
        self, elsewhere: Any, smart: Any, provider: Any, store: Any
    ) -> None:
        provider.claims = {"email": "rn", "email_verified": True, "preferred_username": "rn"}
        browser = smart.browser()
        page = elsewhere.whole(browser)
        elsewhere.refused(page, browser, "not-linked")
        assert SUBJECT in page.text
        assert SUBJECT not in str(store.audit_rows(limit=5))

    @pytest.mark.usefixtures("linked")
    def test_the_same_subject_of_another_issuer_is_somebody_else(self, smart: Any, provider: Any) -> None:
        assert account_of(smart.context, provider.issuer, SUBJECT).username == "rn"
        assert account_of(smart.context, "https://other.example", SUBJECT) is None

    @pytest.mark.usefixtures("linked")
    def test_a_disabled_account_stays_out(self, elsewhere: Any, smart: Any) -> None:
        disable_account(smart.context, "rn")
        browser = smart.browser()
        elsewhere.refused(elsewhere.whole(browser), browser, "disabled")

    @pytest.mark.usefixtures("linked")
    def test_the_role_is_that_of_the_account_whatever_the_token_says(
        self, elsewhere: Any, smart: Any, provider: Any
    ) -> None:
        provider.claims = {"role": "engineer", "groups": ["engineer"]}
        browser = smart.browser()
        elsewhere.whole(browser)
        assert browser.get("/console/resources").status == 403

    def test_a_person_connects_their_own_account_and_signs_in_by_it(
        self, elsewhere: Any, smart: Any, provider: Any, store: Any
    ) -> None:
        browser = smart.browser()
        browser.sign_in()
        csrf = re.search(r'name="csrf" value="([^"]+)"', browser.get("/oauth2/account").text)[1]  # type: ignore[index]
        page = browser.post("/oauth2/account/external", {"csrf": csrf, "action": "link"})
        url = re.search(rf'href="({re.escape(provider.issuer)}/authorize[^"]+)"', page.text)[1]  # type: ignore[index]
        arrived = elsewhere.back(browser, provider.agree(url.replace("&amp;", "&")))
        assert arrived.location == "/oauth2/account?did=linked"
        rows = [(row.interaction, row.principal) for row in store.audit_rows(limit=1)]
        assert rows == [("identity-link", "Practitioner/prac-rn")]
        assert elsewhere.whole().status == 303

    def test_a_journey_to_connect_belongs_to_the_login_that_began_it(
        self, elsewhere: Any, smart: Any, provider: Any
    ) -> None:
        """The attacker's identity must not become the victim's."""
        attacker = smart.browser()
        attacker.sign_in("engineer")
        csrf = re.search(r'name="csrf" value="([^"]+)"', attacker.get("/oauth2/account").text)[1]  # type: ignore[index]
        page = attacker.post("/oauth2/account/external", {"csrf": csrf, "action": "link"})
        url = re.search(r'href="([^"]+/authorize[^"]+)"', page.text)[1].replace("&amp;", "&")  # type: ignore[index]
        held = attacker.client.get_cookie("__Host-baton-external", domain="127.0.0.1").value
        victim = smart.browser()
        victim.sign_in()
        victim.client.set_cookie("__Host-baton-external", held, domain="127.0.0.1")
        assert elsewhere.back(victim, provider.agree(url)).status == 403
        assert smart.context.store.sign_in.identities() == ()

    @pytest.mark.usefixtures("linked")
    def test_being_asked_anew_goes_by_the_provider_where_there_is_no_password(
        self, elsewhere: Any, smart: Any, provider: Any, clock: Any
    ) -> None:
        smart.context.rows.put_user(replace(smart.context.rows.user("rn"), password_hash=""))
        browser = smart.browser()
        elsewhere.whole(browser)
        clock.advance(minutes=6)
        page = browser.get("/oauth2/proof?next=/oauth2/account")
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]  # type: ignore[index]
        sent = {"csrf": csrf, "external": "1", "next": "/oauth2/account"}
        for stale, status in ((True, 403), (False, 303)):
            url = re.search(r'href="([^"]+/authorize[^"]+)"', browser.post("/oauth2/proof", sent).text)[1]  # type: ignore[index]
            asked = parse_qs(urlsplit(url.replace("&amp;", "&")).query)
            assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
            old = int(clock().timestamp()) - 600
            provider.claims = {"auth_time": old} if stale else {}
            before = browser.cookie
            page = elsewhere.back(browser, provider.agree(url.replace("&amp;", "&")))
            assert page.status == status
            assert (browser.cookie != before) is not stale
