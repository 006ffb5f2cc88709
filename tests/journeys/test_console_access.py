"""An administrator's day in the console, in a real browser: a client, a partner, and what a nurse has allowed.

Covers server/console of clients, partners and grants, together with what they end elsewhere.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey
from playwright.sync_api import Browser, BrowserContext, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCOPE = "system/Organization.rs system/Patient.rs"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
def password(baton: Any) -> str:
    """Of the account `keeper`, an administrator."""
    added = baton.baton("user", "add", "keeper", "--role", "administrator", "--name", "Keeper")
    return str(json.loads(added)["password"])


@pytest.fixture
def console(baton: Any, window: BrowserContext, password: str) -> Page:
    """The console, opened by the administrator with the keyboard."""
    page = window.new_page()
    page.goto(f"{baton.base_url}/console")
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("keeper")
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Clients")).to_be_visible()
    return page


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_a_client_is_registered_found_and_disabled_by_keyboard_alone(console: Page) -> None:
    console.get_by_role("link", name="Register a client").focus()
    console.keyboard.press("Enter")
    console.get_by_label("Name, as people see it").focus()
    console.keyboard.type("Medication review")
    console.keyboard.press("Tab")
    console.keyboard.type("With a secret")
    console.keyboard.press("Tab")
    console.keyboard.type("openid user/*.rs")
    console.keyboard.press("Tab")
    console.keyboard.type("https://review.example/cb")
    console.get_by_role("button", name="Register").focus()
    console.keyboard.press("Enter")
    secret = console.get_by_label("Client secret")
    expect(secret).to_be_visible()
    assert len(secret.input_value()) >= 43
    picture(console, "client-registered")
    console.get_by_role("link", name="All clients").click()
    console.get_by_label("Name begins with").fill("medication r")
    console.keyboard.press("Enter")
    console.get_by_role("link", name="Medication review").click()
    expect(console.get_by_label("Client secret")).to_have_count(0)
    console.get_by_role("link", name="Disable").focus()
    console.keyboard.press("Enter")
    expect(console.get_by_text("Disable Medication review?")).to_be_visible()
    console.get_by_role("button", name="Disable").focus()
    console.keyboard.press("Enter")
    expect(console.get_by_role("status")).to_contain_text("Its grants and tokens have ended.")
    expect(console.get_by_role("button", name="Enable")).to_be_visible()


def test_a_suspended_partner_is_out_at_once_and_its_page_says_why(
    baton: Any, console: Page, tmp_path: Path
) -> None:
    key = ECKey.generate_key("P-384", {"alg": "ES384", "use": "sig"}, auto_kid=True)
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [{**key.as_dict(private=False), "kid": key.kid}]}))
    baton.baton(
        "partner", "add", "evening-star", "--name", "Evening Star Hospice", "--kind", "hospice",
        "--purpose", "TREAT", "--agreement", "treatment", "--from", "2020-01-01",
    )  # fmt: skip
    client = baton.baton(
        "partner", "add-client", "evening-star", "--name", "Evening Star records", "--jwks", str(keys),
        "--scope", SCOPE,
    ).strip()  # fmt: skip
    token = access(baton, client, key)
    assert read(baton, "Organization/partner-evening-star", token) == 200
    assert read(baton, "Patient", token) == 403
    console.goto(f"{baton.base_url}/console/partners/evening-star")
    expect(console.get_by_role("link", name="Evening Star records")).to_be_visible()
    picture(console, "partner")
    console.get_by_role("link", name="Suspend").click()
    console.get_by_label("Reason").fill("A key may have leaked")
    picture(console, "partner-suspend")
    console.get_by_role("button", name="Suspend").click()
    expect(console.get_by_role("status")).to_contain_text("Its tokens and sessions have ended.")
    expect(console.get_by_text("A key may have leaked")).to_be_visible()
    assert read(baton, "Organization/partner-evening-star", token) == 401
    picture(console, "partner-suspended")


def access(baton: Any, client_id: str, key: ECKey) -> str:
    url = f"{baton.base_url}/oauth2/token"
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": url,
        "exp": int(time.time()) + 60,
        "jti": str(uuid.uuid4()),
    }
    assertion = jwt.encode({"alg": "ES384", "kid": key.kid}, claims, key, ["ES384"])
    form = {
        "grant_type": "client_credentials",
        "scope": SCOPE,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    answer = requests.post(url, data=form, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def read(baton: Any, path: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{baton.fhir}/{path}", headers=headers, timeout=30).status_code


def test_what_a_nurse_has_allowed_is_told_in_words_and_ends_when_it_is_revoked(
    baton: Any, console: Page, chromium: Browser, people: ModuleType
) -> None:
    patient = baton.patients_with_discharge(baton.token("system/*.rs"))[0]
    nurses = chromium.new_context()
    nurses.set_default_timeout(20_000)
    page = nurses.new_page()
    people.sign_in(page, baton, "pharmacist")
    frame = people.open_app(page, baton, patient)
    console.goto(f"{baton.base_url}/console/grants?user=pharmacist&client=baton-app")
    row = console.get_by_role("row", name="pharmacist").first
    expect(row).to_contain_text("Baton care transitions")
    expect(row).to_contain_text("Medications taken")
    expect(console.get_by_text(patient)).to_have_count(0)
    picture(console, "grants")
    revoke = console.get_by_role("link", name="Revoke")
    while revoke.count():
        revoke.first.click()
        console.get_by_role("button", name="Revoke").click()
        expect(console.get_by_role("status")).to_contain_text("Every token made from it has ended.")
        console.goto(f"{baton.base_url}/console/grants?user=pharmacist&client=baton-app")
    expect(console.get_by_text("No standing grant matches.")).to_be_visible()
    frame.get_by_role("link", name="Reconcile", exact=True).click()
    expect(frame.get_by_role("heading", name="Overview")).to_have_count(0)
    expect(frame.get_by_role("heading", name="Reconcile medications")).to_have_count(0)
    picture(page, "app-revoked")
    nurses.close()
