"""Where a sign-in leads. Covers server/api/return_path.py; OWASP Unvalidated Redirects cheat sheet."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.api.return_path import HOME, hinted, safe_next

ORIGIN = "https://fhir.example"
PIECES = st.sampled_from(
    (
        "/",
        "//",
        "\\",
        "..",
        "/console",
        "/ehr",
        "/oauth2/grants",
        "?",
        "#",
        "@",
        ":",
        "https:",
        "evil.example",
        "%2f",
    )
)


@pytest.mark.parametrize(
    "path",
    ["/console", "/console/", "/ehr/patients/1?name=a", "/oauth2/account/password", "/oauth2/authorize?a=//b"],
)
def test_a_page_of_ours_is_led_to(path: str) -> None:
    assert safe_next(path) == path


@given(st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=8).map("".join)))
@example("/console/..//evil.example")
@example("/console\t//evil.example")
def test_whatever_is_asked_for_the_browser_stays_here(path: str) -> None:
    led = urlsplit(urljoin(f"{ORIGIN}/oauth2/login", safe_next(path)))
    assert f"{led.scheme}://{led.netloc}" == ORIGIN
    assert led.path.startswith("/")
    assert not led.path.startswith("//")


@pytest.mark.parametrize("path", ["", "/", "/consoles", "/oauth2/authorize", "/oauth2/token", "/fhir/Patient"])
def test_what_is_no_page_to_come_back_to_leads_home(path: str) -> None:
    assert safe_next(path) == HOME


def test_the_name_that_a_client_expects_is_filled_in() -> None:
    assert hinted("/oauth2/authorize?login_hint=a.nurse") == "a.nurse"
    assert hinted("/oauth2/authorize?login_hint=a%0Ab") == ""
    assert len(hinted("/oauth2/authorize?login_hint=" + "x" * 500)) == 64
