"""$break-glass: a chart out of reach is opened for a reason, for a while, and never quietly.

Covers server/interactions/operations/break_glass.py. All patients are synthetic.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest

from server.policy.roles import read_policy, use

NURSE = "Practitioner/nurse"
REASON = {"reason": "ETREAT", "comment": "found unconscious at home"}


def parameters(**values: str) -> dict[str, Any]:
    elements = {"reason": "valueCode", "comment": "valueString"}
    rows = [{"name": name, elements.get(name, "valueString"): value} for name, value in values.items()]
    return {"resourceType": "Parameters", "parameter": rows}


@pytest.fixture(autouse=True)
def charts(fhir: Any, build: Any) -> None:
    for id in "ab":
        fhir.put(f"Patient/{id}", build.patient(id=id, identifier=[{"system": "urn:mrn", "value": id}]))
        fhir.put(f"Observation/o-{id}", build.observation(f"Patient/{id}", id=f"o-{id}"))


@pytest.fixture
def nurse(as_token: Any) -> Any:
    return as_token("user/*.cruds", fhir_user=NURSE, role="community")


@pytest.fixture
def site() -> Iterator[None]:
    """A policy with the role `visiting`: who has it may do everything, in related charts."""
    document = json.loads(files("server.policy").joinpath("roles.json").read_text("utf-8"))
    document["roles"]["visiting"] = {
        "title": "visiting",
        "reach": "related",
        "emergency_minutes": 30,
        "types": {"*": "cruds"},
    }
    use(read_policy(json.dumps(document), "tests"))
    yield
    use(None)


@pytest.fixture
def open_a(nurse: Any) -> Callable[[], Any]:
    return lambda: nurse.post("Patient/a/$break-glass", parameters(**REASON))


def ids(fhir: Any, path: str) -> list[str]:
    return sorted(entry["resource"]["id"] for entry in fhir.get(path).json.get("entry", ()))


def test_it_opens_that_chart_as_far_as_the_role_may_go(
    nurse: Any, build: Any, open_a: Callable[[], Any]
) -> None:
    assert nurse.get("Patient/a").status == 404
    answer = open_a()
    assert answer.status == 200
    said = {row["name"]: row for row in answer.json["parameter"]}
    assert said["reason"]["valueCode"] == "ETREAT"
    assert said["period"]["valuePeriod"] == {
        "start": "2024-05-17T12:00:00.123Z",
        "end": "2024-05-17T13:00:00.123Z",
    }
    assert nurse.get("Patient/a").status == 200
    assert ids(nurse, "Observation") == ["o-a"]
    assert nurse.post("Observation", build.observation("Patient/a")).status == 201
    assert nurse.get("Patient/b").status == 404
    refused = nurse.delete("Observation/o-a")  # the role deletes nothing anywhere
    assert refused.status == 403


def test_it_ends_by_itself(clock: Any, as_token: Any, open_a: Callable[[], Any]) -> None:
    open_a()
    clock.advance(minutes=59)
    later = as_token("user/*.cruds", fhir_user=NURSE, role="community")  # the first token ends with it
    assert later.get("Patient/a").status == 200
    clock.advance(minutes=2)
    assert later.get("Patient/a").status == 404
    assert later.post("Patient/a/$break-glass", parameters(**REASON)).status == 200
    assert later.get("Patient/a").status == 200


def test_it_is_kept_and_audited_with_the_patient(
    nurse: Any, store: Any, authorization: Any, open_a: Callable[[], Any]
) -> None:
    before = authorization.rows.security_epoch()
    number = open_a().json["parameter"][0]["valueString"]
    (access,) = store.emergency_access.list()
    assert (str(access.number), access.actor, access.patient) == (number, NURSE, "a")
    assert (access.reason, access.comment) == ("ETREAT", REASON["comment"])
    assert authorization.rows.security_epoch() > before
    row = store.audit_rows(limit=1)[0]
    assert (row.interaction, row.resource_type, row.id, row.patient, row.outcome) == (
        "operation",
        "Patient",
        "a",
        "a",
        200,
    )
    assert row.detail.startswith("$break-glass")
    assert REASON["comment"] not in repr(row)


def test_it_makes_no_relationship_that_outlives_it(nurse: Any, open_a: Callable[[], Any]) -> None:
    open_a()
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "for": {"reference": "Patient/a"},
    }
    own = nurse.post("Task", task | {"owner": {"reference": NURSE}})
    assert (own.status, own.codes) == (403, ["forbidden"])
    assert nurse.post("Task", task).status == 201


def test_what_makes_a_relationship_is_ended_by_it_and_not_renewed(
    fhir: Any, nurse: Any, open_a: Callable[[], Any]
) -> None:
    task = {
        "resourceType": "Task",
        "id": "t",
        "status": "in-progress",
        "intent": "order",
        "for": {"reference": "Patient/a"},
        "owner": {"reference": "Practitioner/other"},
    }
    assert fhir.put("Task/t", task | {"status": "requested"}).status == 201
    assert fhir.put("Task/t", task, If_Match='W/"1"').status == 200
    open_a()
    renewed = nurse.put("Task/t", task | {"description": "call back"}, If_Match='W/"2"')
    assert (renewed.status, renewed.codes) == (403, ["forbidden"])
    assert nurse.put("Task/t", task | {"status": "completed"}, If_Match='W/"2"').status == 200


def test_what_makes_a_relationship_is_deleted_by_it_if_the_role_may(
    fhir: Any, as_token: Any, site: None
) -> None:
    team = {
        "resourceType": "CareTeam",
        "id": "team",
        "status": "active",
        "subject": {"reference": "Patient/a"},
        "participant": [{"member": {"reference": "Practitioner/other"}}],
    }
    assert fhir.put("CareTeam/team", team).status == 201
    visiting = as_token("user/*.cruds", fhir_user=NURSE, role="visiting")
    assert visiting.delete("CareTeam/team").status == 204  # of nothing that could be seen
    assert fhir.get("CareTeam/team").status == 200
    assert visiting.post("Patient/a/$break-glass", parameters(**REASON)).status == 200
    kept = visiting.put("CareTeam/team", team | {"name": "home"}, If_Match='W/"1"')
    assert (kept.status, kept.codes) == (403, ["forbidden"])
    checked = visiting.get("CareTeam/team/$validate?mode=delete")
    assert "forbidden" not in checked.codes
    assert visiting.delete("CareTeam/team", If_Match='W/"1"').status == 204
    assert fhir.get("CareTeam/team").status == 410


@pytest.mark.parametrize("id", ["nobody", "gone"])
def test_an_absent_patient_is_told_to_those_alone_who_may_break_the_glass(
    fhir: Any, build: Any, nurse: Any, as_token: Any, store: Any, id: str
) -> None:
    fhir.put("Patient/gone", build.patient(id="gone", identifier=[{"value": "g"}]))
    fhir.delete("Patient/gone")
    absent = nurse.post(f"Patient/{id}/$break-glass", parameters(**REASON))
    assert (absent.status, absent.codes) == (404, ["not-found"])
    assert store.emergency_access.list() == ()
    rn = as_token("user/*.cruds", fhir_user=NURSE, role="rn")
    there, nowhere = (rn.post(f"Patient/{each}/$break-glass", parameters(**REASON)) for each in ("a", id))
    assert (there.status, there.body) == (nowhere.status, nowhere.body)
    assert there.status == 403


def test_a_chart_in_reach_is_not_opened_again(
    fhir: Any, nurse: Any, store: Any, open_a: Callable[[], Any]
) -> None:
    open_a()
    again = open_a()
    assert (again.status, again.codes) == (422, ["business-rule"])
    assert len(store.emergency_access.list()) == 1


@pytest.mark.parametrize(
    ("scope", "claims"),
    [
        ("system/*.cruds", {}),
        ("patient/*.cruds", {"patient": "a", "fhir_user": NURSE, "role": "community"}),
        ("user/*.cruds", {"fhir_user": NURSE, "role": "rn"}),
        ("user/*.cruds", {"fhir_user": NURSE, "role": "engineer"}),
        ("user/*.cruds", {"role": "community"}),
        ("user/Observation.rs", {"fhir_user": NURSE, "role": "community"}),
    ],
)
def test_nobody_else_may(as_token: Any, store: Any, scope: str, claims: dict[str, str]) -> None:
    refused = as_token(scope, **claims).post("Patient/a/$break-glass", parameters(**REASON))
    assert (refused.status, refused.codes) == (403, ["forbidden"])
    assert store.emergency_access.list() == ()


@pytest.mark.parametrize(
    ("values", "status", "code", "path"),
    [
        ({"comment": REASON["comment"]}, 400, "required", "reason"),
        ({"reason": "ETREAT"}, 400, "required", "comment"),
        ({**REASON, "reason": "CURIOUS"}, 400, "value", "reason"),
        ({**REASON, "comment": "because"}, 400, "value", "comment"),
        ({**REASON, "comment": "    a   b     "}, 400, "value", "comment"),
        ({**REASON, "comment": "x" * 1001}, 400, "value", "comment"),
        ({**REASON, "comment": "looks like \u0007 words"}, 400, "value", "comment"),
        ({**REASON, "minutes": "600"}, 400, "not-supported", "minutes"),
    ],
)
def test_a_reason_and_words_that_can_be_reviewed_are_needed(
    nurse: Any, store: Any, values: dict[str, str], status: int, code: str, path: str
) -> None:
    refused = nurse.post("Patient/a/$break-glass", parameters(**values))
    assert (refused.status, refused.codes) == (status, [code])
    assert refused.paths == [f"Parameters.parameter.where(name = '{path}')"]
    assert store.emergency_access.list() == ()


def test_it_is_a_post_of_one_patient(nurse: Any) -> None:
    assert nurse.get("Patient/a/$break-glass").status == 405
    assert nurse.post("Patient/$break-glass", parameters(**REASON)).status == 404
    assert nurse.post("Observation/o-a/$break-glass", parameters(**REASON)).status == 404


def test_within_a_transaction_that_fails_nothing_is_opened(nurse: Any, build: Any, store: Any) -> None:
    opens = build.entry("POST", "Patient/a/$break-glass", parameters(**REASON))
    fails = build.entry("POST", "Observation", build.observation("Patient/b"))
    assert nurse.post("", build.bundle("transaction", opens, fails)).status == 403
    assert store.emergency_access.list() == ()
    assert nurse.get("Patient/a").status == 404
