"""The consent page: what a person may leave out or narrow, and what the token then reaches.

Covers hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html and
hl7.org/fhir/us/core/STU7/scopes.html
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

HL7 = "http://terminology.hl7.org/CodeSystem"
CATEGORY = f"{HL7}/observation-category"
LAB = f"patient/Observation.rs?category={CATEGORY}|laboratory"
VITAL = f"patient/Observation.rs?category={CATEGORY}|vital-signs"
PROBLEMS = f"patient/Condition.rs?category={HL7}/condition-category|problem-list-item"
SCOPE = (
    "openid fhirUser offline_access launch/patient patient/Patient.rs patient/Condition.rs "
    "patient/Observation.rs"
)


@pytest.fixture
def observations(fhir: Any) -> None:
    """A laboratory result, a weight and one without a category, of patient "one"."""
    for id, categories in (("lab", ["laboratory"]), ("weight", ["vital-signs"]), ("bare", [])):
        resource = {
            "resourceType": "Observation",
            "id": id,
            "status": "final",
            "code": {"text": "synthetic"},
            "subject": {"reference": "Patient/one"},
        }
        if categories:
            resource["category"] = [{"coding": [{"system": CATEGORY, "code": code}]} for code in categories]
        assert fhir.put(f"Observation/{id}", resource).status == 201


@pytest.fixture
def consent(smart: Any) -> Callable[..., Any]:
    """`consent(browser, client, scope)`: the consent page of a standalone launch for patient "one"."""

    def page(browser: Any, client_id: str, scope: str) -> Any:
        choice = smart.authorize(browser, client_id, scope=scope)
        return browser.post("/oauth2/authorize/consent", [*choice.fields, ("_patient", "one")])

    return page


@pytest.fixture
def grant(smart: Any, consent: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """`grant(scope, ticked, unticked)`: the tokens after ticking and unticking these boxes."""

    def tokens(scope: str, ticked: tuple[str, ...] = (), unticked: tuple[str, ...] = ()) -> dict[str, Any]:
        client_id, browser = smart.client(trusted=False, name="Growth chart"), smart.browser()
        browser.sign_in()
        page = consent(browser, client_id, scope)
        assert set(ticked) <= set(boxes(page))
        fields = [(name, value) for name, value in page.fields if value not in unticked]
        fields += [("_granted", word) for word in ticked]
        answer = browser.post("/oauth2/authorize/decision", [*fields, ("_decision", "allow")]).answer
        found = json.loads(smart.exchange(client_id, answer["code"]).text)
        return {**found, "client_id": client_id}

    return tokens


def boxes(page: Any) -> list[str]:
    """The scopes that the page has a box for."""
    return [html.unescape(value) for value in re.findall(r'name="_granted" value="([^"]*)"', page.text)]


@pytest.mark.requirement("A6")
def test_the_page_offers_the_kinds_of_problems_and_observations(smart: Any, consent: Any) -> None:
    browser = smart.browser()
    browser.sign_in()
    page = consent(browser, smart.client(trusted=False), SCOPE)
    for text in ("Laboratory results", "Vital signs", "Problem list", "Diagnoses of visits", "Health concerns"):
        assert text in page.text
    assert {LAB, VITAL, PROBLEMS} <= set(boxes(page))
    ticked = [value for name, value in page.fields if name == "_granted"]
    assert ticked == ["patient/Patient.rs", "patient/Condition.rs", "patient/Observation.rs"]


@pytest.mark.requirement("A6")
def test_kinds_that_are_chosen_stand_in_place_of_their_type(smart: Any, grant: Any, observations: None) -> None:
    tokens = grant(SCOPE, ticked=(LAB, PROBLEMS))
    assert tokens["scope"].split() == [
        "openid", "fhirUser", "offline_access", "launch/patient", "patient/Patient.rs", PROBLEMS, LAB,
    ]  # fmt: skip
    token = tokens["access_token"]
    found = json.loads(smart.fhir("Observation?patient=one", token).text)
    assert [entry["resource"]["id"] for entry in found["entry"]] == ["lab"]
    assert smart.fhir("Observation/lab", token).status == 200
    for id in ("weight", "bare"):
        assert smart.fhir(f"Observation/{id}", token).status == 404
    vital = json.loads(smart.fhir("Observation?category=" + quote(f"{CATEGORY}|vital-signs"), token).text)
    assert "entry" not in vital
    assert smart.fhir("Patient/one", token).status == 200


@pytest.mark.requirement("A6")
def test_a_kind_counts_also_where_its_type_was_unticked(grant: Any) -> None:
    tokens = grant(SCOPE, ticked=(VITAL,), unticked=("patient/Observation.rs", "patient/Condition.rs"))
    assert tokens["scope"] == f"openid fhirUser offline_access launch/patient patient/Patient.rs {VITAL}"


@pytest.mark.requirement("A5")
def test_a_wildcard_is_narrowed_to_types(smart: Any, grant: Any, observations: None) -> None:
    tokens = grant("launch/patient patient/*.rs", ticked=("patient/Patient.rs", "patient/Observation.rs"))
    assert tokens["scope"] == "launch/patient patient/Observation.rs patient/Patient.rs"
    assert smart.fhir("Observation/bare", tokens["access_token"]).status == 200
    assert smart.fhir("Encounter?patient=one", tokens["access_token"]).status == 403


@pytest.mark.requirement("A7")
def test_version_1_is_narrowed_in_version_1_and_kinds_in_version_2(grant: Any) -> None:
    whole = grant("launch/patient patient/*.read patient/Patient.read")
    assert whole["scope"] == "launch/patient patient/*.read patient/Patient.read"
    narrowed = grant("launch/patient patient/*.read", ticked=("patient/Encounter.read", LAB))
    assert narrowed["scope"] == f"launch/patient patient/Encounter.read {LAB}"


@pytest.mark.requirement("R1")
@pytest.mark.requirement("I1")
def test_refresh_and_introspection_keep_the_kinds(smart: Any, grant: Any, observations: None) -> None:
    first = grant(SCOPE, ticked=(LAB, VITAL, PROBLEMS))
    client_id = first["client_id"]
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"], "client_id": client_id}
    second = json.loads(smart.token(**form).text)
    assert second["scope"] == first["scope"]
    form["refresh_token"] = second["refresh_token"]
    narrower = json.loads(smart.token(**form, scope=f"launch/patient {LAB}").text)
    assert narrower["scope"] == f"launch/patient {LAB}"
    assert smart.fhir("Observation/weight", narrower["access_token"]).status == 404
    assert smart.fhir("Observation/weight", second["access_token"]).status == 200
    form["refresh_token"] = narrower["refresh_token"]
    wider = smart.token(**form, scope="patient/Observation.rs")
    assert json.loads(wider.text)["error"] == "invalid_scope"
    page = smart.post("/oauth2/introspect", {"token": second["access_token"], "client_id": client_id})
    assert json.loads(page.text)["scope"].split() == first["scope"].split()


@pytest.mark.requirement("R3")
def test_the_grants_page_says_the_kinds_in_words_and_withdraws_them(smart: Any, grant: Any) -> None:
    tokens = grant(SCOPE, ticked=(LAB, VITAL))
    browser = smart.browser()
    browser.sign_in()
    page = browser.get("/oauth2/grants")
    text = " ".join(re.sub(r"<[^>]*>", "", page.text).split())
    assert "Results, vital signs and other observations (see, only: Laboratory results; Vital signs)" in text
    assert "also while you are away (offline access)" in text
    assert "Problems and diagnoses (see)" in text
    assert browser.post("/oauth2/grants/withdraw", page.fields).status == 303
    assert smart.fhir("Patient/one", tokens["access_token"]).status == 401


@pytest.mark.requirement("A5")
@pytest.mark.parametrize(
    ("scope", "says"),
    [
        ("launch/patient patient/Patient.rs offline_access", "Also while you are away (offline access)"),
        ("launch/patient patient/Patient.rs online_access", "keeps this access until you sign out"),
        ("launch/patient patient/Patient.rs", "has this access for an hour"),
    ],
)
def test_how_long_the_access_lasts_is_announced(smart: Any, consent: Any, scope: str, says: str) -> None:
    client_id = smart.client(trusted=False, scope="launch/patient patient/*.rs offline_access online_access")
    browser = smart.browser()
    browser.sign_in()
    assert says in consent(browser, client_id, scope).text


def test_boxes_that_were_not_offered_grant_nothing(smart: Any, consent: Any) -> None:
    client_id, browser = smart.client(trusted=False), smart.browser()
    browser.sign_in()
    page = consent(browser, client_id, "launch/patient patient/Patient.rs")
    fields = [(n, v) for n, v in page.fields if n != "_granted"]
    fields += [("_granted", word) for word in (LAB, "patient/*.rs", "user/Patient.rs", "system/*.rs")]
    answer = browser.post("/oauth2/authorize/decision", [*fields, ("_decision", "allow")]).answer
    assert answer["error"] == "access_denied"


def test_the_page_works_without_script_and_has_one_id_for_each_box(smart: Any, consent: Any) -> None:
    browser = smart.browser()
    browser.sign_in()
    page = consent(browser, smart.client(trusted=False), "launch/patient patient/*.cruds user/*.rs")
    ids = re.findall(r'\bid="([^"]*)"', page.text)
    assert len(ids) == len(set(ids)) > 100
    assert "script" not in page.headers["Content-Security-Policy"]
    assert "<script" not in page.text
    for box in re.findall(r'type="checkbox" id="([^"]*)"', page.text):
        assert f'<label for="{box}">' in page.text
