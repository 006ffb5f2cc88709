"""The choice of a patient and of an encounter before a standalone launch.

Covers hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (launch/patient, launch/encounter).
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest

CLASSES = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
SCOPE = "launch/patient launch/encounter patient/Patient.rs patient/Encounter.rs"


@pytest.fixture
def nurse(smart: Any) -> Any:
    browser = smart.browser()
    browser.sign_in()
    return browser


@pytest.fixture
def twins(fhir: Any, build: Any) -> None:
    """Two patients of one name, told apart by birth date and number."""
    for id, born, number in (("elder", "1950-04-30", "A|1,2"), ("younger", "1950-05-01", "A-2")):
        resource = build.patient(
            id=id,
            name=[{"family": "Cedar", "given": ["Test"]}],
            birthDate=born,
            identifier=[{"system": "urn:example:records", "value": number}],
        )
        assert fhir.put(f"Patient/{id}", resource).status == 201


def many(fhir: Any, build: Any, count: int) -> None:
    """That many patients: p0 called Many00, and so on."""
    for number in range(count):
        name = [{"family": f"Many{number:02}"}]
        assert fhir.put(f"Patient/p{number}", build.patient(id=f"p{number}", name=name)).status == 201


def stay(id: str, patient: str, day: str, text: str) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": id,
        "status": "in-progress",
        "class": {"system": CLASSES, "code": "AMB"},
        "type": [{"text": text}],
        "subject": {"reference": f"Patient/{patient}"},
        "period": {"start": f"{day}T08:00:00Z"},
    }


def choices(page: Any, name: str = "_patient") -> list[str]:
    """The values of the page's buttons to choose by."""
    return [value for value in re.findall(rf'<button name="{name}" value="([^"]*)"', page.text) if value]


def cursor(page: Any) -> str:
    return html.unescape(re.search(r'name="_cursor" value="([^"]*)"', page.text)[1])


class TestPatients:
    @pytest.mark.parametrize(
        ("fields", "found"),
        [
            ({"_name": "ced tes"}, ["elder", "younger"]),
            ({"_name": "Cedar, Test"}, ["elder", "younger"]),
            ({"_birth_date": "1950-05-01"}, ["younger"]),
            ({"_number": "A-2"}, ["younger"]),
            ({"_number": "A|1,2"}, ["elder"]),
            ({"_number": "A"}, []),
            ({"_number": "A-2,A|1"}, []),
            ({"_name": "ced", "_birth_date": "1950-04-30"}, ["elder"]),
            ({"_name": "ced", "_number": "A-2", "_birth_date": "1950-04-30"}, []),
        ],
    )
    def test_they_are_found_by_name_birth_date_and_number(
        self, smart: Any, nurse: Any, twins: None, fields: dict[str, str], found: list[str]
    ) -> None:
        start = smart.authorize(nurse, smart.client())
        page = nurse.post("/oauth2/authorize/patient", [*start.fields, *fields.items()])
        assert page.status == 200
        assert sorted(choices(page)) == found
        assert ("No patient was found." in page.text) == (not found)
        for name, value in fields.items():
            assert f'name="{name}" type=' in page.text
            assert f'value="{html.escape(value)}"' in page.text

    @pytest.mark.parametrize("born", ["30.4.1950", "1950-02-30", "1950", "x" * 500])
    def test_a_birth_date_that_is_none_is_told(self, smart: Any, nurse: Any, born: str) -> None:
        start = smart.authorize(nurse, smart.client())
        page = nurse.post("/oauth2/authorize/patient", [*start.fields, ("_birth_date", born)])
        assert page.status == 400
        assert 'role="alert"' in page.text
        assert "The date of birth is a day such as 1950-04-30." in page.text
        assert choices(page) == []

    def test_pages_of_them_hold_all_of_them_once(self, smart: Any, nurse: Any, fhir: Any, build: Any) -> None:
        many(fhir, build, 45)
        start = smart.authorize(nurse, smart.client())
        page = nurse.post("/oauth2/authorize/patient", [*start.fields, ("_name", "many")])
        seen = choices(page)
        for length in (20, 5):
            fields = [*page.fields, ("_name", "many"), ("_cursor", cursor(page))]
            page = nurse.post("/oauth2/authorize/patient", fields)
            assert len(choices(page)) == length
            seen += choices(page)
        assert "_cursor" not in page.text
        assert sorted(seen) == sorted(f"p{number}" for number in range(45))

    def test_a_cursor_of_another_search_or_person_is_told_and_opens_nothing(
        self, smart: Any, nurse: Any, fhir: Any, build: Any
    ) -> None:
        many(fhir, build, 25)
        client_id = smart.client()
        start = smart.authorize(nurse, client_id)
        page = nurse.post("/oauth2/authorize/patient", [*start.fields, ("_name", "many")])
        other = nurse.post(
            "/oauth2/authorize/patient", [*start.fields, ("_name", "man"), ("_cursor", cursor(page))]
        )
        engineer = smart.browser()
        engineer.sign_in("engineer")
        fields = smart.authorize(engineer, client_id).fields
        theirs = engineer.post(
            "/oauth2/authorize/patient", [*fields, ("_name", "many"), ("_cursor", cursor(page))]
        )
        for answer in (other, theirs):
            assert answer.status == 400
            assert "This search could not be answered." in answer.text
            assert choices(answer) == []

    def test_who_may_see_no_patient_is_told_so(self, smart: Any, nurse: Any) -> None:
        from dataclasses import replace

        smart.context.rows.put_user(replace(smart.context.rows.user("rn"), role="privacy"))
        page = smart.authorize(nurse, smart.client())
        assert "There is no patient whose record you may open." in page.text
        denied = nurse.post("/oauth2/authorize/consent", [*page.fields, ("_patient", "one")])
        assert denied.status == 404


