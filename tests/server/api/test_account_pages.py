"""The person's own account: password, second factor, where they are signed in; and being asked anew.

Covers server/api/account_pages.py, enrolment_pages.py, server/auth/sessions.py; OWASP Session Management cheat
sheet (renewal, simultaneous sessions), Cross-Site Request Forgery, NIST SP 800-63B sections 5.1.1.2 and 7.
"""

from __future__ import annotations

import json
import re
from base64 import b32decode
from dataclasses import replace
from typing import Any

import pytest

from server.app import create_app
from server.auth.sessions import session_of
from server.auth.totp import code_of, time_step
from server.logs import Log

PASSWORD = "correct horse battery staple"
NEW = "a quiet river at night"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0"


def csrf(page: Any) -> str:
    return re.search(r'name="csrf" value="([^"]+)"', page.text)[1]  # type: ignore[index]


@pytest.fixture
def nurse(smart: Any) -> Any:
    browser = smart.browser()
    browser.sign_in()
    return browser


def form(browser: Any, path: str, at: str = "/oauth2/account", **fields: str) -> Any:
    return browser.post(path, {"csrf": csrf(browser.get(at))} | fields)


def change(browser: Any, password: str = PASSWORD, new: str = NEW, again: str | None = None) -> Any:
    fields = {"password": password, "new": new, "again": new if again is None else again}
    return form(browser, "/oauth2/account/password", "/oauth2/account/password", **fields)


def set_up(browser: Any, clock: Any) -> bytes:
    """Set up a second factor from the account page; the secret."""
    page = browser.get(form(browser, "/oauth2/account/second-factor", action="begin").location)
    secret = b32decode(re.search(r'class="secret">([A-Z2-7 ]+)<', page.text)[1].replace(" ", ""))  # type: ignore[index]
    done = browser.post(
        "/oauth2/second-factor/set-up",
        {"csrf": csrf(page), "code": code_of(secret, time_step(clock()))},
    )
    assert done.status == 200, done.text
    clock.advance(minutes=1)
    return secret


class TestPassword:
    def test_the_new_one_signs_in_and_the_old_one_does_not(self, smart: Any, nurse: Any) -> None:
        assert change(nurse).location == "/oauth2/account?did=changed"
        assert "Your password is changed" in nurse.get("/oauth2/account?did=changed").text
        assert smart.browser().sign_in("rn", NEW).status == 303
        assert smart.browser().sign_in("rn", PASSWORD).status == 401

    def test_everything_that_the_old_one_had_opened_ends_but_this_browser(self, smart: Any, nurse: Any) -> None:
        elsewhere, before = smart.browser(), nurse.cookie
        elsewhere.sign_in()
        token = smart.tokens(smart.client(trusted=True))["access_token"]
        assert smart.fhir("Patient/one", token).status == 200
        change(nurse)
        assert nurse.get("/oauth2/account").status == 200
        assert nurse.cookie != before
        assert elsewhere.get("/oauth2/account").status == 303
        assert smart.fhir("Patient/one", token).status == 401

    @pytest.mark.parametrize(
        ("fields", "status", "says"),
        [
            ({"password": "wrong"}, 401, "The password is not right"),
            ({"again": "something else"}, 422, "two different ways"),
            ({"new": "short"}, 422, "fewer than 12"),
            ({"new": "x" * 1025}, 422, "more than 1024"),
            ({"new": "Password1234!"}, 422, "guessed first"),
            ({"new": ""}, 422, "fewer than 12"),
        ],
    )
    def test_what_cannot_be_is_told_and_changes_nothing(
        self, smart: Any, nurse: Any, fields: dict[str, str], status: int, says: str
    ) -> None:
        page = change(nurse, **fields)
        assert page.status == status
        assert says in page.text
        assert all(value not in page.text for value in fields.values() if len(value) > 6)
        assert smart.browser().sign_in("rn", PASSWORD).status == 303

    def test_a_session_left_open_is_no_place_to_guess_the_password(self, nurse: Any) -> None:
        statuses = [change(nurse, password="wrong").status for _ in range(8)]
        assert statuses == [401] * 6 + [429] * 2

    def test_both_outcomes_are_audited_as_the_persons_own(self, nurse: Any, store: Any) -> None:
        change(nurse, password="wrong")
        change(nurse)
        rows = [(row.interaction, row.outcome, row.principal) for row in store.audit_rows(limit=4)]
        assert rows == [
            ("login", 200, "Practitioner/prac-rn"),
            ("user-password", 200, "Practitioner/prac-rn"),
            ("password-refused", 401, "User/rn"),
            ("login", 200, "Practitioner/prac-rn"),
        ]


