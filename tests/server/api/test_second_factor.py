"""Signing in with a second factor: set up, asked for, used once, lost and reset.

Covers server/auth/second_factor.py, server/auth/sign_in.py, server/api/login_pages.py and enrolment_pages.py;
RFC 6238 section 5.2, NIST SP 800-63B sections 5.1.2 and 5.1.4, OWASP Session Management cheat sheet (fixation).
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode, b64encode
from dataclasses import replace
from typing import Any

import pytest

from server.app import create_app
from server.auth.accounts import reset_second_factor
from server.auth.second_factor import CodeRefused, check_code
from server.auth.totp import code_of, time_step
from server.logs import Log

STEP = "__Host-baton-step"


@pytest.fixture
def settings(settings: Any) -> Any:
    """A site where every role needs a second factor, as is the default."""
    return replace(settings, second_factor="by-role")


class Phone:
    """An authenticator app."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.secret = b""

    def scan(self, page: Any) -> None:
        shown = re.search(r'class="secret">([A-Z2-7 ]+)<', page.text)
        assert shown, page.text
        self.secret = b32decode(shown[1].replace(" ", ""))

    def code(self, away: int = 0) -> str:
        return code_of(self.secret, time_step(self.clock()) + away)


@pytest.fixture
def phone(clock: Any) -> Phone:
    return Phone(clock)


def csrf(page: Any) -> str:
    return re.search(r'name="csrf" value="([^"]+)"', page.text)[1]  # type: ignore[index]


def codes_on(page: Any) -> list[str]:
    return re.findall(r"<code>([a-z0-9]{5}-[a-z0-9]{5})</code>", page.text)


@pytest.fixture
def enrolled(smart: Any, phone: Phone, clock: Any) -> list[str]:
    """The nurse has set up a second factor; the recovery codes. Later than the codes that were used."""
    browser = smart.browser()
    page = browser.get(browser.sign_in().location)
    phone.scan(page)
    done = browser.post("/oauth2/second-factor/set-up", [*page.fields, ("code", phone.code())])
    assert done.status == 200, done.text
    clock.advance(minutes=2)
    return codes_on(done)


def second(browser: Any, code: str, at: str = "") -> Any:
    """Send a code on the page that asks for it."""
    page = browser.get(at or "/oauth2/second-factor")
    return browser.post("/oauth2/second-factor", [*page.fields, ("code", code)])


class TestSettingUp:
    def test_without_one_a_password_leads_to_the_set_up_and_nowhere_else(self, smart: Any) -> None:
        browser = smart.browser()
        page = browser.sign_in(next="/console")
        assert (page.status, page.location) == (303, "/oauth2/second-factor/set-up?next=%2Fconsole")
        assert browser.cookie == ""
        for path in ("/oauth2/grants", "/oauth2/account", "/console/resources"):
            answer = browser.get(path)
            assert answer.status == 303
            assert answer.location.startswith("/oauth2/login")

    def test_the_page_shows_the_secret_as_text_and_as_a_picture_without_any_network(
        self, smart: Any, phone: Phone
    ) -> None:
        browser = smart.browser()
        page = browser.get(browser.sign_in().location)
        phone.scan(page)
        assert len(phone.secret) == 20
        assert "<svg" in page.text
        assert "http" not in page.text.partition("<svg")[2].partition("</svg>")[0].replace(
            "http://www.w3.org/2000/svg", ""
        )
        assert " style=" not in page.text
        assert page.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        again = browser.get("/oauth2/second-factor/set-up")
        assert phone.secret == b32decode(
            re.search(r'class="secret">([A-Z2-7 ]+)<', again.text)[1].replace(" ", "")
        )  # type: ignore[index]

    def test_a_first_code_signs_in_and_shows_ten_recovery_codes(
        self, smart: Any, phone: Phone, store: Any
    ) -> None:
        browser = smart.browser()
        page = browser.get(browser.sign_in(next="/oauth2/account").location)
        phone.scan(page)
        done = browser.post("/oauth2/second-factor/set-up", [*page.fields, ("code", phone.code())])
        assert len(set(codes_on(done))) == 10
        assert 'href="/oauth2/account"' in done.text
        assert "10 recovery codes are left" in browser.get("/oauth2/account").text
        events = [(row.interaction, row.detail) for row in store.audit_rows(limit=2)]
        assert events == [("login", "password totp"), ("second-factor-enrol", "")]

    def test_a_wrong_first_code_signs_nobody_in(self, smart: Any, phone: Phone) -> None:
        browser = smart.browser()
        page = browser.get(browser.sign_in().location)
        phone.scan(page)
        wrong = browser.post("/oauth2/second-factor/set-up", [*page.fields, ("code", phone.code(5))])
        assert wrong.status == 401
        assert browser.cookie == ""

    def test_each_sign_in_makes_another_secret_until_one_is_confirmed(self, smart: Any, phone: Phone) -> None:
        """Who knew the password before must not know the secret that is confirmed later."""
        seen = set()
        for _ in range(2):
            browser = smart.browser()
            phone.scan(browser.get(browser.sign_in().location))
            seen.add(phone.secret)
        assert len(seen) == 2

    def test_the_step_is_over_after_ten_minutes(self, smart: Any, phone: Phone, clock: Any) -> None:
        browser = smart.browser()
        page = browser.get(browser.sign_in().location)
        phone.scan(page)
        clock.advance(minutes=10)
        late = browser.post("/oauth2/second-factor/set-up", [*page.fields, ("code", phone.code())])
        assert late.location.startswith("/oauth2/login")
        assert browser.cookie == ""

    def test_the_secret_is_not_readable_in_the_database(
        self, smart: Any, enrolled: list[str], phone: Phone
    ) -> None:
        row = smart.context.store.sign_in.second_factor("rn")
        for form in (b32encode(phone.secret), b64encode(phone.secret), phone.secret.hex().encode()):
            assert form.decode().rstrip("=") not in row.secret
        assert row.pending == ""


