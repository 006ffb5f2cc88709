"""create, update, patch and delete, their conditions and preferences: hl7.org/fhir/R4/http.html.

"IN-..." of the scorecard.
"""

from __future__ import annotations

from typing import Any

import pytest
from asking.bodies import new, outcome

JSON_PATCH = "application/json-patch+json"


def line(id: str) -> Any:
    return pytest.mark.requirement(f"IN-{id}")


@line("create")
def test_create_gives_id_version_and_location(fhir: Any, number: str) -> None:
    answer = fhir.post("Patient", new(number, id="ignored", meta={"versionId": "9"}))
    body = answer.json()
    assert answer.status_code == 201
    assert (body["meta"]["versionId"], answer.headers["ETag"]) == ("1", 'W/"1"')
    assert body["id"] != "ignored"
    assert answer.headers["Location"] == f"{fhir.base}/Patient/{body['id']}/_history/1"


@line("create-invalid")
def test_what_is_not_valid_is_refused_with_its_elements(fhir: Any, number: str) -> None:
    answer = fhir.post("Patient", new(number, gender="lady", birthDate="soon"))
    outcome(answer, 400)
    assert {e for i in answer.json()["issue"] for e in i["expression"]} == {
        "Patient.gender",
        "Patient.birthDate",
    }
    outcome(fhir.post("Patient", "{"), 400, "structure")
    outcome(fhir.post("Patient", {"resourceType": "Basic", "code": {"text": "x"}}), 400)
    assert "lady" not in answer.text


@line("create-conditional")
def test_a_conditional_create_creates_once(fhir: Any, number: str, condition: str) -> None:
    first = fhir.post("Patient", new(number), If_None_Exist=condition)
    second = fhir.post("Patient", new(number), If_None_Exist=condition)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    fhir.post("Patient", new(number))
    outcome(fhir.post("Patient", new(number), If_None_Exist=condition), 412, "multiple-matches")


@line("update")
def test_update_makes_the_next_version(fhir: Any, patient: Any, path: str) -> None:
    answer = fhir.put(path, patient | {"gender": "male"})
    assert (answer.status_code, answer.headers["ETag"], answer.json()["gender"]) == (200, 'W/"2"', "male")
    outcome(fhir.put(path, patient | {"id": "another"}), 400)


@line("update-create")
def test_update_creates_under_an_id_of_the_clients(fhir: Any, number: str) -> None:
    answer = fhir.put(f"Patient/{number}", new(number, id=number))
    assert (answer.status_code, answer.json()["id"]) == (201, number)
    assert answer.headers["Location"].endswith(f"Patient/{number}/_history/1")


@line("update-identical")
def test_an_identical_update_makes_no_version(fhir: Any, patient: Any, path: str) -> None:
    answer = fhir.put(path, patient)
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"1"')


@line("update-conditional")
def test_a_conditional_update_creates_updates_or_refuses(fhir: Any, number: str, condition: str) -> None:
    created = fhir.put(f"Patient?{condition}", new(number))
    updated = fhir.put(f"Patient?{condition}", new(number, gender="male"))
    assert (created.status_code, updated.status_code, updated.headers["ETag"]) == (201, 200, 'W/"2"')
    assert created.json()["id"] == updated.json()["id"]
    outcome(fhir.put(f"Patient?{condition}", new(number, id="another")), 400)
    fhir.post("Patient", new(number))
    outcome(fhir.put(f"Patient?{condition}", new(number)), 412, "multiple-matches")


@line("if-match")
def test_if_match_lets_only_the_named_version_be_replaced(fhir: Any, patient: Any, path: str) -> None:
    assert fhir.put(path, patient | {"gender": "male"}, If_Match='W/"1"').status_code == 200
    for answer in (
        fhir.put(path, patient | {"gender": "other"}, If_Match='W/"1"'),
        fhir.ask("PATCH", path, [], Content_Type=JSON_PATCH, If_Match='W/"1"'),
        fhir.ask("DELETE", path, If_Match='W/"1"'),
    ):
        issue = outcome(answer, 412, "conflict")
        assert answer.headers["ETag"] == 'W/"2"'
        assert "Patient.gender" in issue["diagnostics"]


@line("if-match-required")
def test_care_that_several_write_is_changed_by_naming_the_version(fhir: Any) -> None:
    task = fhir.create({"resourceType": "Task", "status": "requested", "intent": "order"})
    url = f"Task/{task['id']}"
    for answer in (
        fhir.put(url, task | {"priority": "urgent"}),
        fhir.ask("PATCH", url, [{"op": "add", "path": "/priority", "value": "asap"}], Content_Type=JSON_PATCH),
        fhir.ask("DELETE", url),
    ):
        outcome(answer, 428, "required")
        assert answer.headers["ETag"] == 'W/"1"'
    assert fhir.put(url, task | {"priority": "urgent"}, If_Match='W/"1"').status_code == 200


@line("if-none-match")
def test_if_none_match_lets_an_update_only_create(fhir: Any, patient: Any, path: str, number: str) -> None:
    outcome(fhir.put(path, patient | {"gender": "male"}, If_None_Match="*"), 412)
    other = f"n{number}"
    assert fhir.put(f"Patient/{other}", new(number, id=other), If_None_Match="*").status_code == 201


