"""The app in front of an EHR that is not its own: a second Baton, on other ports and another site.

Covers the registrations an operator makes, SMART EHR launch with consent in the frame, what the app offers at a
chart without a store, and how a chart is connected with one: token exchange, and links that a person confirms.
Sources: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html, RFC 8693
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests
from playwright.sync_api import BrowserContext, FrameLocator, Page, expect

pytestmark = pytest.mark.browser

PATIENT = "visiting"
CLIENT = "visiting-app"
APP_NAME = "Care transitions next door"
LABEL = "Clinic next door"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
CATEGORY = "http://terminology.hl7.org/CodeSystem/medicationrequest-category"
SUBJECT = {"reference": f"Patient/{PATIENT}"}


def order(name: str, code: str, drug: str, authored: str, category: str) -> dict[str, Any]:
    """A synthetic order: one tablet by mouth once a day."""
    return {
        "resourceType": "MedicationRequest",
        "id": name,
        "status": "active",
        "intent": "order",
        "category": [{"coding": [{"system": CATEGORY, "code": category}]}],
        "medicationCodeableConcept": {
            "coding": [{"system": RXNORM, "code": code}],
            "text": drug,
        },
        "subject": SUBJECT,
        "authoredOn": authored,
        "dosageInstruction": [
            {
                "text": "1 tablet by mouth once daily",
                "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
                "route": {"coding": [{"system": "http://snomed.info/sct", "code": "26643006"}]},
                "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}],
            }
        ],
    }


def chart() -> list[dict[str, Any]]:
    """A synthetic stay that ended yesterday: lisinopril doubled, metoprolol begun."""
    now = datetime.now(UTC).replace(microsecond=0)
    home, admitted, left = ((now - timedelta(days=days)).isoformat() for days in (90, 5, 1))
    return [
        {
            "resourceType": "Patient",
            "id": PATIENT,
            "name": [{"family": "Nextdoor", "given": ["Synthetic"]}],
            "gender": "female",
            "birthDate": "1950-02-03",
            "identifier": [{"system": "urn:example:regional-number", "value": "R-1950-7"}],
        },
        {
            "resourceType": "Encounter",
            "id": "stay",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "subject": SUBJECT,
            "period": {"start": admitted, "end": left},
        },
        order("home-lisinopril", "314076", "lisinopril 10 MG Oral Tablet", home, "community"),
        order("new-lisinopril", "314077", "lisinopril 20 MG Oral Tablet", left, "discharge"),
        order("new-amlodipine", "197361", "amlodipine 5 MG Oral Tablet", left, "discharge"),
    ]


@pytest.fixture(scope="module")
def next_door(deploy: Callable[..., Any], baton: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A second Baton whose operator has registered the first one's app, and the app told of its EHR."""
    clinic = deploy(host="localhost", data=False)
    folder: Path = tmp_path_factory.mktemp("next-door")
    resources = folder / "chart.ndjson"
    resources.write_text("\n".join(map(json.dumps, chart())), "utf-8")
    clinic.baton("load", str(resources))

    app = json.loads(baton.baton("app", "registration"))["app"]
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps(app["jwks"]), "utf-8")
    clinic.baton(
        "client", "add",
        "--client-id", CLIENT,
        "--name", APP_NAME,
        "--jwks", str(jwks),
        "--launch-url", app["launch_url"],
        "--redirect-uri", app["redirect_uris"][0],
        "--frame-ancestor", clinic.base_url,
        "--scope", app["scope"],
    )  # fmt: skip
    baton.baton("app", "issuer", "add", clinic.fhir, "--client-id", CLIENT, "--label", LABEL)
    return clinic


def launch(page: Page, clinic: Any, people: ModuleType, *, signed_in: bool = False) -> FrameLocator:
    """Sign in next door, open the chart there and the app in its frame; consent is asked for."""
    if not signed_in:
        people.sign_in(page, clinic)
    page.goto(f"{clinic.base_url}/ehr/patients/{PATIENT}")
    page.get_by_role("link", name=APP_NAME).click()
    return page.frame_locator("iframe")


def open_after_consent(page: Page, clinic: Any, people: ModuleType, *, signed_in: bool = False) -> FrameLocator:
    frame = launch(page, clinic, people, signed_in=signed_in)
    frame.get_by_role("button", name="Allow", exact=True).click()
    expect(frame.get_by_role("heading", name="Overview")).to_be_visible()
    return frame


