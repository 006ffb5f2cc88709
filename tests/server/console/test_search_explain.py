"""The console's page that explains a search. Covers server/console/search_explain.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient

BASE = "http://127.0.0.1:8000"


def test_nothing_runs_before_it_is_asked_for(sign_in: Callable[[str], FlaskClient]) -> None:
    page = sign_in("engineer").get("/console/explain", base_url=BASE)
    assert page.status_code == 200
    assert "nothing was run yet" in page.text


def test_a_search_is_shown_with_its_lists_statements_and_plans(
    sign_in: Callable[[str], FlaskClient], fhir: Any
) -> None:
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one", "name": [{"family": "Testfall"}]})
    query = "family%3DTestfall%26_sort%3Dbirthdate"
    page = sign_in("engineer").get(f"/console/explain?type=Patient&query={query}", base_url=BASE)
    assert page.status_code == 200
    assert "Patient: driven from the list below" in page.text
    assert "family (string, 1 value)" in page.text
    assert '<td data-label="Chosen">yes</td>' in page.text
    assert "SELECT" in page.text
    assert "Plan of statement 1" in page.text


def test_all_types_can_be_searched(sign_in: Callable[[str], FlaskClient], fhir: Any) -> None:
    fhir.put("Patient/one", {"resourceType": "Patient", "id": "one"})
    page = sign_in("engineer").get(
        "/console/explain?type=all+types&query=_type%3DPatient%2CGroup", base_url=BASE
    )
    assert page.status_code == 200
    assert "Patient: " in page.text
    assert "Group: " in page.text


def test_a_wrong_search_says_what_is_wrong(sign_in: Callable[[str], FlaskClient]) -> None:
    browser = sign_in("engineer")
    wrong = browser.get("/console/explain?type=Patient&query=colour%3Dred", base_url=BASE)
    assert (wrong.status_code, "colour" in wrong.text) == (400, True)
    unknown = browser.get("/console/explain?type=Unicorn&query=", base_url=BASE)
    assert unknown.status_code == 404


def test_roles_without_a_console_do_not_get_in(sign_in: Callable[[str], FlaskClient]) -> None:
    assert sign_in("rn").get("/console/explain", base_url=BASE).status_code == 403