class TestEncounters:
    @pytest.fixture
    def start(self, smart: Any, nurse: Any, fhir: Any) -> tuple[str, Any]:
        """A client, and the page on which an encounter of patient "one" is chosen."""
        fhir.put("Encounter/later", stay("later", "one", "2026-05-02", "Follow-up <b>visit</b>"))
        fhir.put("Encounter/of-two", stay("of-two", "two", "2026-05-03", "Somebody else's"))
        client_id = smart.client()
        page = smart.authorize(nurse, client_id, scope=SCOPE)
        return client_id, nurse.post("/oauth2/authorize/consent", [*page.fields, ("_patient", "one")])

    def test_the_patients_own_are_offered_the_newest_first(self, start: tuple[str, Any]) -> None:
        _, page = start
        assert page.status == 200
        assert "Amber, Test" in page.text
        assert choices(page, "_encounter") == ["later", "stay"]
        assert "Follow-up &lt;b&gt;visit&lt;/b&gt;" in page.text
        assert "2026-05-02 · in progress" in page.text

    @pytest.mark.requirement("T4")
    def test_the_chosen_one_comes_with_the_token(self, smart: Any, nurse: Any, start: tuple[str, Any]) -> None:
        client_id, page = start
        answer = nurse.post("/oauth2/authorize/consent", [*page.fields, ("_encounter", "later")]).answer
        tokens = json.loads(smart.exchange(client_id, answer["code"]).text)
        assert (tokens["patient"], tokens["encounter"]) == ("one", "later")
        assert tokens["scope"] == SCOPE
        assert smart.fhir("Encounter/later", tokens["access_token"]).status == 200
        found = smart.post("/oauth2/introspect", {"token": tokens["access_token"], "client_id": client_id})
        assert json.loads(found.text)["encounter"] == "later"

    def test_without_one_the_scope_that_asks_for_it_is_not_granted(
        self, smart: Any, nurse: Any, start: tuple[str, Any]
    ) -> None:
        client_id, page = start
        answer = nurse.post("/oauth2/authorize/consent", [*page.fields, ("_encounter", "")]).answer
        tokens = json.loads(smart.exchange(client_id, answer["code"]).text)
        assert "encounter" not in tokens
        assert tokens["scope"] == SCOPE.replace("launch/encounter ", "")

    @pytest.mark.parametrize("id", ["of-two", "absent", "../stay", "stay,of-two", "x" * 300])
    def test_one_of_another_patient_is_not_chosen(self, nurse: Any, start: tuple[str, Any], id: str) -> None:
        page = nurse.post("/oauth2/authorize/consent", [*start[1].fields, ("_encounter", id)])
        assert page.status == 404
        assert "This visit cannot be opened" in page.text

    def test_leaving_the_choice_is_access_denied(self, nurse: Any, start: tuple[str, Any]) -> None:
        page = nurse.post("/oauth2/authorize/consent", [*start[1].fields, ("_decision", "deny")])
        assert page.answer["error"] == "access_denied"

    def test_a_patient_without_any_is_told(self, smart: Any, nurse: Any) -> None:
        page = smart.authorize(nurse, smart.client(), scope=SCOPE)
        page = nurse.post("/oauth2/authorize/consent", [*page.fields, ("_patient", "two")])
        assert "No visit of this patient is recorded that you may see." in page.text
        assert "Go on without a visit" in page.text

    def test_the_consent_page_names_patient_and_visit_and_keeps_them(
        self, smart: Any, nurse: Any, start: tuple[str, Any]
    ) -> None:
        client_id = smart.client(trusted=False)
        page = smart.authorize(nurse, client_id, scope=SCOPE)
        for field in (("_patient", "one"), ("_encounter", "stay")):
            page = nurse.post("/oauth2/authorize/consent", [*page.fields, field])
        assert "Amber, Test" in page.text
        assert "IMP" in page.text
        answer = nurse.post("/oauth2/authorize/decision", [*page.fields, ("_decision", "allow")]).answer
        assert json.loads(smart.exchange(client_id, answer["code"]).text)["encounter"] == "stay"
        forged = [(n, "of-two" if n == "_encounter" else v) for n, v in page.fields]
        assert nurse.post("/oauth2/authorize/decision", [*forged, ("_decision", "allow")]).status == 404

    def test_pages_of_them_hold_all_of_them_once(
        self, smart: Any, nurse: Any, fhir: Any, start: tuple[str, Any]
    ) -> None:
        for day in range(1, 24):
            fhir.put(f"Encounter/e{day}", stay(f"e{day}", "two", f"2026-04-{day:02}", "Visit"))
        page = smart.authorize(nurse, smart.client(), scope=SCOPE)
        page = nurse.post("/oauth2/authorize/consent", [*page.fields, ("_patient", "two")])
        first = choices(page, "_encounter")
        page = nurse.post("/oauth2/authorize/encounter", [*page.fields, ("_cursor", cursor(page))])
        assert first[:2] == ["of-two", "e23"]
        assert len(first) == 20
        assert choices(page, "_encounter") == ["e4", "e3", "e2", "e1"]

    def test_it_needs_the_forms_token(self, nurse: Any, start: tuple[str, Any]) -> None:
        forged = [(n, v) for n, v in start[1].fields if n != "_csrf"]
        for path in ("encounter", "consent"):
            page = nurse.post(f"/oauth2/authorize/{path}", [*forged, ("_encounter", "stay")])
            assert page.status == 403
