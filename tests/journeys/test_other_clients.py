"""Other people's SMART clients, unchanged, are launched alone and from the EHR, and read the patient.

npm fhirclient in a browser page of another origin, and Authlib without a browser; more of the latter and of
other libraries: tests/server/api/python_clients. Covers sign-in, patient choice, consent, PKCE, CORS, refresh,
frames. Source: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

import html
import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import pytest
import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from playwright.sync_api import BrowserContext, Page, expect

HERE = Path(__file__).parent
PAGES = HERE / "fhirclient_page"
VENDOR = HERE.parent / "vendor"
SCOPE = (
    "openid fhirUser launch/patient offline_access "
    "patient/Patient.rs patient/MedicationRequest.rs user/Practitioner.rs"
)
CALLBACK = "http://127.0.0.1:9/callback"


class _Files(http.server.SimpleHTTPRequestHandler):
    """The page, and the library beside it."""

    def translate_path(self, path: str) -> str:
        name = Path(urlsplit(path).path).name
        return str((VENDOR if name.endswith(".js") else PAGES) / name)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def app_origin() -> Iterator[str]:
    """Where the browser app lives: another site than the server's 127.0.0.1."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def register(deployment: Any, name: str, redirect_uri: str) -> str:
    """The client id of a public client."""
    added = deployment.baton(
        "client", "add", "--public", "--name", name, "--redirect-uri", redirect_uri, "--scope", SCOPE
    )  # fmt: skip
    return str(json.loads(added)["client_id"])


@pytest.fixture(scope="module")
def fhirclient_id(baton: Any, app_origin: str) -> str:
    return register(baton, "Browser app", f"{app_origin}/index.html")


@pytest.fixture(scope="module")
def somebody(baton: Any) -> dict[str, Any]:
    """A patient of the demonstration."""
    token = baton.token("system/*.rs")
    return dict(baton.read(f"Patient/{baton.patients_with_discharge(token)[0]}", token))


def words(patient: dict[str, Any]) -> str:
    return " ".join([*patient["name"][0]["given"], patient["name"][0]["family"]])


def start(page: Page, app_origin: str, baton: Any, client_id: str) -> None:
    asked = urlencode({"iss": baton.fhir, "client": client_id, "scope": SCOPE})
    page.goto(f"{app_origin}/launch.html?{asked}")


def sign_in(page: Page, baton: Any) -> None:
    page.get_by_label("User name").fill("rn")
    page.get_by_label("Password").fill(baton.password("rn"))
    page.get_by_role("button", name="Sign in").click()


def choose(page: Page, patient: dict[str, Any]) -> None:
    page.get_by_label("Name begins with").fill(patient["name"][0]["family"])
    page.get_by_role("button", name="Search").click()
    page.locator(f"button[name=_patient][value='{patient['id']}']").click()


@pytest.mark.browser
def test_fhirclient_in_a_page_of_another_origin_reads_the_patient(
    baton: Any, window: BrowserContext, app_origin: str, fhirclient_id: str, somebody: dict[str, Any]
) -> None:
    page = window.new_page()
    start(page, app_origin, baton, fhirclient_id)
    sign_in(page, baton)
    choose(page, somebody)
    expect(page.get_by_role("heading", name="Allow Browser app")).to_be_visible()
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.get_by_role("heading", name=words(somebody))).to_be_visible()
    expect(page.locator("#user")).to_have_text("demo-rn")
    token = baton.token("system/MedicationRequest.rs")
    stored = baton.read(f"MedicationRequest?patient={somebody['id']}&_summary=count", token)["total"]
    expect(page.locator("#orders")).to_have_text(str(stored))


@pytest.mark.browser
def test_fhirclient_is_told_when_the_person_does_not_allow_it(
    baton: Any, window: BrowserContext, app_origin: str, fhirclient_id: str, somebody: dict[str, Any]
) -> None:
    page = window.new_page()
    start(page, app_origin, baton, fhirclient_id)
    sign_in(page, baton)
    choose(page, somebody)
    page.get_by_role("button", name="Do not allow").click()
    expect(page.get_by_role("alert")).to_contain_text("denied")


@pytest.mark.browser
def test_what_the_person_unticks_the_app_does_not_get(
    baton: Any, window: BrowserContext, app_origin: str, fhirclient_id: str, somebody: dict[str, Any]
) -> None:
    page = window.new_page()
    start(page, app_origin, baton, fhirclient_id)
    sign_in(page, baton)
    choose(page, somebody)
    page.get_by_label("Prescriptions and medication orders").uncheck()
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("403")


