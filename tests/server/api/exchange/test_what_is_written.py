"""What an app signs for another EHR's chart is written by the exchanged token, for the linked patient alone.

Covers server/auth/token_exchange.py together with the access engine.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask

BASE = "http://127.0.0.1:8000"
THERE = "https://other.example/fhir"
SCOPE = (
    "patient/Patient.rs patient/List.crus patient/MedicationStatement.crus patient/Task.crus"
    " patient/Procedure.crus user/Provenance.cu"
)


@pytest.fixture
def writing(abroad: Any, app: Flask) -> Any:
    """`writing(method, path, body)`: a request with the token of an exchange."""
    row = abroad.context.rows.client(abroad.client)
    from dataclasses import replace

    abroad.context.rows.put_client(replace(row, scope=SCOPE))
    abroad.trust(scope=SCOPE)
    token = abroad.access()

    def send(method: str, path: str, body: Any, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return app.test_client().open(
            f"/fhir/{path}".rstrip("/"),
            method=method,
            base_url=BASE,
            data=json.dumps(body),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json", **sent},
        )

    return send


def medication_list(id: str, patient: str = "one", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "List",
        "id": id,
        "status": "current",
        "mode": "snapshot",
        "code": {"coding": [{"system": "http://loinc.org", "code": "10160-0"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "encounter": {"reference": f"{THERE}/Encounter/stay"},
        "source": {"reference": "Practitioner/prac-rn"},
        "entry": [{"item": {"reference": "MedicationStatement/m1"}}],
    } | more


def signed(patient: str = "one") -> dict[str, Any]:
    """A signing as the app sends it."""
    statement = {
        "resourceType": "MedicationStatement",
        "id": "m1",
        "status": "active",
        "medicationCodeableConcept": {"text": "lisinopril"},
        "subject": {"reference": f"Patient/{patient}"},
        "context": {"reference": f"{THERE}/Encounter/stay"},
        "informationSource": {"reference": "Practitioner/prac-rn"},
        "derivedFrom": [{"reference": f"{THERE}/MedicationRequest/r1"}],
    }
    task = {
        "resourceType": "Task",
        "id": "t1",
        "status": "requested",
        "intent": "order",
        "for": {"reference": f"Patient/{patient}"},
        "focus": {"reference": f"{THERE}/MedicationRequest/r1"},
        "requester": {"reference": "Practitioner/prac-rn"},
    }
    procedure = {
        "resourceType": "Procedure",
        "id": "p1",
        "status": "completed",
        "subject": {"reference": f"Patient/{patient}"},
    }
    provenance = {
        "resourceType": "Provenance",
        "id": "v1",
        "target": [{"reference": "List/l1"}, {"reference": "MedicationStatement/m1"}],
        "recorded": "2024-05-17T12:00:00Z",
        "agent": [{"who": {"reference": "Practitioner/prac-rn"}}],
        "entity": [{"role": "source", "what": {"reference": f"{THERE}/MedicationRequest/r1/_history/1"}}],
    }
    entries = []
    for resource in (statement, medication_list("l1", patient), task, procedure, provenance):
        request = {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
        if resource["resourceType"] in ("List", "Task"):
            request["ifNoneMatch"] = "*"
        entries.append({"resource": resource, "request": request})
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def test_a_signing_is_written_whole(writing: Any) -> None:
    answer = writing("POST", "", signed())
    assert answer.status_code == 200, answer.text
    statuses = [entry["response"]["status"] for entry in answer.get_json()["entry"]]
    assert [status.split()[0] for status in statuses] == ["201"] * 5


def test_a_draft_is_made_saved_over_and_retired(writing: Any) -> None:
    draft = medication_list("d1", mode="working")
    made = writing("PUT", "List/d1", draft, If_None_Match="*")
    assert made.status_code == 201, made.text
    assert writing("PUT", "List/d1", draft | {"title": "more"}, If_Match='W/"1"').status_code == 200


def test_nothing_is_written_for_another_patient(writing: Any, fhir: Any) -> None:
    assert writing("POST", "", signed("two")).status_code in (403, 404)
    assert writing("PUT", "List/d2", medication_list("d2", "two"), If_None_Match="*").status_code in (403, 404)
    assert fhir.get("List?patient=two").json["total"] == 0
