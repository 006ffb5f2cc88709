"""An audit row as an AuditEvent: valid, shaped by BALP, saying what the row says and nothing more.

Covers server/interactions/audit_event.py, server/policy/audit_events.py. Sources: profiles.ihe.net/ITI/BALP
(StructureDefinitions of 1.1.4), hl7.org/fhir/R4/auditevent.html
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from hypothesis import given
from hypothesis import strategies as st

from server.fhir.validation import validate
from server.interactions.audit_event import audit_event
from server.policy.audit_events import interactions, kind, kinds
from server.storage.audit_values import AuditRow

BASE = "http://127.0.0.1:8000/fhir"
BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
DCM = "http://dicom.nema.org/resources/ontology/DCM"
MOMENT = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
READ = AuditRow(
    recorded=MOMENT,
    principal="Practitioner/p",
    client_id="app",
    interaction="read",
    resource_type="Observation",
    id="o1",
    version_id=3,
    patient="a",
    outcome=200,
    request_id="request-1",
    username="rn",
    token_id="0123456789abcdef",
    address="10.0.0.1",
    results=1,
)

_IDS = st.sampled_from(["", "a", "x.1-Y"])
ROWS = st.builds(
    AuditRow,
    recorded=st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(
        lambda moment: moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    ),
    principal=st.sampled_from(
        [
            "",
            "Practitioner/p",
            "PractitionerRole/r",
            "Patient/a",
            "User/rn",
            "Client/app",
            "operator",
            "Organization/q",
        ]
    ),
    client_id=st.sampled_from(["", "app", "console"]),
    interaction=st.sampled_from(
        [*sorted(name for name in kinds() if name), "queue-retry", "of-a-later-release"]
    ),
    resource_type=st.sampled_from(["", "Patient", "Observation"]),
    id=_IDS,
    version_id=st.sampled_from([0, 1, 12]),
    patient=st.sampled_from(["", "a", "b", "a b", "a b c"]),
    outcome=st.sampled_from([200, 201, 304, 400, 401, 403, 404, 410, 503, 507]),
    request_id=st.sampled_from(["", "request-1"]),
    username=st.sampled_from(["", "rn"]),
    token_id=st.sampled_from(["", "0123456789abcdef"]),
    purpose=st.sampled_from(["", "TREAT", "BTG"]),
    address=st.sampled_from(["", "10.0.0.1", "::1"]),
    results=st.sampled_from([0, 1, 50]),
    detail=st.sampled_from(["", "_sort patient", "$everything _type", "user/*.rs"]),
    organization=st.sampled_from(["", "Organization/q"]),
)


@given(ROWS, st.integers(1, 2**62))
def test_every_row_is_a_valid_audit_event(row: AuditRow, sequence: int) -> None:
    event = audit_event(sequence, row, BASE)
    assert [(issue.code, issue.expression) for issue in validate(event) if issue.severity == "error"] == []
    second = AuditEvent.model_validate_json(json.dumps(event))
    assert second.id == str(sequence)


@given(ROWS)
def test_exactly_one_agent_asked_for_it(row: AuditRow) -> None:
    agents = audit_event(1, row, BASE)["agent"]
    assert [agent["requestor"] for agent in agents].count(True) == 1
    assert agents[0]["requestor"] is True


@given(ROWS)
def test_nothing_of_a_row_is_lost(row: AuditRow) -> None:
    text = json.dumps(audit_event(1, row, BASE))
    for said in (
        row.username,
        row.client_id,
        row.token_id,
        row.purpose,
        row.address,
        row.request_id,
        row.organization,
    ):
        assert json.dumps(said)[1:-1] in text
    assert all(f'"Patient/{id}"' in text for id in row.patient.split())
    if row.resource_type and row.id:
        assert f"{row.resource_type}/{row.id}" in text


def test_a_read_of_a_patients_record_is_balps_patient_read() -> None:
    event = audit_event(7, READ, BASE)
    assert event["meta"]["profile"] == [f"{BALP}PatientRead", f"{BALP}OAUTHaccessTokenUse.Minimal"]
    assert (event["action"], event["outcome"], event["type"]["code"]) == ("R", "0", "rest")
    assert [coding["code"] for coding in event["subtype"]] == ["read"]
    user, client, server = event["agent"]
    # Of a retrieval the client is DICOM's destination and the server its source.
    assert client["type"]["coding"][0] == {"system": DCM, "code": "110152", "display": "Destination Role ID"}
    assert server["type"]["coding"][0]["code"] == "110153"
    assert client["network"] == {"address": "10.0.0.1", "type": "2"}
    assert (client["who"]["identifier"]["value"], user["who"]["identifier"]["value"]) == ("app", "rn")
    assert user["who"]["reference"] == "Practitioner/p"
    assert {coding["code"] for coding in user["type"]["coding"]} == {"IRCP", "UserOauthAgent"}
    assert user["policy"] == ["urn:ietf:params:oauth:jti:0123456789abcdef"]
    assert "network" not in user
    patient, data, request = event["entity"]
    assert (patient["what"]["reference"], patient["type"]["code"], patient["role"]["code"]) == (
        "Patient/a",
        "1",
        "1",
    )
    assert data["what"]["reference"] == "Observation/o1/_history/3"
    assert (data["type"]["code"], data["role"]["code"]) == ("2", "4")
    assert (request["type"]["code"], request["what"]["identifier"]["value"]) == ("XrequestId", "request-1")


def test_a_read_of_nobodys_record_is_balps_read() -> None:
    event = audit_event(7, replace(READ, resource_type="Organization", patient=""), BASE)
    assert f"{BALP}Read" in event["meta"]["profile"]


@pytest.mark.parametrize(
    "lacking",
    [{"patient": "a b"}, {"outcome": 404}, {"client_id": ""}, {"address": ""}, {"id": ""}, {"request_id": ""}],
)
def test_a_profile_that_asks_for_more_than_the_row_has_is_not_claimed(lacking: dict[str, Any]) -> None:
    event = audit_event(7, replace(READ, token_id="", **lacking), BASE)
    assert "profile" not in event["meta"]


def test_a_write_names_its_author_and_the_client_as_its_source() -> None:
    event = audit_event(7, replace(READ, interaction="create", outcome=201), BASE)
    assert event["action"] == "C"
    assert f"{BALP}PatientCreate" in event["meta"]["profile"]
    user, client, server = event["agent"]
    assert user["type"]["coding"][0]["code"] == "AUT"
    assert (client["type"]["coding"][0]["code"], server["type"]["coding"][0]["code"]) == ("110153", "110152")


def test_a_search_tells_the_names_of_its_parameters_and_every_patient() -> None:
    row = replace(READ, interaction="search-type", id="", version_id=0, patient="a b", detail="_sort patient")
    event = audit_event(7, row, BASE)
    assert event["action"] == "E"
    assert [coding["code"] for coding in event["subtype"]] == ["search", "search-type"]
    patients = [
        entity["what"]["reference"] for entity in event["entity"] if entity.get("role", {}).get("code") == "1"
    ]
    assert patients == ["Patient/a", "Patient/b"]
    (query,) = [entity for entity in event["entity"] if "query" in entity]
    assert b64decode(query["query"]).decode() == "Observation?_sort&patient"
    assert query["detail"] == [{"type": "results", "valueString": "1"}]


@pytest.mark.parametrize(
    ("outcome", "code"), [(200, "0"), (304, "0"), (400, "4"), (404, "4"), (500, "8"), (507, "8")]
)
def test_the_outcome_is_by_the_status(outcome: int, code: str) -> None:
    event = audit_event(7, replace(READ, outcome=outcome), BASE)
    assert (event["outcome"], event["outcomeDesc"]) == (code, f"HTTP {outcome}")


@pytest.mark.parametrize(("outcome", "denied"), [(401, True), (403, True), (404, False), (200, False)])
def test_what_was_refused_because_of_who_asked_is_an_authorization_decision(outcome: int, denied: bool) -> None:
    event = audit_event(7, replace(READ, outcome=outcome), BASE)
    assert ("AuthZ-Role" in [coding["code"] for coding in event["subtype"]]) is denied


def test_breaking_the_glass_stands_in_the_purpose() -> None:
    event = audit_event(7, replace(READ, purpose="BTG"), BASE)
    purpose = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "BTG"}]}
    assert event["purposeOfEvent"] == event["agent"][0]["purposeOfUse"] == [purpose]


def test_a_sign_in_is_user_authentication() -> None:
    row = AuditRow(MOMENT, "Practitioner/p", "oauth2-pages", "login", "", "", 0, "", 200, "r", username="rn")
    event = audit_event(7, row, BASE)
    assert event["type"] == {"system": DCM, "code": "110114", "display": "User Authentication"}
    assert event["subtype"][0] == {"system": DCM, "code": "110122", "display": "Login"}


def test_a_command_of_the_operator_is_an_event_without_an_app() -> None:
    row = AuditRow(MOMENT, "operator", "", "user-add", "", "", 0, "", 200, "", username="rn", detail="rn")
    user, server = audit_event(7, row, BASE)["agent"]
    assert user["who"] == {"identifier": {"system": "urn:baton:user", "value": "rn"}}
    assert server["requestor"] is False


@given(st.sampled_from(["R", "C", "U", "D", "E"]))
def test_interactions_are_found_by_their_kind(action: str) -> None:
    found = interactions(lambda kind: kind.action == action)
    for name in (*kinds(), "of-a-later-release"):
        if name:
            assert (kind(name).action == action) is ((name in found.named) is not found.others)
