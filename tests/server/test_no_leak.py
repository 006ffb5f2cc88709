"""Nothing hidden is shown and nothing of another chart is written: row sources and spellings, a row each.

Random charts with a second opinion are in test_no_leak_random.py. Covers hl7.org/fhir/R4/references.html and
docs/decisions/0005-access-in-sql.md. All patients are synthetic.
"""

from __future__ import annotations

from typing import Any

import pytest

BASE = "http://127.0.0.1:8000/fhir"


HIDDEN = (
    "Communication",
    "Communication?_summary=count",
    "Communication/_history",
    "Communication/event",
    "Communication/event/_history",
    "Communication/event/_history/1",
    "_history",
    "Patient?_revinclude=Communication:*",
    "Patient?_revinclude=Communication:patient",
    "Patient?_has:Communication:patient:status=completed",
    "Patient?_id=p1&_revinclude=Communication:subject",
    "Practitioner?_has:Communication:sender:status=completed",
    "Provenance?_include=Provenance:target",
    "Provenance?_include=*",
    "Provenance?target:Communication.status=completed",
)


@pytest.mark.parametrize("path", HIDDEN)
def test_a_type_that_no_scope_reaches_is_hidden_everywhere(
    fhir: Any, as_token: Any, build: Any, path: str
) -> None:
    """A nurse whose token says nothing of Communications. AuditEvents: interactions/test_audit_events.py."""
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Practitioner/s1", {"resourceType": "Practitioner", "id": "s1"})
    fhir.put(
        "Communication/event",
        {
            "resourceType": "Communication",
            "id": "event",
            "status": "completed",
            "sent": "2024-01-01T00:00:00Z",
            "subject": {"reference": "Patient/p1"},
            "sender": {"reference": "Practitioner/s1"},
        },
    )
    fhir.put(
        "Provenance/v1",
        {
            "resourceType": "Provenance",
            "id": "v1",
            "target": [{"reference": "Communication/event"}],
            "recorded": "2024-01-01T00:00:00Z",
            "agent": [{"who": {"reference": "Practitioner/s1"}}],
        },
    )
    scope = "user/Patient.rs user/Practitioner.rs user/Provenance.rs"
    nurse = as_token(scope, fhir_user="Practitioner/s1", role="rn")

    assert b'"Communication"' in fhir.get(path).body or "_has" in path or "target:" in path or "count" in path
    answer = nurse.get(path)
    assert answer.status in (200, 403)
    if answer.status == 200:
        assert b"Communication/event" not in answer.body.replace(b'{"reference":"Communication/event"}', b"")
        if "_has" in path or "target:" in path:
            assert answer.json["total"] == 0
            assert fhir.get(path).json["total"] == 1


SPELLINGS = (
    "/fhir/Observation/o1",
    "//fhir/Observation/o1",
    "/fhir//Observation/o1",
    "/fhir/%4Fbservation/o1",
    "/fhir/Observation%2Fo1",
    "/fhir/Observation/%6F1",
    "/fhir/Observation/o1;x",
    "/fhir/Observation/o1%00",
    "/fhir/Observation/o1/",
    "/fhir/./Observation/o1",
    "/fhir/metadata/../Observation/o1",
    "/fhir/.well-known/../Observation/o1",
    "/fhir/.well-known/smart-configuration/../../Observation/o1",
    "/fhir/Observation/o1/_history/1",
    "/fhir/Observation/o1/Observation",
    "/fhir/Patient/p1/$everything",
    "/FHIR/Observation/o1",
)


@pytest.mark.parametrize("path", SPELLINGS)
def test_no_spelling_of_an_address_and_no_method_reaches_what_is_hidden(
    app: Any, fhir: Any, as_token: Any, build: Any, path: str
) -> None:
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.put("Observation/o1", build.observation("Patient/p1", id="o1"))
    token = as_token("patient/*.rs", patient="p2")._token
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"):
        answer = app.test_client().open(
            path,
            method=method,
            base_url="http://127.0.0.1:8000",
            headers={"Authorization": f"Bearer {token}", "X-HTTP-Method-Override": "GET"},
        )
        assert 400 <= answer.status_code < 500, (method, answer.status_code)
        assert b"2160-0" not in answer.data
        assert "ETag" not in answer.headers
    assert fhir.get("Observation/o1/_history").json["total"] == 1


@pytest.mark.parametrize(
    ("reference", "status"),
    [
        ({"reference": "Patient/p1"}, 403),
        ({"reference": "Patient/p1/_history/1"}, 403),
        ({"reference": f"{BASE}/Patient/p1"}, 403),
        ({"reference": f"{BASE}/Patient/p1/_history/1"}, 403),
        # These name nobody of this server, so they put nothing into a chart.
        ({"reference": "#p1"}, 201),
        ({"reference": "https://elsewhere.example/fhir/Patient/p1"}, 201),
        ({"type": "Patient", "identifier": {"system": "urn:example:mrn", "value": "A-1"}}, 201),
    ],
)
def test_a_reference_in_any_form_that_names_another_chart_is_not_written(
    fhir: Any, as_token: Any, build: Any, reference: dict[str, Any], status: int
) -> None:
    for id in ("p1", "p2"):
        fhir.put(f"Patient/{id}", build.patient(id=id))
    contained = [{"resourceType": "Patient", "id": "p1"}] if reference.get("reference") == "#p1" else []
    more = {"contained": contained} if contained else {}
    own = as_token("patient/*.cruds", patient="p2")
    written = build.observation("Patient/p2", id="o1", performer=[reference], **more)

    assert own.put("Observation/o1", written).status == status
    assert as_token("patient/*.rs", patient="p1").get("Observation").json["total"] == 0
