"""What a message says becomes what is stored: once, in one transaction, with the origin of everything.

Covers server/hl7v2/apply.py, drafts.py, finding.py, provenance.py and retirement.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from mappings.result import Finding, Identity, Intent
from server.fhir.visibility import EVERYTHING
from server.hl7v2.trace import read_trace


def test_a_new_patient_and_a_visit_are_made_and_refer_to_each_other(feed: Any, say: Any) -> None:
    id = feed.apply(say.mapped(say.patient(name=[{"family": "Doe"}]), say.encounter()))
    patient, encounter = feed.one("Patient"), feed.one("Encounter")
    assert encounter["subject"] == {"reference": f"Patient/{patient['id']}"}
    row = feed.row(id)
    assert row["state"] == "applied"
    assert row["mapping_version"] == "v1"
    assert json.loads(row["result"]) == [
        f"Patient/{patient['id']}/_history/1",
        f"Encounter/{encounter['id']}/_history/1",
    ]


def test_the_next_message_finds_them_again(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient(name=[{"family": "Doe"}]), say.encounter()))
    feed.apply(say.mapped(say.patient(name=[{"family": "Roe"}]), say.encounter(status="finished"), at=1))
    assert feed.one("Patient")["name"] == [{"family": "Roe"}]
    assert feed.one("Encounter")["status"] == "finished"
    assert feed.one("Encounter")["meta"]["versionId"] == "2"


def test_a_patient_that_came_by_another_way_is_found_by_its_identifier(feed: Any, say: Any, fhir: Any) -> None:
    body = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:id:HOSP", "value": "1"}],
        "gender": "male",
    }
    known = fhir.post("Patient", body).json
    feed.apply(say.mapped(say.patient(birthDate="1970-01-02")))
    patient = feed.one("Patient")
    assert (patient["id"], patient["gender"], patient["birthDate"]) == (known["id"], "male", "1970-01-02")


@pytest.mark.requirement("hl7v2-2.3-ambiguous")
def test_two_stored_patients_that_match_are_never_chosen_between(feed: Any, say: Any, fhir: Any) -> None:
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:id:HOSP", "value": "1"}]}
    for _ in range(2):
        assert fhir.post("Patient", body).status == 201
    id = feed.apply(say.mapped(say.patient(gender="female")))
    assert feed.row(id)["state"] == "failed"
    assert feed.row(id)["error"].startswith("ambiguous ")
    assert all("gender" not in patient for patient in feed.stored("Patient"))


def test_one_message_that_names_two_stored_patients_is_refused(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient("1")))
    feed.apply(say.mapped(say.patient("2")), patient="2")
    both = say.but(say.patient("1"), identities=(Identity("urn:id:HOSP", "1"), Identity("urn:id:HOSP", "2")))
    id = feed.apply(say.mapped(both))
    assert feed.row(id)["error"].startswith("ambiguous ")


def test_a_message_that_is_refused_leaves_nothing_behind(feed: Any, say: Any) -> None:
    wrong = Intent("wrong", {"resourceType": "Observation", "status": "no such status"})
    id = feed.apply(say.mapped(say.patient(), wrong))
    row = feed.row(id)
    assert row["state"] == "failed"
    assert row["error"].startswith("invalid-resource ")
    assert "no such status" not in row["error"]
    assert feed.stored("Patient") == feed.stored("Observation") == feed.stored("Provenance") == []
    assert feed.identities.find([1, 2]) == {}


def test_what_is_said_again_makes_no_new_version_and_no_provenance(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient(gender="male"), say.encounter()))
    id = feed.apply(say.mapped(say.patient(gender="male"), say.encounter(), at=1))
    assert feed.one("Patient")["meta"]["versionId"] == "1"
    assert len(feed.stored("Provenance")) == 1
    assert json.loads(feed.row(id)["result"]) == []


@pytest.mark.requirement("hl7v2-2.2-provenance")
def test_provenance_names_the_message_the_sender_and_all_that_was_written(feed: Any, say: Any) -> None:
    id = feed.apply(say.mapped(say.patient(), say.encounter()))
    provenance = feed.one("Provenance")
    assert [target["reference"] for target in provenance["target"]] == json.loads(feed.row(id)["result"])
    assert provenance["entity"][0]["what"]["identifier"] == {"system": "urn:baton:message", "value": str(id)}
    assert provenance["agent"][0]["who"]["identifier"]["value"] == "adt"
    assert provenance["occurredDateTime"] == "2026-03-01T08:00:00Z"


def test_the_trail_says_that_the_feed_wrote_it(feed: Any, say: Any, store: Any) -> None:
    id = feed.apply(say.mapped(say.patient()))
    rows = [row for row in store.audit_rows(limit=10) if row.interaction == "update"]
    assert {(row.client_id, row.request_id, row.resource_type) for row in rows} == {
        ("baton-hl7v2", f"hl7v2-{id}", "Patient"),
        ("baton-hl7v2", f"hl7v2-{id}", "Provenance"),
    }


@pytest.mark.requirement("hl7v2-2-null")
def test_an_element_is_emptied_on_purpose_and_kept_where_nothing_is_said(feed: Any, say: Any) -> None:
    first = say.patient(gender="male", maritalStatus={"text": "M"}, deceasedBoolean=False)
    feed.apply(say.mapped(first))
    feed.apply(say.mapped(say.but(say.patient(), cleared=("maritalStatus", "deceased")), at=1))
    patient = feed.one("Patient")
    assert patient["gender"] == "male"
    assert "maritalStatus" not in patient
    assert "deceasedBoolean" not in patient


@pytest.mark.requirement("hl7v2-6-demographics")
def test_only_adt_changes_who_somebody_is(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient(name=[{"family": "Doe"}])))
    old = say.patient(name=[{"family": "Maiden"}])
    feed.apply(say.mapped(old, say.observation("F1"), at=1), type="ORU", trigger="R01")
    assert feed.one("Patient")["name"] == [{"family": "Doe"}]
    assert feed.one("Observation")["subject"]["reference"] == f"Patient/{feed.one('Patient')['id']}"


def test_what_a_result_said_first_of_a_patient_gives_way_to_an_older_adt(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient(name=[{"family": "Maiden"}]), at=10), type="ORU", trigger="R01")
    feed.apply(say.mapped(say.patient(name=[{"family": "Doe"}]), at=5))
    assert feed.one("Patient")["name"] == [{"family": "Doe"}]


@pytest.mark.requirement("hl7v2-order-stale")
def test_what_is_older_never_overwrites_what_is_newer(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient(name=[{"family": "New"}]), at=10))
    id = feed.apply(say.mapped(say.patient(name=[{"family": "Old"}]), at=5))
    assert feed.one("Patient")["name"] == [{"family": "New"}]
    told = read_trace(feed.traces.get(id, "v1"))
    assert [outcome["outcome"] for outcome in told["outcomes"]] == ["stale"]
    assert feed.row(id)["state"] == "applied"


def test_a_newer_message_that_changes_nothing_still_is_the_latest_word(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient(gender="male"), at=1))
    feed.apply(say.mapped(say.patient(gender="male"), at=10))
    feed.apply(say.mapped(say.patient(gender="female"), at=5))
    assert feed.one("Patient")["gender"] == "male"


@pytest.mark.requirement("hl7v2-2.6-status")
@pytest.mark.parametrize(
    ("first", "second", "minutes", "value"),
    [
        ("preliminary", "final", 1, "2"),
        ("final", "preliminary", 1, "1"),
        ("final", "corrected", 1, "2"),
        ("final", "final", 1, "2"),
        ("final", "final", -1, "1"),
        ("preliminary", "final", -1, "2"),
        ("corrected", "final", 1, "1"),
    ],
)
def test_a_status_only_goes_up_and_between_equals_the_later_moment_wins(
    feed: Any, say: Any, first: str, second: str, minutes: float, value: str
) -> None:
    lab = {"type": "ORU", "trigger": "R01"}
    feed.apply(say.mapped(say.patient(), say.observation("F1", first, "1"), at=60), **lab)
    feed.apply(say.mapped(say.patient(), say.observation("F1", second, "2"), at=60 + minutes), **lab)
    assert feed.one("Observation")["valueString"] == value


@pytest.mark.requirement("hl7v2-6-oru-before-order")
def test_a_result_before_its_order_makes_the_order_and_the_order_completes_it(feed: Any, say: Any) -> None:
    def order(write: str, *numbers: str, **elements: Any) -> Intent:
        resource = {
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "order",
            "subject": {"reference": "#intent:patient"},
            **elements,
        }
        identities = tuple(Identity("urn:id:ORDERS", number, is_identifier=False) for number in numbers)
        return Intent("order", resource, identities, write=write)

    lab = {"type": "ORU", "trigger": "R01"}
    feed.apply(say.mapped(say.patient(), order("create", "P1", "F1"), at=10), **lab)
    feed.apply(
        say.mapped(say.patient(), order("merge", "P1", priority="stat"), at=5), type="ORM", trigger="O01"
    )
    feed.apply(
        say.mapped(say.patient(), order("merge", "F1", authoredOn="2026-03-01"), at=20),
        type="ORM",
        trigger="O01",
    )
    request = feed.one("ServiceRequest")
    assert (request["priority"], request["authoredOn"]) == ("stat", "2026-03-01")


@pytest.mark.requirement("hl7v2-2.4-transfer")
def test_a_transfer_ends_the_old_place_and_begins_the_new_one(feed: Any, say: Any) -> None:
    def at(ward: str, start: str) -> dict[str, Any]:
        return {"location": {"display": ward}, "status": "active", "period": {"start": start}}

    feed.apply(say.mapped(say.patient(), say.encounter(location=[at("A", "2026-03-01T08:00:00Z")])))
    moved = say.mapped(say.patient(), say.encounter(location=[at("B", "2026-03-01T09:00:00Z")]), at=60)
    feed.apply(moved, trigger="A02")
    feed.apply(say.mapped(say.patient(), say.encounter(location=[at("B", "2026-03-01T09:00:00Z")]), at=61))
    first, second = feed.one("Encounter")["location"]
    assert first["period"] == {"start": "2026-03-01T08:00:00Z", "end": "2026-03-01T09:00:00Z"}
    assert first["status"] == "completed"
    assert second == at("B", "2026-03-01T09:00:00Z")


@pytest.mark.requirement("hl7v2-2.3-delete")
def test_what_is_retired_is_marked_and_stays(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient()))
    feed.apply(say.mapped(say.patient(write="retire"), at=1), trigger="A29")
    assert feed.one("Patient")["active"] is False
    unknown = feed.apply(say.mapped(say.patient("9", write="retire"), at=1), patient="9", trigger="A29")
    assert feed.row(unknown)["state"] == "applied"
    assert len(feed.stored("Patient")) == 1


def test_a_condition_in_error_loses_its_clinical_status(feed: Any, say: Any) -> None:
    clinical = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
    }
    resource = {
        "resourceType": "Condition",
        "clinicalStatus": clinical,
        "subject": {"reference": "#intent:patient"},
        "code": {"text": "made by a test"},
    }
    condition = Intent("condition", resource, (Identity("urn:id:DG", "1", is_identifier=False),))
    feed.apply(say.mapped(say.patient(), condition))
    feed.apply(say.mapped(say.patient(), say.but(condition, write="retire"), at=1))
    stored = feed.one("Condition")
    assert "clinicalStatus" not in stored
    assert stored["verificationStatus"]["coding"][0]["code"] == "entered-in-error"


def test_a_visit_number_used_for_two_patients_moves_nothing_between_charts(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient("1"), say.encounter("V1")))
    id = feed.apply(say.mapped(say.patient("2"), say.encounter("V1"), at=1), patient="2")
    assert feed.row(id)["error"].startswith("other-patient ")
    assert feed.one("Encounter")["subject"]["reference"] == f"Patient/{feed.one('Patient')['id']}"


def test_what_has_no_identity_is_made_once_however_often_the_message_is_applied(feed: Any, say: Any) -> None:
    note = {"resourceType": "Communication", "status": "completed", "subject": {"reference": "#intent:patient"}}
    mapped = say.mapped(say.patient(), Intent("note", note))
    id = feed.apply(mapped)
    with feed.store.database.writing() as connection:
        connection.execute("UPDATE hl7v2_message SET state = 'received' WHERE id = :id", {"id": id})
    feed.run()
    assert len(feed.stored("Communication")) == 1
    feed.apply(mapped)
    assert len(feed.stored("Communication")) == 2


def test_elements_that_are_only_set_where_nothing_is_stored(feed: Any, say: Any) -> None:
    feed.apply(say.mapped(say.patient(gender="male")))
    kept = say.but(say.patient(gender="female", birthDate="1970-01-02"), keep=("gender", "birthDate"))
    feed.apply(say.mapped(kept, at=1))
    assert (feed.one("Patient")["gender"], feed.one("Patient")["birthDate"]) == ("male", "1970-01-02")


def test_a_map_that_refuses_a_message_says_why(feed: Any, say: Any) -> None:
    refused = Finding("test-message", "MSH[1]-11.1", "a test message in a production feed")
    id = feed.apply(say.mapped(refused=refused))
    assert feed.row(id)["error"] == "test-message a test message in a production feed (MSH[1]-11.1)"


def test_a_patient_that_is_made_at_the_same_moment_is_found_instead_of_made_twice(
    feed: Any, say: Any, fhir: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.hl7v2 import apply

    body = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:id:HOSP", "value": "1"}],
        "gender": "male",
    }
    made: list[str] = []
    original = apply.merge

    def slow(*arguments: Any) -> Any:
        """What comes between the look and the write."""
        if not made:
            made.append(fhir.post("Patient", body).json["id"])
        return original(*arguments)

    monkeypatch.setattr(apply, "merge", slow)
    id = feed.apply(say.mapped(say.patient(birthDate="1970-01-02")))
    assert feed.row(id)["state"] == "applied"
    assert (feed.one("Patient")["id"], feed.one("Patient")["birthDate"]) == (made[0], "1970-01-02")


def test_a_change_of_another_at_the_same_moment_is_not_overwritten(
    feed: Any, say: Any, fhir: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.hl7v2 import apply

    feed.apply(say.mapped(say.patient()))
    original, done = apply.merge, []

    def slow(*arguments: Any) -> Any:
        if not done:
            done.append(1)
            known = feed.one("Patient")
            assert fhir.put(f"Patient/{known['id']}", known | {"gender": "male"}).status == 200
        return original(*arguments)

    monkeypatch.setattr(apply, "merge", slow)
    feed.apply(say.mapped(say.patient(birthDate="1970-01-02"), at=1))
    patient = feed.one("Patient")
    assert (patient["gender"], patient["birthDate"], patient["meta"]["versionId"]) == (
        "male",
        "1970-01-02",
        "3",
    )


def test_a_resource_that_was_deleted_by_hand_comes_back_under_its_id(feed: Any, say: Any, fhir: Any) -> None:
    feed.apply(say.mapped(say.patient(gender="male")))
    id = feed.one("Patient")["id"]
    assert fhir.delete(f"Patient/{id}").status == 204
    feed.apply(say.mapped(say.patient(), at=1))
    assert feed.one("Patient")["id"] == id
    with feed.store.reading() as reader:
        assert reader.read("Patient", id, EVERYTHING).version_id == 3


def test_what_a_map_says_of_the_origin_is_completed(feed: Any, say: Any) -> None:
    author = {
        "type": {"text": "author"},
        "who": {"reference": "#intent:patient"},
    }
    said = Intent(
        "provenance",
        {
            "resourceType": "Provenance",
            "target": [{"reference": "#intent:patient"}, {"reference": "#intent:gone"}],
            "recorded": "2026-03-01T08:00:00Z",
            "agent": [author, {"type": {"coding": [{"code": "assembler"}]}, "who": {"display": "any"}}],
        },
    )
    id = feed.apply(say.mapped(say.patient(), say.patient("9", key="gone", write="retire"), said))
    patient = feed.one("Patient")
    provenance = feed.one("Provenance")
    assert provenance["target"] == [{"reference": f"Patient/{patient['id']}/_history/1"}]
    assert provenance["agent"][0]["who"] == {"reference": f"Patient/{patient['id']}"}
    assert [agent["who"].get("display") for agent in provenance["agent"][1:]] == ["Baton, HL7 v2 maps v1"]
    assert provenance["entity"][0]["what"]["identifier"]["value"] == str(id)
    feed.apply(say.mapped(say.patient(), said, at=1))
    assert len(feed.stored("Provenance")) == 1
