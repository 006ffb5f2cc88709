"""The app in front of an EHR that is not its own: a second Baton, on other ports and another site.

Covers the two registrations an operator makes, SMART EHR launch with consent in the frame, and what the app
offers at a chart without a store. Source: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
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


def launch(page: Page, clinic: Any, people: ModuleType) -> FrameLocator:
    """Sign in next door, open the chart there and the app in its frame; consent is asked for."""
    people.sign_in(page, clinic)
    page.goto(f"{clinic.base_url}/ehr/patients/{PATIENT}")
    page.get_by_role("link", name=APP_NAME).click()
    return page.frame_locator("iframe")


def open_after_consent(page: Page, clinic: Any, people: ModuleType) -> FrameLocator:
    frame = launch(page, clinic, people)
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