@line("lifecycle")
def test_a_status_that_may_not_follow_is_refused_with_its_rule(fhir: Any) -> None:
    goal = fhir.create(
        {
            "resourceType": "ServiceRequest",
            "status": "completed",
            "intent": "order",
            "subject": {"identifier": {"value": "x"}},
        }
    )
    issue = outcome(fhir.put(f"ServiceRequest/{goal['id']}", goal | {"status": "draft"}), 422, "business-rule")
    assert issue["expression"] == ["ServiceRequest.status"]


@pytest.mark.parametrize(
    ("preference", "kind"),
    [
        pytest.param(p, k, marks=pytest.mark.requirement(f"IN-prefer-{p}", f"Prefer: return={p}"))
        for p, k in (("minimal", ""), ("representation", "Patient"), ("OperationOutcome", "OperationOutcome"))
    ],
)
def test_prefer_says_what_comes_back(fhir: Any, number: str, preference: str, kind: str) -> None:
    prefer = f"return={preference}"
    created = fhir.post("Patient", new(number), Prefer=prefer)
    identity = created.headers["Location"].split("/")[-3]
    updated = fhir.put(f"Patient/{identity}", new(number, id=identity, gender="male"), Prefer=prefer)
    change = [{"op": "replace", "path": "/gender", "value": "other"}]
    patched = fhir.ask("PATCH", f"Patient/{identity}", change, Content_Type=JSON_PATCH, Prefer=prefer)
    for answer, status in ((created, 201), (updated, 200), (patched, 200)):
        assert answer.status_code == status
        assert answer.headers["ETag"]
        if kind:
            assert answer.json()["resourceType"] == kind
        else:
            assert answer.content == b""


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(
            content_type, body, id=name, marks=pytest.mark.requirement(f"IN-patch-{name}", f"a patch by {name}")
        )
        for name, content_type, body in (
            ("json", JSON_PATCH, [{"op": "replace", "path": "/gender", "value": "male"}]),
            (
                "fhirpath",
                "application/fhir+json",
                {
                    "resourceType": "Parameters",
                    "parameter": [
                        {
                            "name": "operation",
                            "part": [
                                {"name": "type", "valueCode": "replace"},
                                {"name": "path", "valueString": "Patient.gender"},
                                {"name": "value", "valueCode": "male"},
                            ],
                        }
                    ],
                },
            ),
            ("merge", "application/merge-patch+json", {"gender": "male"}),
        )
    ],
)
def test_a_patch_changes_what_it_names(
    fhir: Any, patient: Any, path: str, content_type: str, body: Any
) -> None:
    answer = fhir.ask("PATCH", path, body, Content_Type=content_type)
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"2"')
    assert answer.json() == patient | {"gender": "male", "meta": answer.json()["meta"]}


@line("patch-refused")
def test_a_patch_that_does_not_fit_changes_nothing(fhir: Any, patient: Any, path: str) -> None:
    def patch(*operations: dict[str, Any]) -> Any:
        return fhir.ask("PATCH", path, list(operations), Content_Type=JSON_PATCH)

    outcome(patch({"op": "test", "path": "/gender", "value": "male"}), 422)
    outcome(patch({"op": "remove", "path": "/photo"}), 422)
    invalid = outcome(patch({"op": "replace", "path": "/gender", "value": "lady"}), 422)
    assert invalid["expression"] == ["Patient.gender"]
    outcome(patch({"op": "leap"}), 400)
    outcome(fhir.ask("PATCH", path, "<diff/>", Content_Type="application/xml-patch+xml"), 415)
    outcome(fhir.ask("PATCH", "Patient/none-of-this-id", [], Content_Type=JSON_PATCH), 404)
    assert fhir.get(path).json() == patient


@line("patch-conditional")
def test_a_conditional_patch_changes_the_one_match(fhir: Any, path: str, number: str, condition: str) -> None:
    change = [{"op": "replace", "path": "/gender", "value": "male"}]
    url = f"Patient?{condition}"
    answer = fhir.ask("PATCH", url, change, Content_Type=JSON_PATCH)
    assert (answer.status_code, fhir.get(path).json()["gender"]) == (200, "male")
    outcome(fhir.ask("PATCH", f"{url}-none", change, Content_Type=JSON_PATCH), 404)
    fhir.post("Patient", new(number))
    outcome(fhir.ask("PATCH", url, change, Content_Type=JSON_PATCH), 412, "multiple-matches")


@line("delete")
def test_delete_is_a_version_and_may_be_repeated(fhir: Any, path: str, condition: str) -> None:
    answer = fhir.ask("DELETE", path)
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (204, b"", 'W/"2"')
    assert fhir.ask("DELETE", path).status_code == 204
    assert fhir.matches(f"Patient?{condition}") == []


@line("delete-conditional")
def test_a_conditional_delete_takes_the_one_match(fhir: Any, path: str, number: str, condition: str) -> None:
    other = fhir.post("Patient", new(number)).json()["id"]
    outcome(fhir.ask("DELETE", f"Patient?{condition}"), 412, "multiple-matches")
    fhir.ask("DELETE", f"Patient/{other}")
    assert fhir.ask("DELETE", f"Patient?{condition}").status_code == 204
    assert fhir.get(path).status_code == 410
    assert fhir.ask("DELETE", f"Patient?{condition}").status_code == 204
    outcome(fhir.ask("DELETE", "Patient"), 400)