@pytest.mark.browser
def test_fhirclient_in_the_frame_of_the_ehr_reads_the_patient(
    baton: Any, window: BrowserContext, people: Any, app_origin: str, somebody: dict[str, Any]
) -> None:
    """The EHR opens the app's launch address in a frame; the user allows it there and chooses no patient.

    The library keeps its state in sessionStorage, which a browser may refuse in a frame of another site, so
    here the app is another origin of the same one.
    """
    app_origin = app_origin.replace("localhost", "127.0.0.1")
    scope = "launch openid fhirUser patient/Patient.rs patient/MedicationRequest.rs user/Practitioner.rs"
    asked = urlencode({"client": "framed-app", "scope": scope})
    baton.baton(
        *("client", "add", "--public", "--client-id", "framed-app", "--name", "Framed app", "--scope", scope),
        *("--redirect-uri", f"{app_origin}/index.html", "--launch-url", f"{app_origin}/launch.html?{asked}"),
        *("--frame-ancestor", baton.base_url),
    )
    page = window.new_page()
    people.sign_in(page, baton)
    page.goto(f"{baton.base_url}/ehr/patients/{somebody['id']}/apps/framed-app")
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name="Allow", exact=True).click()
    expect(frame.get_by_role("heading", name=words(somebody))).to_be_visible()
    expect(frame.locator("#user")).to_have_text("demo-rn")


class Forms:
    """A person without a browser: opens addresses, keeps cookies, sends the last form of a page."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._cookies: dict[str, str] = {}
        self.text = ""
        self.left = ""

    def open(self, url: str, form: list[tuple[str, str]] | None = None) -> None:
        """Follow redirects; `left` is the first address outside of the server."""
        while url.startswith(self._base):
            # Session cookies are Secure; a browser sends them to its own machine over http, requests does not.
            kept = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
            answer = requests.request(
                "GET" if form is None else "POST",
                url,
                data=form,
                headers=kept,
                allow_redirects=False,
                timeout=30,
            )
            self._cookies |= answer.cookies.get_dict()
            if not answer.is_redirect:
                assert answer.status_code == 200, answer.text
                self.text = answer.text
                return
            url, form = urljoin(url, answer.headers["Location"]), None
        self.left = url

    def send(self, *fields: tuple[str, str]) -> None:
        form = self.text.rpartition("<form")[2]
        hidden = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', form)
        action = re.search(r'action="([^"]*)"', form)
        assert action is not None
        kept = [(name, html.unescape(value)) for name, value in hidden]
        self.open(urljoin(self._base, html.unescape(action[1])), [*kept, *fields])


@pytest.mark.network
def test_authlib_without_a_browser_reads_the_patient_and_refreshes(
    baton: Any, somebody: dict[str, Any]
) -> None:
    discovery = requests.get(f"{baton.fhir}/.well-known/smart-configuration", timeout=30).json()
    app = OAuth2Session(
        register(baton, "Authlib", CALLBACK),
        redirect_uri=CALLBACK,
        scope=SCOPE,
        code_challenge_method="S256",
        token_endpoint=discovery["token_endpoint"],
        token_endpoint_auth_method="none",
    )
    verifier = generate_token(64)
    url, state = app.create_authorization_url(
        discovery["authorization_endpoint"], code_verifier=verifier, aud=baton.fhir
    )
    person = Forms(baton.base_url)
    person.open(url)
    person.send(("username", "rn"), ("password", baton.password("rn")))
    person.send(("_patient", somebody["id"]))
    assert "Allow Authlib" in person.text
    granted = re.findall(r'name="_granted" value="([^"]*)"', person.text)
    person.send(*(("_granted", scope) for scope in granted), ("_decision", "allow"))
    assert dict(parse_qsl(urlsplit(person.left).query))["state"] == state

    token = app.fetch_token(authorization_response=person.left, code_verifier=verifier)
    assert token["patient"] == somebody["id"]
    patient = app.get(f"{baton.fhir}/Patient/{token['patient']}")
    assert patient.status_code == 200
    assert patient.json() == somebody

    renewed = app.refresh_token()
    assert renewed["access_token"] != token["access_token"]
    assert renewed["patient"] == somebody["id"]
    orders = app.get(f"{baton.fhir}/MedicationRequest?patient={somebody['id']}&_count=5")
    assert orders.status_code == 200
    elsewhere = app.get(f"{baton.fhir}/Condition?patient={somebody['id']}")
    assert elsewhere.status_code == 403
    assert elsewhere.json()["issue"][0]["code"] == "forbidden"
