"""The lifecycle of care at the door: every way of writing meets it, and people act for whom they act.

Covers: 422 business-rule naming the rule; first versions in any state; update, transaction, batch and what
comes after a deletion; who is the requester or target (Practitioner, PractitionerRole, Organization, CareTeam).
The machines themselves: tests/server/policy/test_lifecycle.py.
"""

from __future__ import annotations

from typing import Any

import pytest

FULFILL = {"coding": [{"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}]}
REASON = {"text": "a reason"}
EVERYTHING = "user/*.cruds"


def task(status: str = "requested", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "id": "t1",
        "status": status,
        "intent": "order",
        "code": FULFILL,
        "focus": {"reference": "ServiceRequest/s1"},
        "for": {"reference": "Patient/p1"},
        "authoredOn": "2024-05-01",
        "requester": {"reference": "Organization/practice"},
        "owner": {"reference": "Organization/foodbank"},
    } | more


def role(id: str, practitioner: str, organization: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "PractitionerRole",
        "id": id,
        "practitioner": {"reference": f"Practitioner/{practitioner}"},
        "organization": {"reference": f"Organization/{organization}"},
    } | more


@pytest.fixture
def write(fhir):
    """Write the next version of a resource by whoever is given, knowing the current one."""

    def put(resource: dict[str, Any], by: Any = None) -> Any:
        path = f"{resource['resourceType']}/{resource['id']}"
        current = fhir.get(path)
        known = {"If_Match": current.headers["ETag"]} if current.status == 200 else {}
        return (by or fhir).put(path, resource, **known)

    return put


@pytest.fixture
def person(as_token):
    """Requests of a person who may write everything."""
    return lambda reference: as_token(EVERYTHING, fhir_user=reference, role="clinician")


def test_a_legal_move_is_stored(fhir, write):
    write(task())
    assert write(task("accepted")).headers["ETag"] == 'W/"2"'
    assert fhir.get("Task/t1").json["status"] == "accepted"


def test_an_illegal_move_is_refused_by_the_name_of_its_rule_and_says_what_is_allowed(fhir, write):
    write(task())

    answer = write(task("in-progress"))

    assert (answer.status, answer.codes, answer.paths) == (422, ["business-rule"], ["Task.status"])
    assert "task-referral-move" in answer.text
    for allowed in ("accepted", "rejected", "cancelled"):
        assert allowed in answer.text
    assert fhir.get("Task/t1").headers["ETag"] == 'W/"1"'


@pytest.mark.parametrize("status", ["requested", "accepted", "completed", "entered-in-error"])
def test_a_first_version_is_in_any_state_by_create_and_by_update(fhir, write, status):
    assert write(task(status)).status == 201
    created = {name: value for name, value in task(status).items() if name != "id"}
    assert fhir.post("Task", created).status == 201


def test_the_same_state_is_no_move(write):
    write(task("completed"))
    assert write(task("completed", note=[{"text": "reviewed"}])).status == 200


def test_after_a_deletion_everything_starts_anew(fhir, write):
    write(task("completed"))
    assert fhir.delete("Task/t1", If_Match='W/"1"').status == 204
    assert write(task("requested")).status == 201


def test_a_task_of_no_lifecycle_moves_freely(write):
    write(task("completed", code={"text": "something else"}))
    assert write(task("draft", code={"text": "something else"})).status == 200


@pytest.mark.parametrize(
    ("resource", "move", "path", "rule"),
    [
        (
            {
                "resourceType": "CarePlan",
                "id": "c1",
                "status": "completed",
                "intent": "plan",
                "subject": {"reference": "Patient/p1"},
            },
            {"status": "active"},
            "CarePlan.status",
            "care-plan-move",
        ),
        (
            {
                "resourceType": "Goal",
                "id": "g1",
                "lifecycleStatus": "rejected",
                "description": {"text": "Walk"},
                "subject": {"reference": "Patient/p1"},
            },
            {"lifecycleStatus": "active"},
            "Goal.lifecycleStatus",
            "goal-move",
        ),
        (
            {
                "resourceType": "EpisodeOfCare",
                "id": "e1",
                "status": "finished",
                "patient": {"reference": "Patient/p1"},
            },
            {"status": "active"},
            "EpisodeOfCare.status",
            "episode-of-care-move",
        ),
        (
            {
                "resourceType": "ServiceRequest",
                "id": "s1",
                "status": "revoked",
                "intent": "order",
                "subject": {"reference": "Patient/p1"},
            },
            {"status": "active"},
            "ServiceRequest.status",
            "service-request-move",
        ),
    ],
)
def test_plans_goals_episodes_and_requests_have_theirs(write, resource, move, path, rule):
    assert write(resource).status == 201
    answer = write(resource | move)
    assert (answer.status, answer.paths) == (422, [path])
    assert rule in answer.text


def test_a_transaction_with_an_illegal_move_is_refused_whole_and_a_batch_in_part(fhir, build, write):
    write(task())
    entries = [
        build.entry("PUT", "Patient/p1", build.patient(id="p1")),
        build.entry("PUT", "Task/t1", task("completed"), ifMatch='W/"1"'),
    ]

    answer = fhir.post("", build.bundle("transaction", *entries))

    assert (answer.status, answer.codes) == (422, ["business-rule"])
    assert answer.paths == ["Bundle.entry[1].resource.status"]
    assert fhir.get("Patient/p1").status == 404
    rows = fhir.post("", build.bundle("batch", *entries)).json["entry"]
    assert [row["response"]["status"][:3] for row in rows] == ["201", "422"]


def test_a_patch_and_a_conditional_update_are_moves_like_any_other(fhir, write):
    marked = task(identifier=[{"system": "urn:example:task", "value": "1"}])
    write(marked)
    completed = b'[{"op":"replace","path":"/status","value":"completed"}]'
    json_patch = {"Content_Type": "application/json-patch+json", "If_Match": 'W/"1"'}

    patched = fhir("PATCH", "Task/t1", completed, **json_patch)
    updated = fhir.put("Task?identifier=urn:example:task|1", marked | {"status": "completed"})

    for answer in (patched, updated):
        assert (answer.status, answer.codes, answer.paths) == (422, ["business-rule"], ["Task.status"])
    accepted = completed.replace(b"completed", b"accepted")
    assert fhir("PATCH", "Task/t1", accepted, **json_patch).status == 200


def test_what_a_state_needs_is_named(write):
    write(task())
    answer = write(task("rejected"))
    assert (answer.status, answer.paths) == (422, ["Task.statusReason.text"])
    assert write(task("rejected", statusReason=REASON)).status == 200


def test_the_requester_and_the_target_each_set_what_is_theirs(write, person):
    people = {"requester": {"reference": "Practitioner/rn"}, "owner": {"reference": "Practitioner/dr"}}
    write(task(**people))
    asks, does = person("Practitioner/rn"), person("Practitioner/dr")

    answer = write(task("accepted", **people), by=asks)

    assert (answer.status, answer.codes, answer.paths) == (422, ["business-rule"], ["Task.status"])
    assert "task-referral-setter" in answer.text
    assert "Practitioner" not in answer.text
    assert write(task("accepted", **people), by=does).status == 200
    assert write(task("cancelled", statusReason=REASON, **people), by=asks).status == 200


@pytest.mark.parametrize(
    "reference",
    [
        "Practitioner/dr",
        "Practitioner/dr/_history/1",
        "http://127.0.0.1:8000/fhir/Practitioner/dr",
        "PractitionerRole/dr-here",
        "Organization/foodbank",
        "CareTeam/team",
    ],
)
def test_a_person_acts_for_its_roles_their_organization_and_its_teams(fhir, write, person, reference):
    fhir.put("PractitionerRole/dr-here", role("dr-here", "dr", "foodbank"))
    members = [
        {"member": {"reference": "CareTeam/team"}},
        {"member": {"reference": "PractitionerRole/dr-here"}},
    ]
    fhir.put("CareTeam/team", {"resourceType": "CareTeam", "id": "team", "participant": members})
    owner = {"reference": reference}
    write(task(owner=owner))

    assert write(task("accepted", owner=owner), by=person("Practitioner/other")).status == 422
    assert write(task("accepted", owner=owner), by=person("Practitioner/dr")).status == 200


@pytest.mark.parametrize(
    "reference",
    [
        "Practitioner/nobody",
        "Organization/elsewhere",
        "#me",
        "https://other.example/fhir/Practitioner/dr",
        "urn:uuid:0b0e1a5c-5f0e-4a53-9f0c-2b1f6d2f0a11",
    ],
)
def test_a_person_acts_for_nobody_else(fhir, write, person, reference):
    fhir.put("PractitionerRole/dr-here", role("dr-here", "dr", "foodbank"))
    owner: dict[str, Any] = {"owner": {"reference": reference}}
    if reference.startswith("#"):
        owner["contained"] = [{"resourceType": "Practitioner", "id": reference[1:]}]
    assert write(task(**owner)).status == 201
    assert write(task("accepted", **owner), by=person("Practitioner/dr")).status == 422


@pytest.mark.parametrize(
    "past",
    [
        {"active": False},
        {"period": {"end": "2024-05-16"}},
        {"period": {"start": "2024-05-18"}},
    ],
)
def test_a_role_that_is_not_in_force_gives_no_part(fhir, write, person, past):
    fhir.put("PractitionerRole/dr-here", role("dr-here", "dr", "foodbank", **past))
    write(task())
    assert write(task("accepted"), by=person("Practitioner/dr")).status == 422
    fhir.put("PractitionerRole/dr-here", role("dr-here", "dr", "foodbank", period={"end": "2024-05-17"}))
    assert write(task("accepted"), by=person("Practitioner/dr")).status == 200


def test_a_role_that_was_deleted_or_a_team_that_is_no_more_gives_no_part(fhir, write, person):
    fhir.put("PractitionerRole/dr-here", role("dr-here", "dr", "foodbank"))
    fhir.delete("PractitionerRole/dr-here")
    team = {
        "resourceType": "CareTeam",
        "id": "team",
        "participant": [{"member": {"reference": "Practitioner/dr"}}],
    }
    fhir.put("CareTeam/team", team | {"status": "inactive"})
    for owner in ("PractitionerRole/dr-here", "Organization/foodbank", "CareTeam/team"):
        fhir.delete("Task/t1", If_Match=fhir.get("Task/t1").headers.get("ETag", 'W/"0"'))
        write(task(owner={"reference": owner}))
        assert write(task("accepted", owner={"reference": owner}), by=person("Practitioner/dr")).status == 422


def test_a_user_that_is_a_role_acts_for_its_person_and_organization(fhir, write, person):
    fhir.put("PractitionerRole/dr-here", role("dr-here", "dr", "foodbank"))
    for owner in ("PractitionerRole/dr-here", "Practitioner/dr", "Organization/foodbank"):
        fhir.delete("Task/t1", If_Match=fhir.get("Task/t1").headers.get("ETag", 'W/"0"'))
        write(task(owner={"reference": owner}))
        accepted = write(task("accepted", owner={"reference": owner}), by=person("PractitionerRole/dr-here"))
        assert accepted.status == 200, owner


def test_an_unowned_referral_is_claimed_by_a_person_for_itself(write, person):
    unowned = {name: value for name, value in task().items() if name != "owner"}
    write(unowned)
    mine = task("accepted", owner={"reference": "Practitioner/dr"})
    assert write(mine, by=person("Practitioner/other")).status == 422
    assert write(mine, by=person("Practitioner/dr")).status == 200


def test_a_patient_acts_for_itself_only(write, as_token):
    owner = {"owner": {"reference": "Patient/p1"}}
    write(task(**owner))
    own = as_token("patient/*.cruds", patient="p1", fhir_user="Patient/p1")
    assert write(task("accepted", **owner), by=own).status == 200
    assert write(task("cancelled", statusReason=REASON, **owner), by=own).status == 200


def test_a_client_without_a_user_acts_for_anyone_by_its_system_scopes_only(write, as_token):
    write(task())
    assert write(task("accepted"), by=as_token("patient/*.cruds", patient="p1")).status == 422
    assert write(task("accepted"), by=as_token("system/Task.rus")).status == 200
