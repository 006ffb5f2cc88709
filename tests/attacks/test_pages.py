"""Attacks through a person's browser: redirects elsewhere, forged forms, sessions given to them, frames.

Sources: RFC 9700 sections 4.1, 4.11 and 4.16, OWASP Cross-Site Request Forgery Prevention, Session Management
and Unvalidated Redirects cheat sheets
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import requests
from asking.pages import Page, Person

ASKED = "launch/patient patient/Patient.rs"
CALLBACK = "http://127.0.0.1:9/callback"


def page_of(result: Any) -> Page:
    assert isinstance(result, Page), result
    return result


def authorize_url(app: Any, **more: Any) -> str:
    parameters, _ = app.request(more.pop("scope", ASKED), **more)
    return f"{app.configuration['authorization_endpoint']}?{urlencode(parameters)}"


def signed_in(person: Person) -> Person:
    """The same person after signing in on the page of grants."""
    page = page_of(person.open(f"{person.origin}/oauth2/grants"))
    assert page_of(person.sign_in(page)).status == 200
    return person


# Open redirect ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/callback",
        f"{CALLBACK}/..",
        f"{CALLBACK}/",
        f"{CALLBACK}?next=https://evil.example",
        f"{CALLBACK}#x",
        f"{CALLBACK}%0d%0aLocation:https://evil.example",
        "http://127.0.0.1:90/callback",
        "http://127.0.0.1:9@evil.example/callback",
        "http://127.0.0.1.evil.example:9/callback",
        "HTTP://127.0.0.1:9/callback",
        "http://localhost:9/callback",
        "//127.0.0.1:9/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "",
    ],
)
def test_nobody_is_sent_to_an_address_that_is_not_registered(public: Any, victim: Person, uri: str) -> None:
    page = page_of(victim.open(authorize_url(public, redirect_uri=uri)))
    assert page.status == 400
    assert not page.forms or not any(form.named("password") for form in page.forms)
    assert "evil.example" not in page.text


def test_an_address_that_is_not_registered_is_audited(
    site: Any, public: Any, victim: Person, since: Any
) -> None:
    assert page_of(victim.open(authorize_url(public, redirect_uri="https://evil.example/cb"))).status == 400
    site.audited(since, interaction="authorize-refused", outcome=400)


def test_an_error_goes_back_only_to_a_registered_address(public: Any, victim: Person) -> None:
    for more in ({"response_type": "token"}, {"aud": "https://evil.example"}, {"scope": "nonsense"}):
        left = victim.open(authorize_url(public, **more))
        assert isinstance(left, str)
        assert left.startswith(f"{CALLBACK}?")
        assert "error" in parse_qs(urlsplit(left).query)


def test_an_unknown_client_gets_nothing(public: Any, victim: Person) -> None:
    page = page_of(victim.open(authorize_url(public, client_id="nobody")))
    assert page.status == 400
    both = f"{authorize_url(public)}&{urlencode({'redirect_uri': 'https://evil.example'})}"
    assert page_of(victim.open(both)).status == 400


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/oauth2/authorize@evil.example",
        "/%2f/evil.example",
        "/ehr/../..//evil.example",
        "javascript:alert(1)",
        "/oauth2/grants\r\nLocation: https://evil.example",
        "http:evil.example",
        "/console\t//evil.example",
    ],
)
def test_signing_in_leads_nowhere_else(site: Any, victim: Person, target: str) -> None:
    page = page_of(victim.open(f"{site.origin}/oauth2/login?next={quote(target)}"))
    form = next(form for form in page.forms if form.named("password"))
    fields = [(name, target if name == "next" else value) for name, value in form.fields]
    fields = [(name, value) for name, value in fields if name not in ("username", "password")]
    fields += [("username", victim.username), ("password", victim.password)]
    answer = victim.ask("POST", f"{site.origin}/oauth2/login", fields)
    assert answer.status_code in (302, 303), answer.text[:300]
    to = urlsplit(requests.compat.urljoin(f"{site.origin}/oauth2/login", answer.headers["Location"]))
    assert f"{to.scheme}://{to.netloc}" == site.origin
    assert "\\" not in answer.headers["Location"]


# Forged forms -------------------------------------------------------------------------------------------------


def login_form(site: Any, person: Person) -> list[tuple[str, str]]:
    page = page_of(person.open(f"{site.origin}/oauth2/login"))
    form = next(form for form in page.forms if form.named("password"))
    kept = [(name, value) for name, value in form.fields if form.types[name] == "hidden"]
    return [*kept, ("username", person.username), ("password", person.password)]


def test_a_sign_in_that_another_site_sends_is_refused(site: Any, attacker: Person, victim: Person) -> None:
    """Login CSRF: the victim's browser would work in the attacker's account."""
    form = login_form(site, attacker)
    for browser in (Person(site.origin), victim):  # without the cookie of the page, and with another page's
        if browser is victim:
            login_form(site, victim)
        answer = browser.ask("POST", f"{site.origin}/oauth2/login", form, Origin="https://evil.example")
        assert answer.status_code == 403
        assert not any("baton-web" in name for name in browser.cookies)


def test_a_sign_in_that_another_site_sends_is_audited(site: Any, attacker: Person, since: Any) -> None:
    Person(site.origin).ask("POST", f"{site.origin}/oauth2/login", login_form(site, attacker))
    site.audited(since, interaction="login-refused", outcome=403)


def consent_page(public: Any, person: Person, chosen: Any) -> tuple[Page, Any, list[tuple[str, str]]]:
    """The consent page, its form, and what pressing Allow would send."""
    id, family = chosen.patient
    page = page_of(person.open(authorize_url(public)))
    for _ in range(6):
        deciding = next((f for f in page.forms if f.boxes and f.button(lambda _, text: text == "Allow")), None)
        if deciding is not None:
            sent = [*deciding.fields, *deciding.ticked(), deciding.button(lambda _, text: text == "Allow")]
            return page, deciding, sent
        page = page_of(person.step(page, chosen))
    raise AssertionError(f"no consent page for {id} {family}")


@pytest.mark.parametrize("token", ["", "x", "0" * 64])
def test_a_consent_that_another_site_sends_is_refused(
    site: Any, public: Any, victim: Person, chosen: Any, token: str
) -> None:
    _, form, sent = consent_page(public, victim, chosen)
    forged = [(name, token if name == "_csrf" else value) for name, value in sent]
    answer = victim.ask("POST", site.origin + form.action, forged, Origin="https://evil.example")
    assert answer.status_code == 403
    assert "Location" not in answer.headers
    without = [(name, value) for name, value in sent if name != "_csrf"]
    assert victim.ask("POST", site.origin + form.action, without).status_code == 403
    right = victim.ask("POST", site.origin + form.action, sent)
    assert "code=" in right.headers["Location"], "the same form of our own page is taken"


def test_a_consent_is_not_sent_with_the_token_of_another_session(
    site: Any, public: Any, victim: Person, attacker: Person, chosen: Any
) -> None:
    _, form, sent = consent_page(public, attacker, type(chosen)(("other", "Other")))
    signed_in(victim)
    answer = victim.ask("POST", site.origin + form.action, sent)
    assert answer.status_code == 403
    assert "code=" not in answer.headers.get("Location", "")


def test_a_consent_is_not_given_by_get_or_without_a_session(
    site: Any, public: Any, victim: Person, chosen: Any
) -> None:
    _, form, sent = consent_page(public, victim, chosen)
    assert victim.ask("GET", site.origin + form.action, sent).status_code in (404, 405)
    stranger = Person(site.origin).ask("POST", site.origin + form.action, sent)
    assert "code=" not in stranger.headers.get("Location", "")


def test_a_forged_consent_is_audited(site: Any, public: Any, victim: Person, chosen: Any, since: Any) -> None:
    _, form, sent = consent_page(public, victim, chosen)
    victim.ask("POST", site.origin + form.action, [(n, "x" if n == "_csrf" else v) for n, v in sent])
    site.audited(since, interaction="authorize-refused", outcome=403)


def test_a_consent_for_a_patient_who_cannot_be_opened_is_refused(
    site: Any, public: Any, victim: Person, chosen: Any
) -> None:
    _, form, sent = consent_page(public, victim, chosen)
    other = [(name, "nobody-has-this-id" if name == "_patient" else value) for name, value in sent]
    assert victim.ask("POST", site.origin + form.action, other).status_code == 404


def test_signing_out_and_withdrawing_need_the_page_of_the_session(site: Any, victim: Person) -> None:
    signed_in(victim)
    for path in ("/oauth2/logout", "/oauth2/grants/withdraw"):
        for form in ([], [("csrf", "x")], [("csrf", ""), ("grant", "x")]):
            assert victim.ask("POST", site.origin + path, form).status_code == 403
        assert victim.ask("GET", site.origin + path).status_code in (404, 405)
    assert page_of(victim.open(f"{site.origin}/oauth2/grants")).url.endswith("/oauth2/grants")


def test_pages_of_other_origins_read_nothing_with_the_persons_cookie(site: Any, victim: Person) -> None:
    signed_in(victim)
    for path in ("/oauth2/grants", "/oauth2/login", "/console/", "/oauth2/authorize"):
        answer = victim.ask("GET", site.origin + path, Origin="https://evil.example")
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers
    fhir = victim.ask("GET", f"{site.base}/Patient/victim", Origin="https://evil.example")
    assert fhir.status_code == 401, "a cookie opens no resource"


# Sessions -----------------------------------------------------------------------------------------------------


def test_a_session_that_was_there_before_the_sign_in_is_not_the_one_after_it(site: Any, victim: Person) -> None:
    """Fixation: whatever value the attacker planted, the sign-in makes a new one."""
    planted = "p" * 43
    page = page_of(victim.open(f"{site.origin}/oauth2/login"))
    victim.cookies["__Host-baton-web"] = planted
    victim.sign_in(page)
    value = victim.cookies["__Host-baton-web"]
    assert value != planted
    fixed = Person(site.origin, cookies={"__Host-baton-web": planted})
    assert any(form.named("password") for form in page_of(fixed.open(f"{site.origin}/oauth2/grants")).forms)


def test_a_sign_in_over_another_session_ends_that_one(site: Any, attacker: Person, victim: Person) -> None:
    signed_in(attacker)
    given = dict(attacker.cookies)
    victim.cookies |= given  # the attacker's own session, put into the victim's browser
    page = page_of(victim.open(f"{site.origin}/oauth2/login?again=1"))
    victim.sign_in(page)
    old = Person(site.origin, cookies=given)
    assert any(form.named("password") for form in page_of(old.open(f"{site.origin}/oauth2/grants")).forms)
    assert page_of(victim.open(f"{site.origin}/oauth2/grants")).url.endswith("/oauth2/grants")


def test_a_session_ends_with_the_sign_out(site: Any, victim: Person) -> None:
    signed_in(victim)
    kept = dict(victim.cookies)
    page = page_of(victim.open(f"{site.origin}/oauth2/grants"))
    form = next(form for form in page.forms if form.action.endswith("/oauth2/logout"))
    victim.send(page, form)
    stolen = Person(site.origin, cookies=kept)
    assert any(form.named("password") for form in page_of(stolen.open(f"{site.origin}/oauth2/grants")).forms)


def test_cookies_are_out_of_reach_for_scripts_and_other_sites(site: Any, victim: Person) -> None:
    page = page_of(victim.open(f"{site.origin}/oauth2/login"))
    form = next(form for form in page.forms if form.named("password"))
    fields = [*form.fields, ("username", victim.username), ("password", victim.password)]
    answer = victim.ask("POST", f"{site.origin}/oauth2/login", list(dict(fields).items()))
    set_cookies = answer.raw.headers.getlist("Set-Cookie")
    session = next(line for line in set_cookies if line.startswith("__Host-baton-web="))
    words = {word.strip().lower() for word in session.split(";")[1:]}
    assert {"secure", "httponly", "path=/"} <= words
    assert words & {"samesite=lax", "samesite=strict"}
    assert not any(word.startswith("domain=") for word in words)


# Frames -------------------------------------------------------------------------------------------------------


def forbids_frames(headers: Any) -> None:
    policy = headers["Content-Security-Policy"]
    (ancestors,) = [part for part in policy.split(";") if part.strip().startswith("frame-ancestors")]
    assert ancestors.split() == ["frame-ancestors", "'none'"]
    assert headers.get("X-Frame-Options", "DENY").upper() == "DENY"


def test_no_page_can_be_put_into_a_frame(site: Any, public: Any, victim: Person, chosen: Any) -> None:
    for path in ("/oauth2/login", "/oauth2/authorize", "/oauth2/authorize?client_id=x"):
        forbids_frames(page_of(victim.open(site.origin + path)).headers)
    page, _, _ = consent_page(public, victim, chosen)
    forbids_frames(page.headers)
    for seen in victim.seen:
        forbids_frames(seen.headers)
    for path in ("/oauth2/grants", "/console/"):
        forbids_frames(page_of(victim.open(site.origin + path)).headers)


def test_only_a_launch_may_be_framed_and_only_by_whom_its_client_registered(
    site: Any, register: Any, victim: Person
) -> None:
    app = register(
        *("public", f"launch {ASKED}", "--launch-url", "http://127.0.0.1:9/launch"),
        *("--frame-ancestor", "https://ehr.example"),
    )
    launched = victim.ask("GET", authorize_url(app, launch="x" * 43, scope="launch patient/Patient.rs"))
    assert "frame-ancestors https://ehr.example" in launched.headers["Content-Security-Policy"]
    launched = victim.ask("GET", authorize_url(app, launch="x" * 43, redirect_uri="https://evil.example"))
    assert "frame-ancestors 'none'" in launched.headers["Content-Security-Policy"]
    answer = victim.ask("GET", authorize_url(app))
    policy = answer.headers["Content-Security-Policy"]
    assert "ehr.example" not in policy, "without a launch nobody may frame it"
    assert "frame-ancestors 'none'" in policy


def test_pages_run_no_script_and_leave_no_referrer(site: Any, public: Any, victim: Person, chosen: Any) -> None:
    consent_page(public, victim, chosen)
    for page in victim.seen:
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "base-uri 'none'" in policy
        assert page.headers["Referrer-Policy"] in ("same-origin", "no-referrer")
        assert "no-store" in page.headers["Cache-Control"]
        assert "<script" not in page.text.lower()


def test_what_an_app_calls_itself_and_what_it_sends_stays_text(
    site: Any, register: Any, victim: Person
) -> None:
    name = "\"><script>alert(1)</script><form action='https://evil.example'>"
    told = site.client("--public", "--redirect-uri", CALLBACK, "--scope", ASKED, "--name", name)
    app = register("public")
    app.client_id = told["client_id"]
    state = '"><img src=x onerror=alert(1)>'
    page = page_of(victim.open(authorize_url(app, state=state)))
    assert "<script" not in page.text
    assert "<img" not in page.text
    assert all(form.action.startswith("/") for form in page.forms)
