"""The console's resource browser: what the API would answer, as pages.

Covers server/console.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient

BASE = "http://127.0.0.1:8000"


def test_a_search_lists_resources_with_their_versions(sign_in: Callable[[str], FlaskClient], fhir: Any) -> None:
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one", "gender": "female"})
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one", "gender": "male"})
    page = sign_in("engineer").get("/console/resources?type=Patient&query=_id%3Done", base_url=BASE)
    assert page.status_code == 200
    assert "Patient/one" in page.text
    assert '<td class="num" data-label="Version">2</td>' in page.text


def test_a_wrong_search_says_what_is_wrong_and_stays_on_the_page(sign_in: Callable[[str], FlaskClient]) -> None:
    page = sign_in("engineer").get("/console/resources?type=Patient&query=colour%3Dred", base_url=BASE)
    assert page.status_code == 400
    assert "The search was not run." in page.text
    assert "colour" in page.text


def test_an_unknown_type_is_said_to_be_none(sign_in: Callable[[str], FlaskClient]) -> None:
    page = sign_in("engineer").get("/console/resources?type=Unicorn", base_url=BASE)
    assert page.status_code == 404
    assert "There is no such resource type." in page.text


def test_pages_follow_one_another(sign_in: Callable[[str], FlaskClient], fhir: Any) -> None:
    for number in range(3):
        fhir.put(f"Patient/p{number}", {"resourceType": "Patient", "id": f"p{number}"})
    browser = sign_in("engineer")
    first = browser.get("/console/resources?type=Patient&query=_count%3D2", base_url=BASE)
    following = first.text.partition('<a class="button" href="')[2].partition('"')[0].replace("&amp;", "&")
    second = browser.get(following, base_url=BASE)
    shown = (
        [f"Patient/p{n}" in first.text for n in range(3)],
        [f"Patient/p{n}" in second.text for n in range(3)],
    )
    assert [sum(pair) for pair in zip(*shown, strict=True)] == [1, 1, 1]


def test_an_instance_is_shown_as_stored_with_every_version(
    sign_in: Callable[[str], FlaskClient], fhir: Any
) -> None:
    dose = {"resourceType": "Observation", "id": "dose", "status": "final", "code": {"text": "dose"}}
    fhir.put(
        "Observation/dose",
        b"".join(
            (
                b'{"resourceType":"Observation","id":"dose","status":"final","code":{"text":"dose"},',
                b'"valueQuantity":{"value":1.50}}',
            )
        ),
        Content_Type="application/fhir+json",
    )
    fhir.put("Observation/dose", dose)
    fhir.delete("Observation/dose")
    browser = sign_in("engineer")
    current = browser.get("/console/resources/Observation/dose", base_url=BASE)
    assert current.status_code == 200
    assert "This version is a deletion." in current.text
    assert current.text.count("Version ") == 3
    first = browser.get("/console/resources/Observation/dose?version=1", base_url=BASE)
    assert "1.50" in first.text


def test_an_unknown_instance_is_not_found(sign_in: Callable[[str], FlaskClient]) -> None:
    page = sign_in("engineer").get("/console/resources/Patient/nobody", base_url=BASE)
    assert page.status_code == 404
    assert "This cannot be shown" in page.text


def test_an_empty_type_says_so(sign_in: Callable[[str], FlaskClient]) -> None:
    page = sign_in("engineer").get("/console/resources?type=Goal", base_url=BASE)
    assert "No Goal" in page.text
