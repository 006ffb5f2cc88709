"""The demonstration EHR: charts as the API gives them, apps launched by SMART EHR launch.

Covers server/demo_ehr; hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html (A3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.auth.clients import PUBLIC, Registration, client_row
from server.auth.context import AuthContext

BASE = "http://127.0.0.1:8000"
STAY = {
    "resourceType": "Encounter",
    "id": "stay",
    "status": "finished",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
    "subject": {"reference": "Patient/one"},
    "period": {"start": "2024-05-10T08:00:00Z", "end": "2024-05-14T10:00:00Z"},
}


@pytest.fixture
def chart(fhir: Any) -> None:
    fhir.put(
        "Patient/one",
        {"resourceType": "Patient", "id": "one", "name": [{"family": "Made-Up", "given": ["Ann"]}]},
    )
    fhir.put("Patient/two", {"resourceType": "Patient", "id": "two", "name": [{"family": "Other"}]})
    fhir.put("Encounter/stay", STAY)
    fhir.put(
        "MedicationRequest/m",
        {
            "resourceType": "MedicationRequest",
            "id": "m",
            "status": "active",
            "intent": "order",
            "subject": {"reference": "Patient/one"},
            "medicationCodeableConcept": {"text": "Furosemide 40 MG Oral Tablet"},
            "dosageInstruction": [{"text": "one tablet every morning"}],
        },
    )


@pytest.fixture
def app_client(authorization: AuthContext) -> None:
    registration = Registration(
        client_id="an-app",
        name="An app",
        kind=PUBLIC,
        scope="launch openid fhirUser user/*.rs",
        redirect_uris=("http://127.0.0.1:8001/callback",),
        launch_url="http://127.0.0.1:8001/launch",
    )
    authorization.rows.put_client(client_row(registration, "", authorization.clock()))


def test_it_exists_in_demonstration_mode_only(app: Flask) -> None:
    assert app.test_client().get("/ehr/", base_url=BASE).status_code == 404


def test_patients_with_the_newest_discharge_come_first(
    sign_in: Callable[[str], FlaskClient], chart: None
) -> None:
    page = sign_in("rn").get("/ehr/", base_url=BASE).text
    assert page.index("Made-Up, Ann") < page.index("Other")
    assert "2024-05-14" in page


def test_the_list_can_be_searched_by_name(sign_in: Callable[[str], FlaskClient], chart: None) -> None:
    browser = sign_in("rn")
    assert "Made-Up" not in browser.get("/ehr/?name=oth", base_url=BASE).text
    assert "name starts with that" in browser.get("/ehr/?name=zz", base_url=BASE).text


def test_a_chart_shows_active_medications_with_their_instructions(
    sign_in: Callable[[str], FlaskClient], chart: None
) -> None:
    page = sign_in("rn").get("/ehr/patients/one", base_url=BASE).text
    assert "Furosemide 40 MG Oral Tablet" in page
    assert "one tablet every morning" in page
    assert "No allergies recorded" in page


def test_an_unknown_patient_is_not_found(sign_in: Callable[[str], FlaskClient], chart: None) -> None:
    assert sign_in("rn").get("/ehr/patients/nobody", base_url=BASE).status_code == 404


@pytest.mark.requirement("A3")
def test_an_app_is_launched_with_iss_and_a_fresh_launch_each_time(
    sign_in: Callable[[str], FlaskClient], chart: None, app_client: None
) -> None:
    browser = sign_in("rn")
    seen = set()
    for _ in range(2):
        answer = browser.get("/ehr/patients/one/apps/an-app/launch", base_url=BASE)
        assert answer.status_code == 302
        target = urlsplit(answer.headers["Location"])
        assert f"{target.scheme}://{target.netloc}{target.path}" == "http://127.0.0.1:8001/launch"
        parameters = parse_qs(target.query)
        assert parameters["iss"] == [f"{BASE}/fhir"]
        seen.add(parameters["launch"][0])
    assert len(seen) == 2


def test_another_site_cannot_start_a_launch(
    sign_in: Callable[[str], FlaskClient], chart: None, app_client: None
) -> None:
    answer = sign_in("rn").get(
        "/ehr/patients/one/apps/an-app/launch", base_url=BASE, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403


def test_the_frame_may_show_that_app_and_nothing_else(
    sign_in: Callable[[str], FlaskClient], chart: None, app_client: None
) -> None:
    page = sign_in("rn").get("/ehr/patients/one/apps/an-app", base_url=BASE)
    assert "frame-src 'self' http://127.0.0.1:8001" in page.headers["Content-Security-Policy"]
    assert 'src="/ehr/patients/one/apps/an-app/launch"' in page.text


def test_an_app_that_is_not_registered_is_not_found(sign_in: Callable[[str], FlaskClient], chart: None) -> None:
    assert sign_in("rn").get("/ehr/patients/one/apps/none", base_url=BASE).status_code == 404
