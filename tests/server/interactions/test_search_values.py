"""Units, composites and due dates as a client asks for them, over the whole server.

Covers hl7.org/fhir/R4/search.html#quantity, #combining, #prefix; docs/reference/search.md.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

UCUM = "http://unitsofmeasure.org"
FORM = {"Content_Type": "application/x-www-form-urlencoded"}


def found(answer: Any) -> list[str]:
    assert answer.status == 200, answer.body
    return [
        entry["resource"]["id"] for entry in answer.json.get("entry", ()) if entry["search"]["mode"] == "match"
    ]


@pytest.fixture
def laboratory(fhir: Any, build: Any) -> None:
    """Potassium in two units of one patient, and a blood pressure."""
    fhir.put("Patient/p", build.patient(id="p"))
    for id, value, code in (("k1", "5.4", "mmol/L"), ("k2", "5400", "umol/L"), ("k3", "5.6", "meq/L")):
        quantity = {"value": Decimal(value), "unit": code, "system": UCUM, "code": code}
        observation = build.observation(
            "Patient/p",
            id=id,
            code={"coding": [{"system": "http://loinc.org", "code": "2823-3"}]},
            valueQuantity=quantity,
        )
        fhir.put(f"Observation/{id}", observation)
    parts = [
        {
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "valueQuantity": {"value": value, "unit": "mm[Hg]", "system": UCUM, "code": "mm[Hg]"},
        }
        for code, value in (("8480-6", 140), ("8462-4", 90))
    ]
    pressure = build.observation("Patient/p", id="bp", component=parts)
    pressure.pop("valueQuantity", None)
    fhir.put("Observation/bp", pressure)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"value-quantity=5.4|{UCUM}|mmol/L", ["k1", "k2"]),
        (f"value-quantity=gt5.5|{UCUM}|mmol/L", ["k3"]),
        ("value-quantity=5.4||mmol/L", ["k1"]),
        ("value-quantity=gt1000", ["k2"]),
        (f"code-value-quantity=http://loinc.org|2823-3$ge5.5|{UCUM}|mmol/L", ["k3"]),
        ("combo-code-value-quantity=8480-6$gt130", ["bp"]),
        ("component-code-value-quantity=8462-4$gt130", []),
        (f"component-code-value-quantity=8480-6$18.665|{UCUM}|kPa,8462-4$1|{UCUM}|kPa", ["bp"]),
        (f"patient=p&combo-value-quantity=ap141|{UCUM}|mm[Hg]", ["bp"]),
        ("component-code-value-quantity:missing=false", ["bp"]),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_amounts_are_found_in_any_unit_and_beside_their_code(
    fhir: Any, laboratory: None, query: str, expected: list[str], method: str
) -> None:
    if method == "GET":
        answer = fhir.get(f"Observation?{quote(query, safe='=&$|,:/')}&_sort=_id")
    else:
        answer = fhir.post("Observation/_search", quote(f"{query}&_sort=_id", safe="=&").encode(), **FORM)
    assert found(answer) == expected


def test_the_digits_that_were_sent_stay(fhir: Any, laboratory: None) -> None:
    assert b'"value":5.4,' in fhir.get("Observation/k1").body
    assert b'"value":5400,' in fhir.get("Observation/k2").body


def test_a_chain_ends_in_a_composite(fhir: Any, laboratory: None) -> None:
    query = "Patient?_has:Observation:patient:code-value-quantity=2823-3$gt5.5"
    assert found(fhir.get(query)) == ["p"]
    assert found(fhir.get(query.replace("5.5", "9000"))) == []


@pytest.mark.parametrize(
    "value", ["8480-6", "8480-6$", "$140", "8480-6$140$1", "http://loinc.org|$140", "8480-6$much"]
)
def test_a_composite_that_is_not_whole_is_refused(fhir: Any, value: str) -> None:
    answer = fhir.get(f"Observation?component-code-value-quantity={quote(value)}")
    assert answer.status == 400
    (issue,) = answer.json["issue"]
    assert issue["code"] == "value"
    assert issue["expression"] == ["http.component-code-value-quantity"]


def test_composites_and_due_are_in_the_capability_statement(fhir: Any) -> None:
    rest = fhir.get("metadata").json["rest"][0]["resource"]
    known = {row["type"]: {p["name"]: p for p in row["searchParam"]} for row in rest}
    assert known["Observation"]["combo-code-value-quantity"]["type"] == "composite"
    assert known["Task"]["due"]["definition"] == "urn:baton:search-parameter:task-due"


@pytest.fixture
def worklist(fhir: Any, build: Any) -> None:
    fhir.put("Patient/p", build.patient(id="p"))
    fhir.put("Practitioner/doc", {"resourceType": "Practitioner", "id": "doc"})
    for id, end in (("t1", "2024-05-20"), ("t2", "2024-05-18T09:00:00Z"), ("t3", "2024-06"), ("t4", None)):
        restriction = {"restriction": {"period": {"start": "2024-05-01"} | ({"end": end} if end else {})}}
        task = {
            "resourceType": "Task",
            "id": id,
            "status": "requested",
            "intent": "order",
            "for": {"reference": "Patient/p"},
            "owner": {"reference": "Practitioner/doc"},
            "executionPeriod": {"start": "2024-05-02"},
            "authoredOn": "2024-05-01",
        }
        fhir.put(f"Task/{id}", task | restriction)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("_sort=due", ["t2", "t1", "t3", "t4"]),
        ("_sort=-due", ["t3", "t1", "t2", "t4"]),
        ("due=lt2024-05-19&_sort=due", ["t2"]),
        ("due=le2024-05-20&_sort=due", ["t2", "t1"]),
        ("due=2024-06", ["t3"]),
        ("due=sa2024-05-20", ["t3"]),
        ("due=eb2024-05-20", ["t2"]),
        ("due=ap2024-05-17", []),  # today is 2024-05-17: a tenth of nothing
        ("due:missing=true", ["t4"]),
        ("owner=Practitioner/doc&status=requested,in-progress&_sort=due&_count=2", ["t2", "t1"]),
        ("period=gt2024-05-10&_sort=_id", ["t1", "t2", "t3", "t4"]),
        ("period=lt2024-05-02", []),
    ],
)
def test_a_worklist_is_sorted_and_cut_by_what_is_due(
    fhir: Any, worklist: None, query: str, expected: list[str]
) -> None:
    assert found(fhir.get(f"Task?{query}")) == expected


def test_about_is_measured_from_the_moment_of_the_request(fhir: Any, worklist: None) -> None:
    # Today is 2024-05-17, so that the range begins a tenth of 49 and 54 days before.
    assert found(fhir.get("Task?due=ap2024-07-05")) == ["t3"]
    assert found(fhir.get("Task?due=ap2024-07-10")) == []
