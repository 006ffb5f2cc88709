"""Guessing is slowed down: passwords by account and by address, clients that cannot prove who they are.

Covers server/auth/throttle.py, server/auth/token_throttle.py, server/policy/throttling.json; RFC 6585
section 4, OWASP Authentication cheat sheet (account lockout, no enumeration).
"""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from server.app import create_app
from server.auth.throttle import Key, Throttled, begin, require_open, succeeded
from server.logs import Log

FREE = 5  # of `password`
SPLIT = 'role="alert"'


def told(page: Any) -> str:
    return page.text.partition(SPLIT)[2].partition("</p>")[0]


class TestByAccount:
    def test_after_five_failures_the_wait_grows_and_the_right_password_has_to_wait_too(
        self, smart: Any, clock: Any
    ) -> None:
        for _ in range(FREE + 1):
            assert smart.browser().sign_in("rn", "wrong").status == 401
        page = smart.browser().sign_in("rn")
        assert (page.status, page.headers["Retry-After"]) == (429, "10")
        assert "Wait 10 seconds" in page.text
        assert page.headers["Cache-Control"] == "no-store"
        clock.advance(seconds=11)
        assert smart.browser().sign_in("rn", "wrong").status == 401
        assert smart.browser().sign_in("rn").headers["Retry-After"] == "20"
        clock.advance(seconds=21)
        assert smart.browser().sign_in("rn").status == 303

    def test_being_right_clears_the_count(self, smart: Any) -> None:
        for _ in range(3):
            for _ in range(FREE):
                assert smart.browser().sign_in("rn", "wrong").status == 401
            assert smart.browser().sign_in("rn").status == 303

    def test_an_attempt_that_had_to_wait_makes_the_wait_no_longer(self, smart: Any, clock: Any) -> None:
        for _ in range(FREE + 1):
            smart.browser().sign_in("rn", "wrong")
        for _ in range(20):
            assert smart.browser().sign_in("rn", "wrong").status == 429
        clock.advance(seconds=11)
        assert smart.browser().sign_in("rn").status == 303

    def test_an_account_that_does_not_exist_is_slowed_down_and_told_alike(self, smart: Any) -> None:
        pages = {}
        for username in ("rn", "nobody"):
            pages[username] = [smart.browser().sign_in(username, "wrong") for _ in range(FREE + 3)]
        statuses = {name: [page.status for page in seen] for name, seen in pages.items()}
        assert statuses["rn"] == statuses["nobody"] == [401] * (FREE + 1) + [429] * 2
        assert [told(page) for page in pages["rn"]] == [told(page) for page in pages["nobody"]]

    def test_another_process_knows_of_the_failures(
        self, smart: Any, settings: Any, store: Any, clock: Any
    ) -> None:
        other = create_app(settings, store=store, clock=clock, log=Log("ERROR"))
        smart_there = type(smart)(other, smart.context, smart.keys)
        for _ in range(FREE + 1):
            smart.browser().sign_in("rn", "wrong")
        assert smart_there.browser().sign_in("rn").status == 429

    def test_many_at_once_get_no_more_tries_than_one_after_another(self, smart: Any) -> None:
        def attempt(_: int) -> bool:
            try:
                begin(smart.context, Key("password", "rn"))
            except Throttled:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(attempt, range(24))).count(True) == FREE + 1

    def test_what_was_typed_as_a_name_is_kept_nowhere(self, smart: Any, store: Any) -> None:
        for _ in range(FREE + 2):
            smart.browser().sign_in("my secret password", "x")
        rows = store.audit_rows(limit=20)
        assert {row.interaction for row in rows} >= {"login-refused", "login-throttled"}
        assert "my secret" not in str(rows)

    def test_closing_an_account_is_audited(self, smart: Any, store: Any) -> None:
        for _ in range(FREE + 2):
            smart.browser().sign_in("rn", "wrong")
        rows = [(row.interaction, row.outcome, row.username) for row in store.audit_rows(limit=4)]
        assert rows == [
            ("login-throttled", 429, "rn"),
            ("login-locked", 401, "rn"),
            ("login-refused", 401, "rn"),
            ("login-refused", 401, "rn"),
        ]