def test_the_chart_of_the_other_ehr_is_shown(
    next_door: Any, window: BrowserContext, people: ModuleType
) -> None:
    page = window.new_page()
    frame = open_after_consent(page, next_door, people)
    assert "Nextdoor" in people.patient_name(frame)
    expect(frame.get_by_text(f"Read from {LABEL}")).to_be_visible()
    expect(frame.get_by_text(f"{LABEL} is not connected to a store").first).to_be_visible()


def test_the_board_can_be_read_and_nothing_can_be_decided_or_signed(
    next_door: Any, window: BrowserContext, people: ModuleType
) -> None:
    page = window.new_page()
    frame = open_after_consent(page, next_door, people)
    people.open_board(frame)
    expect(frame.get_by_text("is not connected to a store").first).to_be_visible()
    changed = frame.locator("section", has=frame.get_by_role("heading", name="On both lists"))
    expect(changed.locator("[data-card]", has_text="isinopril")).to_have_count(1)
    started = frame.locator("section", has=frame.get_by_role("heading", name="Only after"))
    expect(started.locator("[data-card]", has_text="mlodipine")).to_have_count(1)
    assert frame.get_by_role("link", name="Review and sign").count() == 0
    assert frame.locator("[data-card] button[name=kind]:enabled").count() == 0


def test_reading_leaves_no_trace_in_either_chart(
    next_door: Any, baton: Any, window: BrowserContext, people: ModuleType
) -> None:
    page = window.new_page()
    frame = open_after_consent(page, next_door, people)
    people.open_board(frame)
    for deployment in (next_door, baton):
        token = deployment.token("system/*.rs")
        for written in ("List", "MedicationStatement", "Provenance"):
            assert deployment.search(f"{written}?patient={PATIENT}", token) == []


def test_an_access_not_allowed_is_said_in_words(
    next_door: Any, window: BrowserContext, people: ModuleType
) -> None:
    page = window.new_page()
    frame = launch(page, next_door, people)
    frame.get_by_role("button", name="Do not allow").click()
    expect(frame.get_by_role("heading", name="The login was not completed")).to_be_visible()


def test_an_ehr_taken_off_the_list_cannot_launch_any_more(
    next_door: Any, baton: Any, window: BrowserContext, people: ModuleType
) -> None:
    baton.baton("app", "issuer", "remove", next_door.fhir)
    try:
        frame = launch(window.new_page(), next_door, people)
        expect(frame.get_by_role("heading", name="This EHR is not known here")).to_be_visible()
    finally:
        baton.baton("app", "issuer", "add", next_door.fhir, "--client-id", CLIENT, "--label", LABEL)


# -- connected with the store

OURS = "known-here"


def ours(**changes: Any) -> dict[str, Any]:
    """The same synthetic person in the store, and once more under another birth date."""
    return chart()[0] | {"id": OURS, "active": True} | changes


