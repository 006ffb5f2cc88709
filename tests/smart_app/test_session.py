"""Sessions of the app: who opens them, when they end, how tokens are renewed, what a page needs.

Covers: docs/explanation/app-sessions.md; hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#refresh.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from smart_app.issuers import Issuers
from smart_app.logs import JsonLines
from smart_app.session_store_sqlite import FILE_NAME

HOME = "https://app.example"


def csrf(answer: Any) -> str:
    found = re.search(r'name="csrf_token" value="(\w+)"', answer.text)
    assert found
    return found[1]


def refreshes(ehr: Any) -> int:
    return sum(form["grant_type"] == "refresh_token" for form in ehr.token_requests)


def test_another_browser_cannot_open_a_session(browser: Any) -> None:
    path = browser.launch().location
    stranger = browser.app.test_client()
    assert stranger.get(path + "overview", base_url=HOME).status_code == 401
    stranger.set_cookie("__Host-baton-app", "short", domain="app.example", secure=True)
    assert stranger.get(path + "overview", base_url=HOME).status_code == 401


@pytest.mark.parametrize("path", ["/c/unknown/overview", "/c/" + "x" * 43 + "/", "/c/%00/", "/c/x/nothing"])
def test_an_unknown_launch_is_like_one_that_ended(browser: Any, path: str) -> None:
    browser.launch()
    assert browser.get(path).status_code in (401, 404)


def test_two_tabs_with_two_patients_never_mix(browser: Any, ehr: Any) -> None:
    ehr.put(
        {
            "resourceType": "Patient",
            "id": "p2",
            "name": [{"family": "Zweitfall", "given": ["Bert"]}],
            "birthDate": "1960",
        }
    )
    first = browser.launch().location
    ehr.context = {"patient": "p2"}
    second = browser.launch().location
    assert first != second
    for _ in range(2):
        assert "Testfall, Anna" in browser.get(first + "overview").text
        assert "Zweitfall, Bert" in browser.get(second + "overview").text
        assert "Testfall" not in browser.get(second + "overview").text


def test_a_session_ends_after_a_quarter_of_an_hour_without_use(browser: Any, clock: Any) -> None:
    path = browser.launch().location
    for _ in range(3):
        clock.move(minutes=14)
        assert browser.get(path).status_code == 303
    clock.move(minutes=16)
    assert browser.get(path).status_code == 401


def test_a_poll_is_no_use(browser: Any, clock: Any) -> None:
    path = browser.launch().location
    for _ in range(2):
        clock.move(minutes=7)
        assert browser.get(path, **{"X-Baton-Poll": "1"}).status_code == 303
    clock.move(minutes=2)
    assert browser.get(path, **{"X-Baton-Poll": "1"}).status_code == 401


def test_a_session_ends_after_twelve_hours_anyway(browser: Any, clock: Any) -> None:
    path = browser.launch().location
    for _ in range(71):
        clock.move(minutes=10)
        assert browser.get(path).status_code == 303
    clock.move(minutes=11)
    assert browser.get(path).status_code == 401


def test_a_session_survives_a_restart(browser: Any, make_app: Callable[[], Flask]) -> None:
    path = browser.launch().location
    cookie = browser.client.get_cookie("__Host-baton-app", domain="app.example")
    restarted = make_app().test_client()
    restarted.set_cookie("__Host-baton-app", cookie.value, domain="app.example", secure=True)
    assert restarted.get(path + "overview", base_url=HOME).status_code == 200


def test_the_database_holds_no_token_and_no_patient(browser: Any, ehr: Any, in_sessions: Any) -> None:
    browser.launch()
    tables = [in_sessions(f"select * from {table}") for table in ("launch", "login", "chart")]
    assert all(tables)
    content = b"".join(
        value if isinstance(value, bytes) else str(value).encode()
        for rows in tables
        for row in rows
        for value in row
    )
    cookie = browser.client.get_cookie("__Host-baton-app", domain="app.example").value
    for secret in (b"access-", b"refresh-", b'"p1"', b"nurse", cookie.encode(), b"user-1"):
        assert secret not in content


@pytest.mark.sqlite("there is a file")
def test_the_file_is_for_its_owner_alone(browser: Any, settings: Any) -> None:
    browser.launch()
    content = (settings.home / FILE_NAME).read_bytes()
    assert b"access-" not in content
    assert (settings.home / FILE_NAME).stat().st_mode & 0o077 == 0


def test_a_row_moved_to_another_session_opens_nothing(browser: Any, ehr: Any, in_sessions: Any) -> None:
    first = browser.launch().location
    ehr.context = {"patient": "p2"}
    second = browser.launch().location
    one, other = (f"'{path.split('/')[2]}'" for path in (first, second))
    in_sessions(
        f"update chart set sealed = (select sealed from chart where launch = {other}) where launch = {one}"
    )
    assert browser.get(first + "overview").status_code == 401


def test_whoever_logs_in_next_in_the_same_browser_ends_the_session_of_the_one_before(
    browser: Any, ehr: Any
) -> None:
    first = browser.launch().location
    ehr.claims = {"sub": "user-2"}
    second = browser.launch().location
    assert browser.get(first + "overview").status_code == 401
    assert browser.get(second + "overview").status_code == 200


def test_an_issuer_taken_out_of_the_list_has_no_sessions(browser: Any, issuers: Issuers) -> None:
    path = browser.launch().location
    assert issuers.remove("https://ehr.example/r4")
    assert browser.get(path + "overview").status_code == 401


@pytest.mark.requirement("R1")
def test_a_token_about_to_end_is_renewed_before_it_is_used(browser: Any, ehr: Any, clock: Any) -> None:
    ehr.token_life = 600
    path = browser.launch().location
    clock.move(minutes=9, seconds=40)
    assert browser.get(path + "overview").status_code == 200
    assert refreshes(ehr) == 1
    assert ehr.token_requests[-1]["refresh_token"] == "refresh-1"
    used = {r.headers["Authorization"] for r in ehr.requests if "/Patient/" in str(r.url)}
    assert used == {"Bearer access-2"}


def test_parallel_requests_renew_once(
    browser: Any, ehr: Any, clock: Any, make_app: Callable[[], Flask]
) -> None:
    ehr.token_life = 300
    path = browser.launch().location
    cookie = browser.client.get_cookie("__Host-baton-app", domain="app.example").value
    clock.move(minutes=10)
    other_process = make_app()
    statuses: list[int] = []

    def ask(app: Flask) -> None:
        client = app.test_client()
        client.set_cookie("__Host-baton-app", cookie, domain="app.example", secure=True)
        statuses.append(client.get(path + "overview", base_url=HOME).status_code)

    threads = [threading.Thread(target=ask, args=(app,)) for app in (browser.app, other_process) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6
    assert refreshes(ehr) == 1


def test_a_token_that_every_search_of_a_page_sees_refused_is_renewed_once(browser: Any, ehr: Any) -> None:
    path = browser.launch().location
    ehr.refused = {"access-1"}
    assert browser.get(path + "overview").status_code == 200
    assert refreshes(ehr) == 1
    ehr.refused = {"access-1", "access-2", "access-3"}
    assert browser.get(path + "overview").status_code == 401


def test_an_ehr_that_gives_no_more_tokens_ends_the_session(browser: Any, ehr: Any, clock: Any) -> None:
    ehr.token_life = 60
    path = browser.launch().location
    clock.move(minutes=2)
    ehr.token_status, ehr.token_error = 400, "invalid_grant"
    assert browser.get(path + "overview").status_code == 401
    ehr.token_status = 200
    assert browser.get(path + "overview").status_code == 401


def test_an_ehr_that_is_away_while_renewing_does_not_end_it(browser: Any, ehr: Any, clock: Any) -> None:
    ehr.token_life = 60
    path = browser.launch().location
    clock.move(minutes=2)
    ehr.token_status = 503
    assert browser.get(path + "overview").status_code == 503
    ehr.token_status = 200
    assert browser.get(path + "overview").status_code == 200


def test_logging_out_ends_every_chart_and_the_tokens(browser: Any, ehr: Any) -> None:
    path = browser.launch().location
    token = csrf(browser.get(path + "overview"))
    answer = browser.post(path + "end", {"csrf_token": token})
    assert answer.status_code == 200
    assert "You are logged out" in answer.text
    assert browser.get(path + "overview").status_code == 401
    revoked = [r for r in ehr.requests if str(r.url).endswith("/revoke")]
    assert len(revoked) == 1
    assert b"token=refresh-1" in revoked[0].body


@pytest.mark.parametrize(
    ("headers", "token", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True, 303),
        ({"Sec-Fetch-Site": "", "Origin": HOME}, True, 303),
        ({"Sec-Fetch-Site": "same-origin"}, False, 403),
        ({"Sec-Fetch-Site": "cross-site"}, True, 403),
        ({"Sec-Fetch-Site": "same-site"}, True, 403),
        ({"Sec-Fetch-Site": "none"}, True, 403),
        ({"Sec-Fetch-Site": "", "Origin": "https://evil.example"}, True, 403),
        ({"Sec-Fetch-Site": "", "Origin": "null"}, True, 403),
        ({"Sec-Fetch-Site": ""}, True, 403),
    ],
)
def test_a_form_must_come_from_a_page_of_the_same_context(
    browser: Any, headers: dict[str, str], token: bool, status: int
) -> None:
    path = browser.launch().location
    mark = csrf(browser.get(path + "overview"))
    form = {"csrf_token": mark if token else "0" * 64, "patient": "p1"}
    assert browser.post(path + "open", form, **headers).status_code == status


def test_the_mark_of_one_context_is_none_in_another(browser: Any) -> None:
    first, second = browser.launch().location, browser.launch().location
    mark = csrf(browser.get(first + "overview"))
    assert browser.post(second + "open", {"csrf_token": mark, "patient": "p1"}).status_code == 403


def test_opening_another_patient_makes_a_context_with_its_own_banner(browser: Any, ehr: Any) -> None:
    ehr.context = {"patient": "p1", "need_patient_banner": False}
    path = browser.launch().location
    mark = csrf(browser.get(path + "overview"))
    answer = browser.post(path + "open", {"csrf_token": mark, "patient": "p1", "encounter": "stay"})
    assert answer.status_code == 303
    assert not answer.location.startswith(path)
    assert browser.get(answer.location).status_code == 200
    for wrong in ("../p2", "p1?x", "", "x" * 65):
        form = {"csrf_token": mark, "patient": wrong, "encounter": "stay"}
        assert browser.post(path + "open", form).status_code in (303, 400), wrong


def test_every_answer_has_the_headers_of_a_page_with_patient_data(browser: Any) -> None:
    path = browser.launch().location
    for address, status in ((path + "overview", 200), (path + "nothing", 404), ("/c/x/overview", 401)):
        answer = browser.get(address)
        assert answer.status_code == status
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert policy.endswith("frame-ancestors https://ehr.example")
        assert "max-age" in answer.headers["Strict-Transport-Security"]


def test_the_log_names_no_launch_no_patient_and_no_token(browser: Any, ehr: Any, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    path = browser.launch().location
    ehr.failing["AllergyIntolerance"] = 500
    answer = browser.get(path + "overview?name=Testfall")
    browser.get(path + "nothing")
    browser.get("/callback?code=c&state=x")
    text = "".join(JsonLines().format(record) for record in caplog.records if "smart_app" in record.name)
    assert answer.headers["X-Request-Id"] in text
    assert "search AllergyIntolerance" in text
    for secret in (path.split("/")[2], "Testfall", "access-", "refresh-", "nurse", "/p1"):
        assert secret not in text


def test_another_host_is_sent_to_the_configured_one(browser: Any) -> None:
    answer = browser.client.get("/launch?iss=x", base_url="https://elsewhere.example")
    assert (answer.status_code, answer.location) == (308, "https://app.example/launch?iss=x")
    answer = browser.client.post("/c/x/open", base_url="https://elsewhere.example")
    assert answer.status_code == 421


def test_a_body_that_is_too_large_is_refused(browser: Any) -> None:
    path = browser.launch().location
    assert browser.post(path + "open", {"patient": "x" * 300_000}).status_code == 413


def test_health_says_whether_the_sessions_can_be_read(browser: Any, in_sessions: Any) -> None:
    answer = browser.client.get("/healthz", base_url="http://127.0.0.1:8001")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
    in_sessions("drop table chart")
    in_sessions("drop table login")
    assert browser.client.get("/healthz", base_url="http://127.0.0.1:8001").status_code == 503
