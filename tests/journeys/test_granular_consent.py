"""A person narrows what an app asks for, by keyboard, in the frame of an EHR that launched it.

The EHR starts the launch over HTTP with its user's token, and frames the page at 420 pixels without a cookie.
Covers A1, A3, A5, A6, T4 (hl7.org/fhir/smart-app-launch/STU2.2); WCAG 2.2 AA: 1.4.10, 2.1.1, 2.4.7.
With SCREENSHOTS=folder the page is saved there to look at.
"""

from __future__ import annotations

import base64
import hashlib
import html
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
LAB = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
SCOPE = "launch offline_access patient/Patient.rs patient/Condition.rs patient/Observation.rs"


class Elsewhere(http.server.ThreadingHTTPServer):
    """Another site: the callback of apps, which keeps what came, and a page of an EHR with a frame."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Pages)
        self.origin = f"http://localhost:{self.server_port}"
        self.answer: dict[str, list[str]] = {}
        self.framed = ""


class _Pages(http.server.BaseHTTPRequestHandler):
    server: Elsewhere

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path == "/callback":
            self.server.answer = parse_qs(path.query)
            body = "<title>App</title><h1>Opened</h1>"
        else:
            frame = html.escape(self.server.framed)
            body = (
                "<title>EHR</title><style>body { margin: 0 } iframe { border: 0; width: 420px; height: 900px }"
            )
            body += f'</style><iframe title="App" src="{frame}"></iframe>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f'<!doctype html><html lang="en">{body}'.encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class App:
    """A registered app: its authorization request, and the tokens that its answer brings."""

    def __init__(self, deployment: Any, elsewhere: Elsewhere, name: str, scope: str, *more: str) -> None:
        self.deployment, self.elsewhere, self.scope = deployment, elsewhere, scope
        self.callback = f"{elsewhere.origin}/callback"
        added = deployment.baton(
            "client", "add", "--public", "--name", name, "--redirect-uri", self.callback,
            "--scope", scope, *more,
        )  # fmt: skip
        self.client_id = json.loads(added)["client_id"]

    def authorize(self, **more: str) -> str:
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.callback,
            "scope": self.scope,
            "state": "state",
            "aud": self.deployment.fhir,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        } | more
        return f"{self.deployment.base_url}/oauth2/authorize?{urlencode(asked)}"

    def tokens(self) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": self.elsewhere.answer["code"][0],
            "redirect_uri": self.callback,
            "code_verifier": VERIFIER,
            "client_id": self.client_id,
        }
        answer = requests.post(f"{self.deployment.base_url}/oauth2/token", data=form, timeout=30)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def patient(baton: Any) -> str:
    """Id of somebody with laboratory results."""
    token = baton.token("system/*.rs")
    found = baton.search("Observation?category=laboratory&_count=1", token)
    return str(found[0]["subject"]["reference"]).removeprefix("Patient/")


@pytest.fixture
def launched(
    baton: Any, elsewhere: Elsewhere, window: BrowserContext, people: ModuleType, patient: str
) -> tuple[App, str]:
    """An app that asks for consent, and the EHR's launch of it for a patient."""
    here = elsewhere.origin
    app = App(
        baton, elsewhere, "Growth chart", SCOPE, "--launch-url", f"{here}/launch", "--frame-ancestor", here
    )  # fmt: skip
    ehr = App(baton, elsewhere, "EHR", "online_access user/*.rs", "--trusted")
    page = window.new_page()
    people.sign_in(page, baton)
    page.goto(ehr.authorize())
    expect(page.get_by_role("heading", name="Opened")).to_be_visible()
    made = requests.post(
        f"{baton.base_url}/oauth2/launch",
        json={"client_id": app.client_id, "patient": patient, "need_patient_banner": False, "intent": "growth"},
        headers={"Authorization": f"Bearer {ehr.tokens()['access_token']}"},
        timeout=30,
    )
    assert made.status_code == 201, made.text
    return app, made.json()["launch"]


def walk_to(page: Page, wanted: str) -> None:
    """Press Tab until the element of that accessible name, or id, has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        frame = page.frames[1]
        here = frame.evaluate(
            """() => {
              const element = document.activeElement;
              const label = element.labels && element.labels[0];
              return (label || element).textContent.trim().replace(/\\s+/g, " ");
            }"""
        )
        if here == wanted:
            return
    raise AssertionError(f"the keyboard does not reach {wanted}")


def test_kinds_are_chosen_by_keyboard_in_a_narrow_frame_and_the_token_reaches_them_alone(
    baton: Any, elsewhere: Elsewhere, chromium: Browser, launched: tuple[App, str], patient: str
) -> None:
    app, launch = launched
    context = chromium.new_context(viewport={"width": 420, "height": 900})
    context.set_default_timeout(20_000)
    elsewhere.framed = app.authorize(launch=launch)
    page = context.new_page()
    page.goto(f"{elsewhere.origin}/")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Allow Growth chart")).to_be_visible()
    expect(frame.get_by_text("Also while you are away (offline access)")).to_be_visible()

    frame.get_by_role("link", name="Skip to content").focus()
    walk_to(page, "Problems and diagnoses")
    page.keyboard.press("Space")
    walk_to(page, "Only some of it: Results, vital signs and other observations")
    page.keyboard.press("Enter")
    walk_to(page, "Laboratory results")
    page.keyboard.press("Space")
    inside = page.frames[1]
    across = inside.evaluate("document.documentElement.scrollWidth")
    assert across <= 420
    inside.evaluate(AXE.read_text("utf-8"))
    found = inside.evaluate("rules => axe.run({runOnly: rules})", RULES)["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found] == []
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / "granular-consent-420.png"), full_page=True)
    walk_to(page, "Allow")
    page.keyboard.press("Enter")
    expect(frame.get_by_role("heading", name="Opened")).to_be_visible()
    context.close()

    tokens = app.tokens()
    assert tokens["scope"] == f"launch offline_access patient/Patient.rs {LAB}"
    assert tokens["patient"] == patient
    assert tokens["need_patient_banner"] is False
    assert tokens["intent"] == "growth"
    token = tokens["access_token"]
    everything = baton.token("system/Observation.rs")
    labs = f"Observation?patient={patient}&category=laboratory&_summary=count"
    there = baton.read(labs, everything)["total"]
    all_of_them = baton.read(f"Observation?patient={patient}&_summary=count", everything)["total"]
    assert 0 < there < all_of_them
    assert baton.read(f"Observation?patient={patient}&_summary=count", token)["total"] == there
    refused = requests.get(
        f"{baton.fhir}/Condition?patient={patient}", headers={"Authorization": f"Bearer {token}"}, timeout=30
    )
    assert refused.status_code == 403
