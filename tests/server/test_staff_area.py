"""Pages for staff: nobody without a session, no form from elsewhere, no page for the wrong role.

Covers server/staff_area.py; OWASP session management, cross-site request forgery.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

BASE = "http://127.0.0.1:8000"


@pytest.mark.parametrize("path", ["/console/", "/console/resources", "/ehr/", "/ehr/patients/1"])
def test_without_a_session_a_page_leads_to_the_sign_in_and_back(demo_app: Flask, path: str) -> None:
    answer = demo_app.test_client().get(path, base_url=BASE)
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/oauth2/login?next={path}"


def test_the_page_to_come_back_to_keeps_its_query(demo_app: Flask) -> None:
    answer = demo_app.test_client().get("/console/resources?type=Task", base_url=BASE)
    assert answer.headers["Location"] == "/oauth2/login?next=/console/resources%3Ftype%3DTask"


@pytest.mark.parametrize("area", ["console", "ehr"])
def test_static_files_need_no_session(demo_app: Flask, area: str) -> None:
    answer = demo_app.test_client().get(f"/{area}/static/{area}.css", base_url=BASE)
    assert answer.status_code == 200
    assert answer.mimetype == "text/css"


@pytest.mark.parametrize("role", ["rn", "pharmacist", "ma", "prescriber"])
def test_the_console_is_closed_to_clinical_roles(sign_in: Callable[[str], FlaskClient], role: str) -> None:
    answer = sign_in(role).get("/console/resources", base_url=BASE)
    assert answer.status_code == 403
    assert "Your role may not use the console" in answer.text


def test_a_form_without_the_token_of_its_session_is_refused(sign_in: Callable[[str], FlaskClient]) -> None:
    browser = sign_in("rn")
    answer = browser.post("/ehr/sign-out", data={"csrf_token": "guessed"}, base_url=BASE)
    assert answer.status_code == 403
    assert browser.get("/ehr/", base_url=BASE).status_code == 200


def test_signing_out_ends_the_session_at_once_and_says_so(sign_in: Callable[[str], FlaskClient]) -> None:
    browser = sign_in("rn")
    token = browser.get("/ehr/", base_url=BASE).text.partition('name="csrf_token" value="')[2].partition('"')[0]
    answer = browser.post("/ehr/sign-out", data={"csrf_token": token}, base_url=BASE)
    assert answer.status_code == 303
    assert "You are signed out." in browser.get(answer.headers["Location"], base_url=BASE).text
    assert browser.get("/ehr/", base_url=BASE).headers["Location"] == "/oauth2/login?next=/ehr/"


def test_a_session_that_is_over_leads_to_a_sign_in_that_says_so(demo_app: Flask) -> None:
    browser = demo_app.test_client()
    browser.set_cookie("__Host-baton-web", "of-a-session-that-is-over", domain="127.0.0.1", secure=True)
    answer = browser.get("/ehr/patients/1", base_url=BASE.replace("http:", "https:"))
    assert answer.headers["Location"].endswith("/oauth2/login?next=/ehr/patients/1&because=ended")
    assert "Your session has ended." in browser.get(answer.headers["Location"], base_url=BASE).text


def test_the_bare_address_leads_to_the_demo_ehr(demo_app: Flask) -> None:
    answer = demo_app.test_client().get("/", base_url=BASE)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/ehr")


@pytest.mark.parametrize("path", ["/console/resources", "/ehr/"])
def test_pages_are_never_framed_or_cached_and_run_no_inline_script(
    sign_in: Callable[[str], FlaskClient], path: str
) -> None:
    answer = sign_in("engineer").get(path, base_url=BASE)
    policy = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