class TestSigningIn:
    def test_the_password_alone_opens_nothing(self, smart: Any, enrolled: list[str]) -> None:
        browser = smart.browser()
        page = browser.sign_in(next="/oauth2/account")
        assert page.location == "/oauth2/second-factor?next=%2Foauth2%2Faccount"
        assert browser.cookie == ""
        assert browser.get("/oauth2/account").status == 303
        step = browser.client.get_cookie(STEP, domain="127.0.0.1").value
        stolen = smart.browser()
        stolen.client.set_cookie("__Host-baton-web", step, domain="127.0.0.1")
        assert stolen.get("/oauth2/account").status == 303

    def test_the_code_signs_in_and_leads_on(
        self, smart: Any, enrolled: list[str], phone: Phone, store: Any
    ) -> None:
        browser = smart.browser()
        page = browser.sign_in(next="/oauth2/account")
        answer = second(browser, phone.code(), page.location)
        assert (answer.status, answer.location) == (303, "/oauth2/account")
        assert browser.get("/oauth2/account").status == 200
        assert browser.client.get_cookie(STEP, domain="127.0.0.1") is None
        row = store.audit_rows(limit=1)[0]
        assert (row.interaction, row.detail, row.principal) == (
            "login",
            "password totp",
            "Practitioner/prac-rn",
        )

    def test_a_code_is_taken_once(self, smart: Any, enrolled: list[str], phone: Phone) -> None:
        code = phone.code()
        first, late = smart.browser(), smart.browser()
        for browser in (first, late):
            browser.sign_in()
        assert second(first, code).status == 303
        assert second(late, code).status == 401
        assert second(late, phone.code(-1)).status == 401, "nor one of before"
        assert second(late, phone.code(1)).status == 303

    def test_the_code_that_set_it_up_signs_nobody_in(self, smart: Any, phone: Phone) -> None:
        browser = smart.browser()
        page = browser.get(browser.sign_in().location)
        phone.scan(page)
        code = phone.code()
        browser.post("/oauth2/second-factor/set-up", [*page.fields, ("code", code)])
        other = smart.browser()
        other.sign_in()
        assert second(other, code).status == 401

    @pytest.mark.parametrize("away", [-3, 3])
    def test_a_code_of_another_time_is_refused(
        self, smart: Any, enrolled: list[str], phone: Phone, away: int
    ) -> None:
        browser = smart.browser()
        browser.sign_in()
        assert second(browser, phone.code(away)).status == 401

    @pytest.mark.parametrize(
        "typed", ["", "000000000000", "١٢٣٤٥٦", "abcde-fghij", "\x00", "x" * 5000, "12345é"]
    )
    def test_whatever_else_is_typed_is_only_wrong(self, smart: Any, enrolled: list[str], typed: str) -> None:
        browser = smart.browser()
        browser.sign_in()
        assert second(browser, typed).status == 401

    def test_people_may_put_spaces_between_the_digits(
        self, smart: Any, enrolled: list[str], phone: Phone
    ) -> None:
        browser = smart.browser()
        browser.sign_in()
        code = phone.code()
        assert second(browser, f" {code[:3]} {code[3:]} ").status == 303

    def test_a_recovery_code_signs_in_once_in_any_case(
        self, smart: Any, enrolled: list[str], store: Any
    ) -> None:
        for typed, status in ((enrolled[3].upper(), 303), (enrolled[3], 401), (enrolled[4], 303)):
            browser = smart.browser()
            browser.sign_in()
            assert second(browser, typed).status == status
        assert smart.context.store.sign_in.recovery_codes("rn") == 8
        assert any(row.interaction == "recovery-code-use" for row in store.audit_rows(limit=6))

    def test_guessing_codes_is_slowed_down_and_a_new_password_step_gives_no_new_tries(
        self, smart: Any, enrolled: list[str], phone: Phone, clock: Any
    ) -> None:
        statuses = []
        for _ in range(8):
            browser = smart.browser()
            browser.sign_in()
            statuses.append(second(browser, "000000").status)
        assert statuses == [401] * 6 + [429] * 2
        browser = smart.browser()
        browser.sign_in()
        page = second(browser, phone.code())
        assert (page.status, page.headers["Retry-After"]) == (429, "30")
        clock.advance(seconds=31)
        assert second(browser, phone.code()).status == 303

    def test_the_form_of_the_code_needs_the_token_of_its_step(
        self, smart: Any, enrolled: list[str], phone: Phone
    ) -> None:
        browser, other = smart.browser(), smart.browser()
        browser.sign_in()
        other.sign_in()
        theirs = csrf(other.get("/oauth2/second-factor"))
        for token in ("", "x", theirs):
            form = {"csrf": token, "code": phone.code()}
            assert browser.post("/oauth2/second-factor", form).status == 403
        assert browser.cookie == ""

    def test_a_step_is_good_for_one_session(self, smart: Any, enrolled: list[str], phone: Phone) -> None:
        browser = smart.browser()
        browser.sign_in()
        page = browser.get("/oauth2/second-factor")
        step = browser.client.get_cookie(STEP, domain="127.0.0.1").value
        browser.post("/oauth2/second-factor", [*page.fields, ("code", phone.code())])
        again = smart.browser()
        again.client.set_cookie(STEP, step, domain="127.0.0.1")
        answer = again.post("/oauth2/second-factor", [*page.fields, ("code", enrolled[0])])
        assert answer.location.startswith("/oauth2/login")
        assert smart.context.store.sign_in.recovery_codes("rn") == 10

    def test_somebody_shut_out_between_the_steps_stays_out(
        self, smart: Any, enrolled: list[str], phone: Phone
    ) -> None:
        browser = smart.browser()
        browser.sign_in()
        page = browser.get("/oauth2/second-factor")
        smart.context.rows.put_user(replace(smart.context.rows.user("rn"), disabled=True))
        answer = browser.post("/oauth2/second-factor", [*page.fields, ("code", phone.code())])
        assert answer.location.startswith("/oauth2/login")
        assert browser.cookie == ""

    def test_every_refusal_is_audited_with_the_account(
        self, smart: Any, enrolled: list[str], store: Any
    ) -> None:
        browser = smart.browser()
        browser.sign_in()
        second(browser, "000000")
        row = store.audit_rows(limit=1)[0]
        assert (row.interaction, row.outcome, row.username) == ("second-factor-refused", 401, "rn")

    def test_an_authorization_request_goes_on_after_both_steps(
        self, smart: Any, enrolled: list[str], phone: Phone
    ) -> None:
        client_id, browser = smart.client(), smart.browser()
        login = browser.get(smart.authorize(browser, client_id, scope="user/*.rs").location)
        page = browser.post(
            "/oauth2/login", [*login.fields, ("username", "rn"), ("password", "correct horse battery staple")]
        )
        asked = browser.get(page.location)
        assert "form-action 'self' https://app.example" in asked.headers["Content-Security-Policy"]
        page = browser.post("/oauth2/second-factor", [*asked.fields, ("code", phone.code())])
        assert page.location.startswith("/oauth2/authorize?")
        assert "code" in browser.get(page.location).answer


