"""The authorization endpoint, sign-in, choice of a patient, consent and EHR launch.

Covers RFC 6749 section 4.1, RFC 7636, RFC 9700 sections 2.1 and 4, OpenID Connect Core 1.0 section 3.1.2,
hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

CALLBACK = "https://app.example/callback"
EHR = "https://ehr.example"


@pytest.mark.requirement("A1")
@pytest.mark.requirement("A2")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_ehr_launch_answers_with_a_code_and_the_state_by_get_and_post(smart: Any, method: str) -> None:
    client_id, nurse = smart.client(), smart.browser()
    nurse.sign_in()
    launch = smart.launch(nurse, client_id, patient="one")
    parameters = smart.parameters(client_id, scope="launch patient/*.rs", launch=launch, state="a b&c=d")
    frame = smart.browser()  # without any cookie, as in a frame of another site
    if method == "GET":
        page = frame.get("/oauth2/authorize?" + urlencode(parameters))
    else:
        page = frame.post("/oauth2/authorize", parameters)
    assert set(page.answer) == {"code", "state", "iss"}
    assert page.answer["iss"] == "http://127.0.0.1:8000"
    assert page.answer["state"] == "a b&c=d"
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.requirement("A3")
def test_the_ehr_opens_the_app_with_iss_and_launch(smart: Any) -> None:
    from server.auth.launches import issue_launch
    from server.auth.sessions import session_of

    browser = smart.browser()
    browser.sign_in()
    client_id = smart.client(launch_url="https://app.example/launch?site=3")
    session = session_of(smart.context, browser.cookie)
    launch = issue_launch(smart.context, session, client_id, patient="one")
    assert launch.secret
    assert launch.url == "https://app.example/launch?" + urlencode(
        {"site": "3", "iss": "http://127.0.0.1:8000/fhir", "launch": launch.secret}
    )


@pytest.mark.requirement("A4")
@pytest.mark.parametrize("audience", ["https://other.example/fhir", "", "http://127.0.0.1:8000"])
def test_a_wrong_audience_gets_no_code(smart: Any, audience: str) -> None:
    browser = smart.browser()
    browser.sign_in()
    answer = smart.authorize(browser, smart.client(), aud=audience).answer
    assert answer["error"] == "invalid_request"
    assert answer["state"] == "state-1"
    assert "code" not in answer


def test_a_trailing_slash_of_the_audience_does_not_matter(smart: Any) -> None:
    page = smart.authorize(smart.browser(), smart.client(), aud="http://127.0.0.1:8000/fhir/")
    assert page.status == 303


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"client_id": "nobody"}, "invalid_request"),
        ({"client_id": "\x00"}, "invalid_request"),
        ({"client_id": "x" * 10_000}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/callback"}, "invalid_request"),
        ({"redirect_uri": CALLBACK + "/more"}, "invalid_request"),
        ({"redirect_uri": CALLBACK + "?more=1"}, "invalid_request"),
        ({"redirect_uri": "HTTPS://app.example/callback"}, "invalid_request"),
        ({"redirect_uri": ""}, "invalid_request"),
        ({"redirect_uri": 'https://app.example/"\\\u00e9'}, "invalid_request"),
    ],
)
def test_a_wrong_client_or_redirect_uri_is_never_redirected(
    smart: Any, changes: dict[str, str], says: str
) -> None:
    page = smart.authorize(smart.browser(), smart.client(), **changes)
    assert page.status == 400
    assert "Location" not in page.headers
    assert says in page.text
    assert "evil" not in page.text


def test_a_disabled_client_is_unknown(smart: Any) -> None:
    client_id = smart.client()
    smart.context.rows.disable_client(client_id, smart.context.clock())
    assert smart.authorize(smart.browser(), client_id).status == 400


@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "scope", "state", "aud"])
def test_a_repeated_parameter_is_refused_without_redirect(smart: Any, name: str) -> None:
    parameters = smart.parameters(smart.client())
    query = urlencode([*parameters.items(), (name, parameters[name])])
    assert smart.browser().get("/oauth2/authorize?" + query).status == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": 'co"de\\'}, "unsupported_response_type"),
        ({"response_type": ""}, "unsupported_response_type"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "nonsense patient/Foo.rs"}, "invalid_scope"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge": "", "code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge_method": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"launch": "unknown", "scope": "patient/*.rs launch"}, "invalid_request"),
        ({"launch": "unknown", "scope": "patient/*.rs"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "9" * 11}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "a.b.c"}, "request_not_supported"),
        ({"request_uri": "https://app.example/request"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
    ],
)
def test_other_errors_go_back_to_the_client_with_its_state(
    smart: Any, changes: dict[str, str], error: str
) -> None:
    answer = smart.authorize(smart.browser(), smart.client(), **changes).answer
    assert answer["error"] == error
    assert answer["state"] == "state-1"
    assert "code" not in answer


def test_a_confidential_client_may_leave_out_pkce(smart: Any) -> None:
    client_id = smart.client("confidential-symmetric")
    browser = smart.browser()
    browser.sign_in()
    launch = smart.launch(browser, client_id, patient="one")
    answer = smart.authorize(
        browser,
        client_id,
        scope="launch patient/*.rs",
        launch=launch,
        code_challenge="",
        code_challenge_method="",
    ).answer
    assert (
        smart.exchange(client_id, answer["code"], code_verifier=None, basic=f"{client_id}:client-secret").status
        == 200
    )


class TestLaunch:
    def test_a_launch_is_good_once(self, smart: Any) -> None:
        client_id, browser = smart.client(), smart.browser()
        browser.sign_in()
        launch = smart.launch(browser, client_id, patient="one")
        more = {"launch": launch, "scope": "launch patient/*.rs"}
        assert "code" in smart.authorize(smart.browser(), client_id, **more).answer
        assert smart.authorize(smart.browser(), client_id, **more).answer["error"] == "invalid_request"

    def test_a_launch_is_good_for_sixty_seconds(self, smart: Any, clock: Any) -> None:
        client_id, browser = smart.client(), smart.browser()
        browser.sign_in()
        more = {"scope": "launch patient/*.rs"}
        late = smart.launch(browser, client_id, patient="one")
        clock.advance(seconds=60)
        assert (
            smart.authorize(smart.browser(), client_id, launch=late, **more).answer["error"]
            == "invalid_request"
        )
        early = smart.launch(browser, client_id, patient="one")
        clock.advance(seconds=59)
        assert "code" in smart.authorize(smart.browser(), client_id, launch=early, **more).answer

    def test_a_launch_belongs_to_its_client(self, smart: Any) -> None:
        mine, other, browser = smart.client(), smart.client(), smart.browser()
        browser.sign_in()
        launch = smart.launch(browser, mine, patient="one")
        more = {"launch": launch, "scope": "launch patient/*.rs"}
        assert smart.authorize(smart.browser(), other, **more).answer["error"] == "invalid_request"
        assert "code" in smart.authorize(smart.browser(), mine, **more).answer

    def test_a_launch_ends_with_the_sign_in_it_came_from(self, smart: Any) -> None:
        client_id, browser = smart.client(), smart.browser()
        browser.sign_in()
        launch = smart.launch(browser, client_id, patient="one")
        browser.post("/oauth2/logout", browser.get("/oauth2/grants").fields)
        page = smart.authorize(smart.browser(), client_id, launch=launch, scope="launch patient/*.rs")
        assert page.answer["error"] == "invalid_request"

    def test_a_launch_of_a_user_who_was_shut_out_is_refused(self, smart: Any) -> None:
        from dataclasses import replace

        client_id, browser = smart.client(), smart.browser()
        browser.sign_in()
        launch = smart.launch(browser, client_id, patient="one")
        smart.context.rows.put_user(replace(smart.context.rows.user("rn"), disabled=True))
        answer = smart.authorize(smart.browser(), client_id, launch=launch, scope="launch patient/*.rs").answer
        assert answer["error"] == "invalid_request"

    def test_without_a_patient_what_needs_one_is_not_granted(self, smart: Any) -> None:
        client_id, browser = smart.client(), smart.browser()
        browser.sign_in()
        scope = "openid launch launch/patient launch/encounter patient/*.rs user/Task.rs"
        launch = smart.launch(browser, client_id)
        answer = smart.authorize(smart.browser(), client_id, launch=launch, scope=scope).answer
        tokens = json.loads(smart.exchange(client_id, answer["code"]).text)
        assert tokens["scope"] == "openid launch user/Task.rs"
        assert "patient" not in tokens

    def test_a_launch_with_an_encounter_keeps_the_scope_that_asks_for_it(self, smart: Any) -> None:
        tokens = smart.tokens(smart.client(), scope="launch launch/patient launch/encounter patient/*.rs")
        assert tokens["scope"] == "launch launch/patient launch/encounter patient/*.rs"
        assert tokens["encounter"] == "stay"

    def test_a_consent_page_is_not_passed_by_the_form_of_another_page(self, smart: Any) -> None:
        client_id, browser = smart.client(trusted=False), smart.browser()
        browser.sign_in()
        launch = smart.launch(browser, client_id, patient="one")
        page = smart.authorize(smart.browser(), client_id, launch=launch, scope="launch patient/*.rs")
        for path in ("patient", "encounter", "consent"):
            page = smart.browser().post(f"/oauth2/authorize/{path}", [*page.fields, ("_patient", "two")])
            assert page.status == 200
            assert "Allow Test app" in page.text

    def test_only_registered_origins_may_frame_it(self, smart: Any) -> None:
        client_id, browser = smart.client(frame_ancestors=(EHR,), trusted=False), smart.browser()
        browser.sign_in()
        launch = smart.launch(browser, client_id, patient="one")
        page = smart.authorize(smart.browser(), client_id, launch=launch, scope="launch patient/*.rs")
        assert page.status == 200
        assert f"frame-ancestors {EHR}" in page.headers["Content-Security-Policy"]
        standalone = smart.authorize(browser, client_id)
        assert "frame-ancestors 'none'" in standalone.headers["Content-Security-Policy"]

    def test_the_consent_page_of_a_frame_needs_no_cookie_and_works_once(self, smart: Any) -> None:
        client_id, browser = smart.client(trusted=False), smart.browser()
        browser.sign_in()
        launch = smart.launch(browser, client_id, patient="one")
        frame = smart.browser()
        page = smart.authorize(frame, client_id, launch=launch, scope="launch patient/Patient.rs user/Task.rs")
        fields = [(n, v) for n, v in page.fields if (n, v) != ("_granted", "user/Task.rs")]
        assert len(fields) == len(page.fields) - 1
        sent = [*fields, ("_decision", "allow")]
        code = frame.post("/oauth2/authorize/decision", sent).answer["code"]
        tokens = json.loads(smart.exchange(client_id, code).text)
        assert tokens["scope"] == "launch patient/Patient.rs"
        assert tokens["patient"] == "one"
        assert frame.post("/oauth2/authorize/decision", sent).answer["error"] == "invalid_request"

    def test_the_secret_of_a_consent_page_starts_no_launch_and_a_launch_skips_no_consent(
        self, smart: Any
    ) -> None:
        client_id, browser = smart.client(trusted=False), smart.browser()
        browser.sign_in()
        more = {"scope": "launch patient/*.rs"}
        first = smart.launch(browser, client_id, patient="one")
        page = smart.authorize(smart.browser(), client_id, launch=first, **more)
        secret = dict(page.fields)["launch"]
        assert secret != first
        again = smart.authorize(smart.browser(), client_id, launch=secret, **more)
        assert again.answer["error"] == "invalid_request"
        fresh = smart.launch(browser, client_id, patient="one")
        form = smart.parameters(client_id, launch=fresh, **more) | {
            "_decision": "allow",
            "_granted": "patient/*.rs",
        }
        skipped = smart.browser().post("/oauth2/authorize/decision", form)
        assert skipped.answer["error"] == "invalid_request"


class TestStandalone:
    def test_sign_in_then_patient_then_code(self, smart: Any) -> None:
        client_id, browser = smart.client(), smart.browser()
        page = smart.authorize(browser, client_id)
        assert page.status == 303
        assert page.location.startswith("/oauth2/login?next=")
        login = browser.get(page.location)
        assert login.status == 200
        page = browser.post(
            "/oauth2/login", [*login.fields, ("username", "rn"), ("password", "correct horse battery staple")]
        )
        assert page.status == 303
        assert page.location.startswith("/oauth2/authorize?")
        choice = browser.get(page.location)
        assert "Amber, Test" in choice.text
        assert "Birch, Test" in choice.text
        page = browser.post("/oauth2/authorize/consent", [*choice.fields, ("_patient", "two")])
        tokens = json.loads(smart.exchange(client_id, page.answer["code"]).text)
        assert tokens["patient"] == "two"
        assert tokens["scope"] == "openid fhirUser launch/patient patient/*.rs"

    def test_patients_are_found_by_the_beginning_of_their_name(self, smart: Any) -> None:
        browser = smart.browser()
        browser.sign_in()
        choice = smart.authorize(browser, smart.client())
        found = browser.post("/oauth2/authorize/patient", [*choice.fields, ("_name", "bir")])
        assert "Birch" in found.text
        assert "Amber" not in found.text
        none = browser.post("/oauth2/authorize/patient", [*choice.fields, ("_name", '%|$,"<x>\\')])
        assert none.status == 200
        assert "No patient" in none.text

    def test_a_patient_nobody_can_see_is_not_chosen(self, smart: Any) -> None:
        browser = smart.browser()
        browser.sign_in()
        choice = smart.authorize(browser, smart.client())
        page = browser.post("/oauth2/authorize/consent", [*choice.fields, ("_patient", "absent")])
        assert page.status == 404
        page = browser.post("/oauth2/authorize/consent", [*choice.fields, ("_patient", "../x")])
        assert page.status == 404

    def test_leaving_the_choice_is_access_denied(self, smart: Any) -> None:
        browser = smart.browser()
        browser.sign_in()
        choice = smart.authorize(browser, smart.client())
        page = browser.post("/oauth2/authorize/consent", [*choice.fields, ("_decision", "deny")])
        assert page.answer["error"] == "access_denied"

    def test_a_user_scope_alone_needs_no_patient(self, smart: Any) -> None:
        browser = smart.browser()
        browser.sign_in()
        client_id = smart.client()
        code = smart.authorize(browser, client_id, scope="openid user/*.rs launch").answer["code"]
        tokens = json.loads(smart.exchange(client_id, code).text)
        assert tokens["scope"] == "openid user/*.rs"
        assert "patient" not in tokens

    @pytest.mark.requirement("A5")
    def test_the_user_can_limit_the_scopes(self, smart: Any) -> None:
        client_id, browser = smart.client(trusted=False), smart.browser()
        browser.sign_in()
        types = "patient/Patient.rs patient/Encounter.rs patient/Observation.rs"
        scope = f"openid offline_access launch/patient {types}"
        choice = smart.authorize(browser, client_id, scope=scope)
        page = browser.post("/oauth2/authorize/consent", [*choice.fields, ("_patient", "one")])
        assert "Results, vital signs and other observations" in page.text
        assert "offline access" in page.text
        assert "Amber, Test" in page.text
        kept = [(n, v) for n, v in page.fields if v != "patient/Encounter.rs"]
        code = browser.post("/oauth2/authorize/decision", [*kept, ("_decision", "allow")]).answer["code"]
        tokens = json.loads(smart.exchange(client_id, code).text)
        assert tokens["scope"] == scope.replace("patient/Encounter.rs ", "")
        assert smart.fhir("Encounter?patient=one", tokens["access_token"]).status == 403
        assert smart.fhir("Patient/one", tokens["access_token"]).status == 200

    def test_nothing_ticked_and_not_allowed_are_access_denied(self, smart: Any) -> None:
        client_id, browser = smart.client(trusted=False), smart.browser()
        browser.sign_in()
        page = smart.authorize(browser, client_id, scope="openid user/Task.rs")
        none = [(n, v) for n, v in page.fields if n != "_granted"]
        allowed = browser.post("/oauth2/authorize/decision", [*none, ("_decision", "allow")])
        assert allowed.answer["error"] == "access_denied"
        denied = browser.post("/oauth2/authorize/decision", [*page.fields, ("_decision", "deny")])
        assert denied.answer["error"] == "access_denied"

    def test_more_than_was_asked_cannot_be_ticked(self, smart: Any) -> None:
        client_id, browser = smart.client(trusted=False), smart.browser()
        browser.sign_in()
        page = smart.authorize(browser, client_id, scope="user/Task.rs")
        sent = [*page.fields, ("_granted", "user/*.cruds"), ("_decision", "allow")]
        code = browser.post("/oauth2/authorize/decision", sent).answer["code"]
        assert json.loads(smart.exchange(client_id, code).text)["scope"] == "user/Task.rs"

    @pytest.mark.requirement("A7")
    def test_version_1_scopes_are_granted_as_they_were_written(self, smart: Any) -> None:
        tokens = smart.tokens(smart.client(), scope="launch patient/Patient.read patient/*.read")
        assert tokens["scope"] == "launch patient/Patient.read patient/*.read"
        assert smart.fhir("Patient/one", tokens["access_token"]).status == 200

    def test_prompt_login_asks_for_a_fresh_sign_in_once(self, smart: Any, clock: Any) -> None:
        client_id, browser = smart.client(), smart.browser()
        browser.sign_in()
        clock.advance(minutes=5)
        page = smart.authorize(browser, client_id, scope="user/Task.rs", prompt="login")
        assert page.status == 303
        assert browser.get(page.location).status == 200  # not straight back
        browser.sign_in()
        assert "code" in smart.authorize(browser, client_id, scope="user/Task.rs", prompt="login").answer

    def test_max_age_asks_for_a_fresh_sign_in(self, smart: Any, clock: Any) -> None:
        client_id, browser = smart.client(), smart.browser()
        browser.sign_in()
        clock.advance(minutes=5)
        assert smart.authorize(browser, client_id, scope="user/Task.rs", max_age="120").status == 303
        assert "code" in smart.authorize(browser, client_id, scope="user/Task.rs", max_age="600").answer

    def test_a_form_of_a_page_does_not_make_an_old_sign_in_fresh(self, smart: Any, clock: Any) -> None:
        client_id, browser = smart.client(), smart.browser()
        browser.sign_in()
        page = smart.authorize(browser, client_id)
        for _ in range(2):
            clock.advance(minutes=10)
            browser.get("/oauth2/grants")
        stale = [*page.fields, ("prompt", "login"), ("_patient", "one")]
        assert browser.post("/oauth2/authorize/consent", stale).status == 303
        recent = [*page.fields, ("max_age", "600"), ("_patient", "one")]
        assert "code" in browser.post("/oauth2/authorize/consent", recent).answer

    def test_the_expected_user_name_stands_in_the_sign_in_page(self, smart: Any) -> None:
        browser = smart.browser()
        page = smart.authorize(browser, smart.client(), login_hint='rn"<b>')
        assert 'value="rn&#34;&lt;b&gt;"' in browser.get(page.location).text

    def test_prompt_none_answers_without_a_page(self, smart: Any) -> None:
        browser = smart.browser()
        browser.sign_in()
        trusted, other = smart.client(), smart.client(trusted=False)
        ask = {"scope": "user/Task.rs", "prompt": "none"}
        assert "code" in smart.authorize(browser, trusted, **ask).answer
        assert smart.authorize(browser, other, **ask).answer["error"] == "consent_required"
        ask["scope"] = "patient/Task.rs"
        assert smart.authorize(browser, trusted, **ask).answer["error"] == "interaction_required"


class TestSignIn:
    def test_an_unknown_account_and_a_wrong_password_are_told_alike(self, smart: Any) -> None:
        wrong = smart.browser().sign_in("rn", "wrong")
        unknown = smart.browser().sign_in("nobody", "wrong")
        assert wrong.status == unknown.status == 401
        said = [page.text[page.text.index('role="alert"') :].split("</p>")[0] for page in (wrong, unknown)]
        assert said[0] == said[1]

    @pytest.mark.parametrize("username", ["", "\ud800", "x" * 5000, "r\x00n", "RN'; DROP TABLE staff;--"])
    def test_odd_user_names_are_only_wrong(self, smart: Any, username: str) -> None:
        page = smart.browser().sign_in(username.encode("utf-8", "replace").decode(), "x" * 3000)
        assert page.status == 401

    def test_the_cookie_is_bound_to_the_host_and_hidden_from_scripts(self, smart: Any) -> None:
        page = smart.browser().sign_in()
        cookies = page.headers.getlist("Set-Cookie")
        cookie = next(item for item in cookies if item.startswith("__Host-baton-web="))
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
        assert "Domain" not in cookie

    def test_a_sign_in_from_another_site_is_refused(self, smart: Any, store: Any) -> None:
        browser = smart.browser()
        form = {"username": "rn", "password": "correct horse battery staple"}
        assert browser.post("/oauth2/login", form).status == 403
        assert browser.post("/oauth2/login", form | {"csrf": "x"}).status == 403
        theirs = dict(smart.browser().get("/oauth2/login").fields)["csrf"]
        assert browser.post("/oauth2/login", form | {"csrf": theirs}).status == 403
        assert browser.cookie == ""
        assert [(row.interaction, row.outcome) for row in store.audit_rows(limit=3)] == [
            ("login-refused", 403)
        ] * 3

    @pytest.mark.parametrize(
        "next",
        [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example",
            "/oauth2/authorize/../..//evil.example",
            "javascript:alert(1)",
            "/console\r\nLocation: https://evil.example",
            "/console.evil.example/",
            "/ehr/../..//evil.example",
            "/oauth2/accounts",
        ],
    )
    def test_a_sign_in_leads_to_no_other_site(self, smart: Any, next: str) -> None:
        page = smart.browser().sign_in(next=next)
        assert page.status == 303
        assert page.location == "/oauth2/grants"

    def test_signing_in_makes_a_new_session(self, smart: Any) -> None:
        browser = smart.browser()
        browser.sign_in()
        first = browser.cookie
        browser.sign_in("engineer")
        assert browser.cookie != first
        stale = smart.browser()
        stale.client.set_cookie("__Host-baton-web", first, domain="127.0.0.1")
        assert stale.get("/oauth2/grants").status == 303

    def test_a_session_ends_after_idle_time_and_at_sign_out(self, smart: Any, clock: Any) -> None:
        browser = smart.browser()
        browser.sign_in()
        for _ in range(4):
            clock.advance(minutes=10)
            assert browser.get("/oauth2/grants").status == 200
        clock.advance(minutes=15, seconds=1)
        assert browser.get("/oauth2/grants").status == 303
        browser.sign_in()
        page = browser.get("/oauth2/grants")
        assert browser.post("/oauth2/logout", {"csrf": "x"}).status == 403
        csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
        assert browser.post("/oauth2/logout", {"csrf": csrf}).status == 303
        assert browser.get("/oauth2/grants").status == 303

    def test_a_session_ends_after_twelve_hours_however_busy(self, smart: Any, clock: Any) -> None:
        browser = smart.browser()
        browser.sign_in()
        for _ in range(71):
            clock.advance(minutes=10)
            assert browser.get("/oauth2/grants").status == 200
        clock.advance(minutes=10)
        assert browser.get("/oauth2/grants").status == 303


def test_a_form_of_ours_needs_the_tokens_of_its_session(smart: Any) -> None:
    browser = smart.browser()
    browser.sign_in()
    choice = smart.authorize(browser, smart.client())
    forged = [(n, v) for n, v in choice.fields if n != "_csrf"] + [("_patient", "one")]
    assert browser.post("/oauth2/authorize/consent", forged).status == 403
    engineer = smart.browser()
    engineer.sign_in("engineer")
    assert engineer.post("/oauth2/authorize/consent", [*choice.fields, ("_patient", "one")]).status == 403


def test_no_page_carries_a_script(smart: Any) -> None:
    browser = smart.browser()
    pages = [browser.get("/oauth2/login"), smart.authorize(browser, "nobody")]
    browser.sign_in()
    pages += [browser.get("/oauth2/grants"), smart.authorize(browser, smart.client())]
    pages.append(smart.authorize(browser, smart.client(trusted=False), scope="user/*.rs openid"))
    for page in pages:
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'")
        assert "script" not in policy
        assert "<script" not in page.text
        assert " style=" not in page.text


def test_client_names_are_escaped(smart: Any) -> None:
    browser = smart.browser()
    browser.sign_in()
    page = smart.authorize(browser, smart.client(trusted=False, name="<img src=x>"), scope="user/*.rs")
    assert "<img" not in page.text
    assert "&lt;img src=x&gt;" in page.text


def test_logins_launches_grants_and_refusals_are_audited(smart: Any, store: Any) -> None:
    client_id = smart.client()
    smart.browser().sign_in("rn", "wrong")
    smart.tokens(client_id)
    smart.authorize(smart.browser(), client_id, aud="https://other.example")
    rows = {(row.interaction, row.principal, row.client_id) for row in store.audit_rows(limit=50)}
    nurse = "Practitioner/prac-rn"
    assert {
        ("login-refused", "User/rn", ""),
        ("login", nurse, ""),
        ("launch", nurse, client_id),
        ("authorize", nurse, client_id),
        ("token-issue", nurse, client_id),
        ("authorize-refused", "", client_id),
    } <= rows