class TestByAddress:
    def test_one_address_cannot_go_through_many_accounts(self, smart: Any, clock: Any) -> None:
        statuses = [smart.browser().sign_in(f"user{number}", "wrong").status for number in range(33)]
        assert statuses == [401] * 31 + [429] * 2
        assert smart.browser().sign_in("rn").status == 429
        clock.advance(seconds=16)
        assert smart.browser().sign_in("rn").status == 303

    def test_people_who_sign_in_rightly_never_close_their_address(self, smart: Any) -> None:
        for _ in range(40):
            assert smart.browser().sign_in("rn").status == 303

    def test_being_right_forgives_nothing_but_itself(self, smart: Any) -> None:
        for number in range(30):
            smart.browser().sign_in(f"user{number}", "wrong")
            assert smart.browser().sign_in("rn").status == 303
        assert smart.browser().sign_in("user30", "wrong").status == 401
        assert smart.browser().sign_in("rn").status == 429

    def test_an_address_is_known_by_trusted_proxies_alone(self, smart: Any) -> None:
        """X-Forwarded-For of anybody else changes nothing."""
        for number in range(31):
            browser = smart.browser()
            page = browser.get("/oauth2/login?again=1")
            fields = [*page.fields, ("username", f"user{number}"), ("password", "wrong")]
            browser.post("/oauth2/login", fields, X_Forwarded_For=f"203.0.113.{number}")
        assert smart.browser().sign_in("rn").status == 429

    def test_a_count_taken_back_opens_what_it_had_closed(self, smart: Any) -> None:
        key = Key("sign-in-address", "192.0.2.1")
        for _ in range(31):
            begin(smart.context, key)
        with pytest.raises(Throttled):
            begin(smart.context, key)
        succeeded(smart.context, take_back=(key,))
        begin(smart.context, key)

    def test_who_comes_at_the_same_moment_as_another_does_not_wait_for_what_is_open(
        self, smart: Any, clock: Any
    ) -> None:
        """Of two that are counted at once, one has looked at the clock before the other was counted."""
        key = Key("sign-in-address", "192.0.2.1")
        for _ in range(15):
            clock.advance(milliseconds=5)
            begin(smart.context, key)
            clock.advance(milliseconds=-5)
            require_open(smart.context, key)
            begin(smart.context, key)
        begin(smart.context, key)
        clock.advance(milliseconds=-5)
        with pytest.raises(Throttled):
            require_open(smart.context, key)
        with pytest.raises(Throttled):
            begin(smart.context, key)


class TestClients:
    @pytest.mark.parametrize("endpoint", ["token", "revoke", "introspect"])
    def test_failed_authentications_close_the_client_to_that_address(
        self, smart: Any, clock: Any, oauth_error: Any, endpoint: str
    ) -> None:
        client_id = smart.client("confidential-symmetric")
        form = {"grant_type": "authorization_code", "code": "x", "token": "x", "redirect_uri": "x"}
        wrong = {"Authorization": basic(client_id, "wrong")}
        for _ in range(11):
            oauth_error(smart.post(f"/oauth2/{endpoint}", form, **wrong), 401, "invalid_client")
        right = {"Authorization": basic(client_id, "client-secret")}
        page = smart.post(f"/oauth2/{endpoint}", form, **right)
        oauth_error(page, 429, "slow_down")
        assert page.headers["Retry-After"] == "5"
        other = {"Authorization": basic(smart.client("confidential-symmetric"), "client-secret")}
        assert smart.post(f"/oauth2/{endpoint}", form, **other).status != 429
        clock.advance(seconds=6)
        assert smart.post(f"/oauth2/{endpoint}", form, **right).status in (200, 400)

    def test_a_client_at_another_address_is_not_closed(self, smart: Any) -> None:
        client_id = smart.client("confidential-symmetric")
        for _ in range(12):
            smart.token(grant_type="authorization_code", code="x", basic=f"{client_id}:wrong")
        there = smart.app.test_client().post(
            "/oauth2/token",
            base_url="http://127.0.0.1:8000",
            data={"grant_type": "authorization_code", "code": "x"},
            headers={"Authorization": basic(client_id, "client-secret")},
            environ_base={"REMOTE_ADDR": "192.0.2.9"},
        )
        assert there.status_code == 400

    def test_one_address_cannot_go_through_many_clients(self, smart: Any) -> None:
        statuses = [
            smart.token(grant_type="client_credentials", basic=f"client{number}:x").status
            for number in range(63)
        ]
        assert statuses == [401] * 61 + [429] * 2

    def test_a_client_is_counted_by_whatever_name_it_gives(self, smart: Any) -> None:
        client_id = smart.client("confidential-asymmetric", backend=True, scope="system/*.rs")
        for _ in range(11):
            wrong = smart.assertion(client_id, aud="https://other.example")
            form = {
                "grant_type": "client_credentials",
                "scope": "system/*.rs",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            }
            assert smart.token(**form, client_assertion=wrong).status == 401
        assert smart.token(**form, client_assertion=smart.assertion(client_id)).status == 429

    def test_a_wrong_code_of_a_client_that_proved_itself_is_no_failed_authentication(self, smart: Any) -> None:
        client_id = smart.client("confidential-symmetric")
        for _ in range(15):
            page = smart.token(grant_type="authorization_code", code="x", basic=f"{client_id}:client-secret")
            assert page.status == 400

    def test_slowing_down_is_audited(self, smart: Any, store: Any) -> None:
        client_id = smart.client("confidential-symmetric")
        for _ in range(12):
            smart.token(grant_type="authorization_code", code="x", basic=f"{client_id}:wrong")
        row = store.audit_rows(limit=1)[0]
        assert (row.interaction, row.outcome, row.detail) == ("token-refused", 429, "slow_down")

    @pytest.mark.parametrize(
        "assertion",
        ["", ".", "a.b.c", "a.bm90IGpzb24.c", "a.WzFd.c", "a.eyJpc3MiOlsxXX0.c", "é.é.é", "." * 500],
    )
    def test_an_assertion_that_is_none_is_counted_and_refused(self, smart: Any, assertion: str) -> None:
        page = smart.token(grant_type="client_credentials", client_assertion=assertion)
        assert page.status in (400, 401)
        assert "error" in json.loads(page.text)


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()