class TestLogins:
    def test_each_place_is_shown_and_can_be_ended_from_another(
        self, smart: Any, nurse: Any, store: Any
    ) -> None:
        other = smart.browser()
        page = other.get("/oauth2/login?again=1")
        fields = [*page.fields, ("username", "rn"), ("password", PASSWORD)]
        other.post("/oauth2/login", fields, User_Agent=FIREFOX)
        shown = nurse.get("/oauth2/account")
        assert "Firefox on Windows" in shown.text
        assert shown.text.count("(this one)") == 1
        key = re.search(r'name="session" value="([0-9a-f]+)"', shown.text)[1]  # type: ignore[index]
        assert form(nurse, "/oauth2/account/sessions", session=key).location == "/oauth2/account?did=ended"
        assert other.get("/oauth2/account").status == 303
        assert nurse.get("/oauth2/account").status == 200
        row = store.audit_rows(limit=1)[0]
        assert (row.interaction, row.detail) == ("session-end", "1")

    def test_all_others_end_at_once_with_what_programs_had_from_them(self, smart: Any, nurse: Any) -> None:
        others = [smart.browser() for _ in range(3)]
        for browser in others:
            browser.sign_in()
        client_id = smart.client()
        code = smart.authorize(others[0], client_id, scope="user/Patient.rs").answer["code"]
        token = json.loads(smart.exchange(client_id, code).text)["access_token"]
        assert smart.fhir("Patient/one", token).status == 200
        form(nurse, "/oauth2/account/sessions", others="1")
        assert [browser.get("/oauth2/account").status for browser in others] == [303] * 3
        assert smart.fhir("Patient/one", token).status == 401
        assert nurse.get("/oauth2/account").status == 200

    def test_nobody_ends_the_session_of_another_person(self, smart: Any, nurse: Any) -> None:
        engineer = smart.browser()
        engineer.sign_in("engineer")
        theirs = session_of(smart.context, engineer.cookie).session_hash.hex()
        for key in (theirs, "", "zz", "00" * 32):
            form(nurse, "/oauth2/account/sessions", session=key)
        assert engineer.get("/oauth2/account").status == 200

    def test_sessions_that_are_over_are_not_shown(self, smart: Any, nurse: Any, clock: Any) -> None:
        smart.browser().sign_in()
        clock.advance(minutes=10)
        nurse.get("/oauth2/account")
        clock.advance(minutes=10)
        assert nurse.get("/oauth2/account").text.count("last used") == 1


class TestSecondFactor:
    def test_it_is_set_up_from_the_account_and_asked_for_from_then_on(
        self, smart: Any, nurse: Any, clock: Any
    ) -> None:
        other, before = smart.browser(), nurse.cookie
        other.sign_in()
        secret = set_up(nurse, clock)
        assert nurse.cookie != before, "another session id once more is proved"
        stale = smart.browser()
        stale.client.set_cookie("__Host-baton-web", before, domain="127.0.0.1")
        assert stale.get("/oauth2/account").status == 303
        assert other.get("/oauth2/account").status == 303, "what a password alone had opened ends"
        browser = smart.browser()
        asked = browser.get(browser.sign_in().location)
        code = code_of(secret, time_step(clock()))
        assert browser.post("/oauth2/second-factor", [*asked.fields, ("code", code)]).status == 303

    def test_another_app_takes_over_only_with_its_first_code(self, smart: Any, nurse: Any, clock: Any) -> None:
        first = set_up(nurse, clock)
        form(nurse, "/oauth2/account/second-factor", action="begin")
        browser = smart.browser()
        asked = browser.get(browser.sign_in().location)
        code = code_of(first, time_step(clock()))
        assert browser.post("/oauth2/second-factor", [*asked.fields, ("code", code)]).status == 303

    def test_new_recovery_codes_make_the_old_ones_worthless(self, smart: Any, nurse: Any, clock: Any) -> None:
        set_up(nurse, clock)
        seen = []
        for _ in range(2):
            page = form(nurse, "/oauth2/account/second-factor", action="recovery")
            seen.append(re.findall(r"<code>([a-z0-9]{5}-[a-z0-9]{5})</code>", page.text))
        assert len(set(seen[0]) | set(seen[1])) == 20
        for code, status in ((seen[0][0], 401), (seen[1][0], 303)):
            browser = smart.browser()
            asked = browser.get(browser.sign_in().location)
            assert browser.post("/oauth2/second-factor", [*asked.fields, ("code", code)]).status == status

    def test_it_is_turned_off_only_where_the_role_needs_none(
        self, smart: Any, nurse: Any, clock: Any, settings: Any, store: Any
    ) -> None:
        set_up(nurse, clock)
        strict = create_app(
            replace(settings, second_factor="required"), store=store, clock=clock, log=Log("ERROR")
        )
        there = type(smart)(strict, smart.context, smart.keys).browser()
        there.client.set_cookie("__Host-baton-web", nurse.cookie, domain="127.0.0.1")
        assert 'value="remove"' not in there.get("/oauth2/account").text
        form(there, "/oauth2/account/second-factor", action="remove")
        assert smart.context.store.sign_in.second_factor("rn").secret
        assert form(nurse, "/oauth2/account/second-factor", action="remove").location.endswith("did=removed")
        assert smart.context.store.sign_in.second_factor("rn") is None
        assert store.audit_rows(limit=1)[0].interaction == "second-factor-remove"


