"""The main job, end to end: a discharged patient's medications are reconciled and signed inside the EHR.

Covers the README's promise; domain rules of signing (two Lists, MedicationStatements, Provenance).
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

pytestmark = pytest.mark.browser

SCOPE = "system/*.rs"
MEDICATION_LIST = "http://loinc.org|10160-0"


def signed_lists(deployment: Any, patient: str) -> list[dict[str, Any]]:
    token = deployment.token(SCOPE)
    return deployment.search(f"List?patient={patient}&status=current", token)


def reconcile_and_sign(window: BrowserContext, people: ModuleType, deployment: Any, number: int) -> str:
    """Sign the list of the number-th discharged patient; the patient's id."""
    patient = deployment.patients_with_discharge(deployment.token(SCOPE))[number]
    page = window.new_page()
    people.sign_in(page, deployment)
    frame = people.open_app(page, deployment, patient)
    people.open_board(frame)
    assert people.decide_by_keyboard(page, frame) > 0
    people.sign(frame)
    return patient


def check_what_was_written(deployment: Any, patient: str) -> None:
    token = deployment.token(SCOPE)
    lists = signed_lists(deployment, patient)
    snapshot = [x for x in lists if x["mode"] == "snapshot" and x["code"]["coding"][0]["code"] == "10160-0"]
    changes = [x for x in lists if x["mode"] == "changes"]
    assert len(snapshot) == 1
    assert len(changes) == 1
    assert snapshot[0]["source"] == {
        **snapshot[0]["source"],
        "reference": "Practitioner/demo-rn",
    }
    for entry in snapshot[0]["entry"]:
        statement = deployment.read(entry["item"]["reference"], token)
        assert statement["resourceType"] == "MedicationStatement"
        assert statement["subject"]["reference"] == f"Patient/{patient}"
        assert statement["derivedFrom"]
    provenance = deployment.search(f"Provenance?target=List/{snapshot[0]['id']}", token)
    assert len(provenance) == 1
    assert {entity["role"] for entity in provenance[0]["entity"]} == {"source"}


def test_a_nurse_signs_a_list_in_the_frame_of_the_ehr(
    baton: Any, window: BrowserContext, people: ModuleType
) -> None:
    patient = reconcile_and_sign(window, people, baton, 0)
    check_what_was_written(baton, patient)


def test_the_same_across_sites(across_sites: Any, window: BrowserContext, people: ModuleType) -> None:
    patient = reconcile_and_sign(window, people, across_sites, 0)
    check_what_was_written(across_sites, patient)


def test_the_same_with_the_apps_cookies_refused(
    across_sites: Any, window_without_app_cookies: BrowserContext, people: ModuleType
) -> None:
    patient = reconcile_and_sign(window_without_app_cookies, people, across_sites, 1)
    check_what_was_written(across_sites, patient)
    kept = [c for c in window_without_app_cookies.cookies() if c["domain"] == "127.0.0.1"]
    assert kept == [], "the browser kept no cookie of the app"


def test_two_tabs_with_two_patients_never_mix(baton: Any, window: BrowserContext, people: ModuleType) -> None:
    one, two = baton.patients_with_discharge(baton.token(SCOPE))[1:3]
    first, second = window.new_page(), window.new_page()
    people.sign_in(first, baton)
    frame_one = people.open_app(first, baton, one)
    frame_two = people.open_app(second, baton, two)
    names = people.patient_name(frame_one), people.patient_name(frame_two)
    assert names[0] != names[1]
    # The first tab goes on working after the second was opened, on its own patient.
    people.open_board(frame_one)
    people.open_board(frame_two)
    assert (people.patient_name(frame_one), people.patient_name(frame_two)) == names
    people.decide_by_keyboard(first, frame_one)
    people.sign(frame_one)
    assert people.patient_name(frame_two) == names[1]
    check_what_was_written(baton, one)
    assert [x for x in signed_lists(baton, two) if x["mode"] == "snapshot"] == []


def test_a_draft_survives_a_reload_and_an_undo(baton: Any, window: BrowserContext, people: ModuleType) -> None:
    patient = baton.patients_with_discharge(baton.token(SCOPE))[3]
    page = window.new_page()
    people.sign_in(page, baton)
    frame = people.open_app(page, baton, patient)
    people.open_board(frame)
    first = frame.locator("[data-card]:not(.same)").first
    identity = first.get_attribute("id")
    people.decide(page, frame.locator(f"#{identity}"), "c")
    frame.locator("#saved").get_by_text("Saved").wait_for()
    page.reload()
    frame = page.frame_locator("iframe")
    frame.get_by_role("heading", name="Overview").wait_for()
    people.open_board(frame)
    again = frame.locator(f"#{identity}")
    expect(again).to_have_class(re.compile(r"\bdone\b"))
    again.focus()
    page.keyboard.press("h")
    expect(again).not_to_have_class(re.compile(r"\bdone\b"))
    again.focus()
    page.keyboard.press("u")
    expect(again).to_have_class(re.compile(r"\bdone\b"))


def test_an_assistant_may_draft_but_not_sign(baton: Any, window: BrowserContext, people: ModuleType) -> None:
    patient = baton.patients_with_discharge(baton.token(SCOPE))[4]
    page = window.new_page()
    people.sign_in(page, baton, "ma")
    frame = people.open_app(page, baton, patient)
    people.open_board(frame)
    assert frame.get_by_role("link", name="Review and sign").count() == 0
    assert frame.locator("[data-card] button[name=kind]:enabled").count() > 0