class TestLosing:
    def test_a_reset_ends_everything_and_the_next_sign_in_sets_up_another(
        self, smart: Any, enrolled: list[str], phone: Phone, store: Any
    ) -> None:
        browser = smart.browser()
        browser.sign_in()
        second(browser, phone.code())
        assert reset_second_factor(smart.context, "rn")
        assert browser.get("/oauth2/account").status == 303
        row = store.audit_rows(limit=1)[0]
        assert (row.interaction, row.principal, row.username) == ("second-factor-reset", "operator", "rn")
        page = smart.browser().sign_in()
        assert page.location.startswith("/oauth2/second-factor/set-up")
        assert smart.context.store.sign_in.recovery_codes("rn") == 0

    def test_under_another_secret_key_no_code_is_right_and_nothing_breaks(
        self, smart: Any, enrolled: list[str], phone: Phone
    ) -> None:
        other = replace(smart.context, token_key=b"another key" * 3)
        user = smart.context.rows.user("rn")
        for typed in (phone.code(), enrolled[0]):
            with pytest.raises(CodeRefused):
                check_code(other, user, typed)


@pytest.mark.parametrize(("mode", "asked"), [("by-role", True), ("required", True), ("optional", False)])
def test_the_site_says_who_needs_one(
    mode: str, asked: bool, smart: Any, settings: Any, store: Any, clock: Any
) -> None:
    app = create_app(replace(settings, second_factor=mode), store=store, clock=clock, log=Log("ERROR"))
    page = type(smart)(app, smart.context, smart.keys).browser().sign_in()
    assert page.location.startswith("/oauth2/second-factor") is asked


def test_who_has_set_one_up_is_asked_where_it_is_optional(
    smart: Any, enrolled: list[str], settings: Any, store: Any, clock: Any, phone: Phone
) -> None:
    app = create_app(replace(settings, second_factor="optional"), store=store, clock=clock, log=Log("ERROR"))
    browser = type(smart)(app, smart.context, smart.keys).browser()
    assert browser.sign_in().location.startswith("/oauth2/second-factor?")
    assert second(browser, phone.code()).status == 303