class TestBeingAskedAnew:
    """Five minutes after the last proof, what is dangerous asks for another one."""

    DANGEROUS = (
        ("/oauth2/account/second-factor", {"action": "begin"}),
        ("/oauth2/account/second-factor", {"action": "recovery"}),
        ("/oauth2/account/second-factor", {"action": "remove"}),
    )

    @pytest.mark.parametrize(("path", "fields"), DANGEROUS)
    def test_a_change_of_how_one_signs_in_asks_who_it_is(
        self, nurse: Any, clock: Any, path: str, fields: dict[str, str]
    ) -> None:
        set_up(nurse, clock)
        clock.advance(minutes=6)
        answer = form(nurse, path, **fields)
        assert answer.location == "/oauth2/proof?next=%2Foauth2%2Faccount"

    def test_the_password_proves_it_where_there_is_no_second_factor_and_changes_the_session_id(
        self, smart: Any, nurse: Any, clock: Any, store: Any
    ) -> None:
        clock.advance(minutes=6)
        before = nurse.cookie
        wrong = form(nurse, "/oauth2/proof", "/oauth2/proof", typed="wrong")
        assert wrong.status == 401
        answer = form(nurse, "/oauth2/proof", "/oauth2/proof", typed=PASSWORD, next="/oauth2/account")
        assert (answer.status, answer.location) == (303, "/oauth2/account")
        assert nurse.cookie != before
        stale = smart.browser()
        stale.client.set_cookie("__Host-baton-web", before, domain="127.0.0.1")
        assert stale.get("/oauth2/account").status == 303
        assert (
            form(nurse, "/oauth2/account/second-factor", action="begin").location
            == "/oauth2/second-factor/set-up"
        )
        rows = [(row.interaction, row.outcome, row.detail) for row in store.audit_rows(limit=2)]
        assert rows == [("proof", 200, "password"), ("proof-refused", 401, "")]

    def test_with_a_second_factor_the_password_is_no_proof(self, nurse: Any, clock: Any) -> None:
        secret = set_up(nurse, clock)
        clock.advance(minutes=6)
        assert form(nurse, "/oauth2/proof", "/oauth2/proof", typed=PASSWORD).status == 401
        code = code_of(secret, time_step(clock()))
        assert form(nurse, "/oauth2/proof", "/oauth2/proof", typed=code).status == 303
        clock.advance(minutes=6)
        assert form(nurse, "/oauth2/proof", "/oauth2/proof", typed=code).status == 401

    def test_a_new_session_id_keeps_what_came_from_the_login(self, smart: Any, nurse: Any, clock: Any) -> None:
        """A launch of before and its online access belong to the login, whatever the cookie is now."""
        client_id = smart.client()
        secret = set_up(nurse, clock)
        launch = smart.launch(nurse, client_id, patient="one")
        code = smart.authorize(smart.browser(), client_id, launch=launch, scope="launch patient/*.rs").answer[
            "code"
        ]
        token = json.loads(smart.exchange(client_id, code).text)["access_token"]
        before = nurse.cookie
        clock.advance(minutes=6)
        typed = code_of(secret, time_step(clock()))
        form(nurse, "/oauth2/proof", "/oauth2/proof", typed=typed)
        assert nurse.cookie != before
        assert smart.fhir("Patient/one", token).status == 200
        nurse.post("/oauth2/logout", {"csrf": csrf(nurse.get("/oauth2/account"))})
        assert smart.fhir("Patient/one", token).status == 401

    def test_being_asked_leads_to_no_other_site(self, nurse: Any, clock: Any) -> None:
        clock.advance(minutes=6)
        answer = form(nurse, "/oauth2/proof", "/oauth2/proof", typed=PASSWORD, next="//evil.example")
        assert answer.location == "/oauth2/grants"


@pytest.mark.parametrize(
    "path",
    ["account/password", "account/second-factor", "account/sessions", "account/external", "proof"],
)
def test_every_form_needs_the_token_of_its_session(smart: Any, nurse: Any, path: str) -> None:
    engineer = smart.browser()
    engineer.sign_in("engineer")
    theirs = csrf(engineer.get("/oauth2/account"))
    for token in ("", "x", theirs):
        assert nurse.post(f"/oauth2/{path}", {"csrf": token}).status == 403
    assert smart.browser().post(f"/oauth2/{path}", {"csrf": theirs}).status == 403


@pytest.mark.parametrize(
    "path", ["account", "account/password", "proof", "second-factor", "second-factor/set-up"]
)
def test_without_a_session_each_page_leads_to_the_sign_in(smart: Any, path: str) -> None:
    answer = smart.browser().get(f"/oauth2/{path}")
    assert answer.status == 303
    assert answer.location.startswith("/oauth2/login?next=")


@pytest.mark.parametrize("path", ["account", "account/password", "login?again=1", "proof"])
def test_no_page_is_kept_framed_or_scripted(nurse: Any, clock: Any, path: str) -> None:
    clock.advance(minutes=6)
    page = nurse.get(f"/oauth2/{path}")
    assert page.status == 200
    assert page.headers["Cache-Control"] == "no-store"
    policy = page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    assert "<script" not in page.text
    assert " style=" not in page.text