@pytest.fixture(scope="module")
def connected(next_door: Any, baton: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The EHR next door trusted by the store: its charts can be connected, none is yet."""
    resources: Path = tmp_path_factory.mktemp("store") / "patients.ndjson"
    another = ours(id="another", birthDate="1951-02-03")
    del another["identifier"]
    resources.write_text("\n".join(map(json.dumps, (ours(), another))), "utf-8")
    baton.baton("load", str(resources))
    baton.baton(
        "issuer", "add", next_door.base_url,
        "--fhir-base", next_door.fhir,
        "--audience", CLIENT,
        "--client", "baton-app-exchange",
        "--jwks-uri", f"{next_door.base_url}/oauth2/jwks",
        "--label", LABEL,
    )  # fmt: skip
    baton.baton("app", "issuer", "add", next_door.fhir, "--client-id", CLIENT, "--label", LABEL, "--exchange")
    yield next_door
    baton.baton("app", "issuer", "add", next_door.fhir, "--client-id", CLIENT, "--label", LABEL)


def to_board(frame: FrameLocator) -> None:
    frame.get_by_role("link", name="Reconcile", exact=True).click()


def confirm_both(page: Page, frame: FrameLocator, baton: Any) -> None:
    """From the page that says what is missing to the store's page, and back."""
    frame.get_by_role("link", name="Compare and confirm").click()
    frame.get_by_role("button", name="Compare and confirm").click()
    with page.expect_popup() as opened:
        frame.get_by_role("link", name="Open the comparison").click()
    store = opened.value
    store.get_by_label("User name").fill("rn")
    store.get_by_label("Password").fill(baton.password("rn"))
    store.get_by_label("Password").press("Enter")
    store.get_by_role("button", name="This user there is me").click()
    expect(store.get_by_text("This user there is you here.")).to_be_visible()
    likely = store.locator("article", has=store.get_by_role("heading", name="certain"))
    expect(likely.get_by_role("row", name="Identifier urn:example:regional-number")).to_contain_text("same")
    doubtful = store.locator("article").filter(has_text="1951-02-03")
    expect(doubtful.get_by_role("row", name="Birth date")).to_contain_text("differs")
    likely.get_by_role("checkbox").check()
    likely.get_by_role("button", name="Connect with").click()
    expect(store.get_by_text("is connected with a record here")).to_be_visible()
    store.close()


def test_a_chart_is_connected_by_a_person_then_reconciled_signed_and_disconnected(
    connected: Any, baton: Any, window: BrowserContext, people: ModuleType
) -> None:
    page = window.new_page()
    frame = open_after_consent(page, connected, people)
    expect(frame.get_by_text("is not connected with the store yet").first).to_be_visible()
    to_board(frame)
    expect(frame.get_by_role("heading", name="This chart is not connected yet")).to_be_visible()

    confirm_both(page, frame, baton)
    frame.get_by_role("button", name="Go on").click()
    expect(frame.locator("#board[data-ready]")).to_be_visible()
    assert "Nextdoor" in people.patient_name(frame)
    for card in people.cards(frame).all():
        people.decide(page, card, "c")
    people.sign(frame)

    store, chart_there = baton.token("system/*.rs"), connected.token("system/*.rs")
    lists = baton.search(f"List?patient={OURS}&code=http://loinc.org|10160-0", store)
    assert [each["status"] for each in lists] == ["current"]
    assert lists[0]["source"]["reference"] == "Practitioner/demo-rn"
    assert lists[0]["encounter"]["reference"] == f"{connected.fhir}/Encounter/stay"
    statements = baton.search(f"MedicationStatement?patient={OURS}", store)
    sources = [source["reference"] for each in statements for source in each["derivedFrom"]]
    assert sources
    assert all(source.startswith(f"{connected.fhir}/MedicationRequest/") for source in sources)
    for written in ("List", "MedicationStatement", "Provenance"):
        assert connected.search(f"{written}?patient={PATIENT}", chart_there) == []
    assert baton.search("List?patient=another", store) == []

    # The next launch is connected at once; a record out of use stops the board, and what is signed stays.
    frame = open_after_consent(page, connected, people, signed_in=True)
    to_board(frame)
    expect(frame.get_by_role("heading", name="Reconcile medications")).to_be_visible()
    headers = {"Authorization": f"Bearer {baton.token('system/Patient.cruds')}"}
    answer = requests.put(f"{baton.fhir}/Patient/{OURS}", json=ours(active=False), headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    to_board(frame)
    expect(frame.get_by_role("heading", name="This record is no longer in use")).to_be_visible()
    requests.put(f"{baton.fhir}/Patient/{OURS}", json=ours(), headers=headers, timeout=30)

    # A link that is revoked ends what is open and what is launched next.
    (link,) = json.loads(baton.baton("link", "list", "--kind", "patient", "--state", "confirmed", "--json"))
    assert (link["there"], link["here"], link["made"]["grade"]) == (PATIENT, OURS, "certain")
    baton.baton("link", "revoke", link["link_id"])
    frame.get_by_role("link", name="Overview", exact=True).click()
    to_board(frame)
    expect(frame.get_by_role("heading", name="The access to the store has ended")).to_be_visible()
    frame = open_after_consent(page, connected, people, signed_in=True)
    to_board(frame)
    expect(frame.get_by_role("heading", name="This chart is not connected yet")).to_be_visible()
    assert len(baton.search(f"List?patient={OURS}&code=http://loinc.org|10160-0", store)) == 1
