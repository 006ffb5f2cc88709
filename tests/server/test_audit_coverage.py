"""What leaves a row in the audit trail: every read, write and refusal, with whose record it was.

Covers server/interactions/audit.py, server/interactions/patients.py, server/origin.py, and the rows made by
server/api/exchange.py and server/auth.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.fhir.index_values import index_values
from server.fhir.json_codec import encode
from server.interactions.patients import patients_of
from server.settings import Settings
from server.storage.audit_values import AuditRow
from server.storage.versions import StoredVersion

BASE = "http://127.0.0.1:8000"


@pytest.fixture
def rows(store: Any, settings: Settings) -> Callable[[], list[AuditRow]]:
    """The rows since the last call, the oldest first."""
    seen = 0

    def new() -> list[AuditRow]:
        nonlocal seen
        store.ingest_audit(settings.home / "audit")
        everything = list(reversed(store.audit_rows(limit=1_000)))
        fresh, seen = everything[seen:], len(everything)
        return fresh

    return new


def observation(id: str, patient: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"text": "weight"},
        "subject": {"reference": f"Patient/{patient}"},
        **more,
    }


@pytest.fixture
def charts(fhir: Any, rows: Callable[[], list[AuditRow]]) -> Any:
    for id in ("one", "two"):
        fhir.put(f"Patient/{id}", {"resourceType": "Patient", "id": id})
        fhir.put(f"Observation/o-{id}", observation(f"o-{id}", id))
    rows()
    return fhir


def test_a_write_names_the_patient_and_the_version(charts: Any, rows: Callable[[], list[AuditRow]]) -> None:
    charts.put("Observation/o-one", observation("o-one", "one", valueInteger=4))
    charts.delete("Observation/o-two")
    update, delete = rows()
    assert (update.interaction, update.outcome, update.id, update.version_id) == ("update", 200, "o-one", 2)
    assert (update.patient, delete.patient, delete.version_id) == ("one", "two", 2)
    assert update.address == "127.0.0.1"
    assert len(update.token_id) == 16
    assert update.request_id


@pytest.mark.parametrize(
    ("path", "patient", "results"),
    [
        ("Observation/o-one", "one", 1),
        ("Observation/o-one/_history/1", "one", 1),
        ("Observation/o-two/_history", "two", 1),
        ("Observation/_history", "one two", 2),
        ("_history", "one two", 4),
        ("Observation", "one two", 2),
        ("Observation?patient=one", "one", 1),
        ("Observation?_id=o-one&_include=Observation:subject", "one", 2),
        ("Patient", "one two", 2),
        ("Observation?_id=nothing", "", 0),
        ("Observation?_summary=count", "", 0),
        ("Observation?_elements=code", "one two", 2),
    ],
)
def test_a_read_names_every_patient_whose_resources_went_out(
    charts: Any, rows: Callable[[], list[AuditRow]], path: str, patient: str, results: int
) -> None:
    assert charts.get(path).status == 200
    (row,) = rows()
    assert (row.outcome, row.patient, row.results) == (200, patient, results)


def test_a_read_that_was_not_sent_again_is_audited_with_its_patient(
    charts: Any, rows: Callable[[], list[AuditRow]]
) -> None:
    assert charts.get("Observation/o-one", If_None_Match='W/"1"').status == 304
    (row,) = rows()
    assert (row.outcome, row.patient, row.results) == (304, "one", 0)


def test_a_search_keeps_the_names_of_its_parameters_and_never_their_values(
    charts: Any, rows: Callable[[], list[AuditRow]]
) -> None:
    charts.get("Patient?name=Zebedee&birthdate=ge1950-01-01&_sort=-_lastUpdated")
    charts.get("Patient?Zebedee=1", Prefer="handling=lenient")
    charts.get("Patient?Zebedee=1&name=Zebedee")
    charts.post("Patient/_search", b"name=Zebedee", Content_Type="application/x-www-form-urlencoded")
    found = rows()
    assert [row.detail for row in found] == ["_sort birthdate name", "", "", "name"]
    assert [row.outcome for row in found] == [200, 200, 400, 200]
    assert "Zebedee" not in str(found)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "Patient/nobody", 404),
        ("GET", "Patient/gone", 410),
        ("GET", "Patient/Zebedee%20Smith", 404),
        ("GET", "Patient/one/_history/7", 404),
        ("PUT", "Patient/one", 412),
        ("PUT", "Patient/other", 400),
        ("POST", "Patient", 415),
        ("GET", "Patient?_count=x", 400),
        ("GET", "Patient?_format=ttl", 406),
    ],
)
def test_every_refusal_is_audited_once(
    charts: Any, rows: Callable[[], list[AuditRow]], method: str, path: str, status: int
) -> None:
    charts.put("Patient/gone", {"resourceType": "Patient", "id": "gone"})
    charts.delete("Patient/gone")
    rows()
    body = {"resourceType": "Patient", "id": "one"} if method != "GET" else None
    headers = {412: {"If_Match": 'W/"9"'}, 415: {"Content_Type": "text/plain"}}.get(status, {})
    assert charts(method, path, body, **headers).status == status
    (row,) = rows()
    assert (row.outcome, row.resource_type) == (status, "Patient")
    assert row.client_id or status == 406  # refused before anybody asked who calls
    assert "Zebedee" not in str(row)


@pytest.mark.parametrize("header", ["", "Bearer nonsense-nonsense-nonsense", "Basic YTpi"])
def test_a_request_without_a_good_token_is_audited_with_its_address(
    charts: Any, rows: Callable[[], list[AuditRow]], header: str
) -> None:
    assert charts.get("Patient/one", Authorization=header).status == 401
    (row,) = rows()
    assert (row.interaction, row.outcome, row.principal, row.client_id) == ("read", 401, "", "")
    assert (row.resource_type, row.id, row.address) == ("Patient", "one", "127.0.0.1")


def test_what_needs_no_access_leaves_no_row(charts: Any, rows: Callable[[], list[AuditRow]]) -> None:
    assert charts.get("metadata").status == 200
    assert charts.get("Unicorn/1").status == 404
    assert rows() == []


def test_entries_of_a_bundle_have_a_row_each(charts: Any, rows: Callable[[], list[AuditRow]]) -> None:
    def entry(method: str, url: str, **more: Any) -> dict[str, Any]:
        return {"request": {"method": method, "url": url}, **more}

    body = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [entry("GET", "Observation/o-one"), entry("PUT", "Patient/three", resource=PATIENT_THREE)],
    }
    assert charts.post("", body).status == 200
    assert sorted((row.interaction, row.patient) for row in rows()) == [("read", "one"), ("update", "three")]
    body["entry"][1]["request"]["ifMatch"] = 'W/"9"'
    assert charts.post("", body).status == 412
    assert [(row.interaction, row.outcome) for row in rows()] == [("transaction", 412)]


PATIENT_THREE = {"resourceType": "Patient", "id": "three"}


def test_pages_leave_rows_of_the_person_who_looks(
    charts: Any, rows: Callable[[], list[AuditRow]], sign_in: Callable[[str], FlaskClient]
) -> None:
    rows()
    assert sign_in("rn").get("/ehr/patients/one", base_url=BASE).status_code == 200
    found = [row for row in rows() if row.client_id == "demo-ehr"]
    assert {row.interaction for row in found} >= {"read", "search-type"}
    assert all(row.principal == "Practitioner/demo-rn" and row.username == "rn" for row in found)
    assert all(row.request_id and row.address == "127.0.0.1" for row in found)
    assert {row.patient for row in found if row.results} == {"one"}
    assert sign_in("engineer").get("/console/resources/Patient/two", base_url=BASE).status_code == 200
    found = [row for row in rows() if row.client_id == "console"]
    assert {row.patient for row in found} == {"two"}
    assert {row.username for row in found} == {"engineer"}


def version(resource: dict[str, Any]) -> StoredVersion:
    return StoredVersion(
        resource["resourceType"], resource["id"], 1, datetime(2026, 3, 1, tzinfo=UTC), encode(resource), "PUT"
    )


@pytest.mark.parametrize(
    "resource",
    [
        {
            "resourceType": "Patient",
            "id": "p",
            "link": [{"other": {"reference": "Patient/q"}, "type": "refer"}],
        },
        observation("o", "p", performer=[{"reference": f"{BASE}/fhir/Patient/q"}]),
        observation("o", "p/_history/3"),
        {
            "resourceType": "Group",
            "id": "g",
            "member": [{"entity": {"reference": f"Patient/m{n}"}} for n in range(9)],
        },
        {
            "resourceType": "Task",
            "id": "t",
            "for": {"reference": "Patient/p"},
            "intent": "plan",
            "status": "draft",
        },
        {"resourceType": "Device", "id": "d", "patient": {"reference": "Patient/p"}},
        {"resourceType": "Practitioner", "id": "x", "name": [{"text": '"reference":"Patient/no"'}]},
    ],
)
def test_nobody_in_whose_compartment_a_resource_is_goes_unnamed(resource: dict[str, Any]) -> None:
    compartments = index_values(resource, base_url=f"{BASE}/fhir", time_zone="UTC").compartments
    assert set(compartments) <= set(patients_of([version(resource)], f"{BASE}/fhir"))


def test_a_text_or_another_servers_patient_names_nobody() -> None:
    note = {"text": 'he said "reference":"Patient/no" and {"reference":"Patient/no"}'}
    other = {"reference": "https://other.example/fhir/Patient/no"}
    assert patients_of([version(observation("o", "p", note=[note], focus=[other]))], f"{BASE}/fhir") == ("p",)
