"""Loading over what is there: a server that asks which versions are replaced is told; our own never asks."""

from __future__ import annotations

from typing import Any

import pytest

from server.fhir.json_codec import decode
from server.load_versions import naming_versions
from server.loading import Unit, load_unit


def task(number: int, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Task", "id": f"t{number}", "status": "requested", "intent": "order"} | more


def put(resource: dict[str, Any]) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url}}


@pytest.fixture
def send(fhir):
    """Sends over HTTP, as `baton load --url` does."""

    def over_http(bundle: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answer = fhir.post("", bundle)
        return answer.status, decode(answer.body)

    return naming_versions(over_http)


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_loaded_replaces_what_is_there(fhir, build, send, whole):
    fhir.put("Task/t1", task(1))
    fhir.put("Task/t2", task(2))
    entries = (put(task(1, priority="urgent")), put(task(2)), put(task(3)), put(build.patient(id="p1")))

    summary, refusals = load_unit(Unit("file", entries, whole=whole), send)

    assert refusals == []
    assert (summary.created, summary.updated, summary.unchanged) == (2, 1, 1)
    assert fhir.get("Task/t1").json["priority"] == "urgent"


def test_a_bad_neighbour_hinders_nothing(fhir, build, send):
    fhir.put("Task/t1", task(1))
    entries = (put(build.patient(id="p1", gender="wrong")), put(task(1, priority="urgent")), put(task(3)))

    summary, refusals = load_unit(Unit("file", entries), send)

    assert (summary.created, summary.updated, summary.refused) == (1, 1, 1)
    assert refusals[0]["issue"][0]["expression"] == ["Bundle.entry[0].resource.gender"]


def test_a_deletion_that_is_loaded_deletes(fhir, send):
    fhir.put("Task/t1", task(1))
    entry = {"request": {"method": "DELETE", "url": "Task/t1"}}
    summary, refusals = load_unit(Unit("file", (entry,)), send)
    assert refusals == []
    assert fhir.get("Task/t1").status == 410
    assert summary.refused == 0


def test_what_may_not_follow_is_refused_here_as_well(fhir, send):
    plan = {"resourceType": "CarePlan", "id": "c1", "status": "completed", "intent": "plan"}
    plan["subject"] = {"reference": "Patient/p1"}
    fhir.put("CarePlan/c1", plan)
    summary, (refusal,) = load_unit(Unit("file", (put(plan | {"status": "active"}),)), send)
    assert summary.refused == 1
    assert refusal["issue"][0]["code"] == "business-rule"


def test_without_being_asked_nothing_is_read(fhir, send, build):
    asked: list[str] = []

    def counted(bundle: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        asked.append(bundle["type"])
        answer = fhir.post("", bundle)
        return answer.status, decode(answer.body)

    load_unit(Unit("file", (put(task(1)), put(build.patient(id="p1")))), naming_versions(counted))
    assert asked == ["transaction"]
