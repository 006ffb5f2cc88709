"""`baton access explain`: each layer with the row it rests on, and the verdict of the server itself.

Covers server/access_command.py, server/access_explanation.py, server/access_layers.py. All patients are
synthetic.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server import access_command, command_context
from server.policy.roles import use
from server.settings import Settings
from server.storage.authorization import ClientRow, UserRow

NURSE = "Practitioner/nurse"


@pytest.fixture(autouse=True)
def shipped_policy() -> Iterator[None]:
    yield
    use(None)


@pytest.fixture
def baton(monkeypatch: pytest.MonkeyPatch, settings: Settings, app: Any, clock: Any) -> Callable[..., Result]:
    class _Now(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            moment: datetime = clock()
            return moment

    monkeypatch.setattr(access_command, "datetime", _Now)
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: settings)
    return lambda *arguments: CliRunner().invoke(access_command.access, ["explain", *arguments])


@pytest.fixture(autouse=True)
def deployment(fhir: Any, build: Any, store: Any, clock: Any) -> None:
    for id in "ab":
        fhir.put(f"Patient/{id}", build.patient(id=id, identifier=[{"system": "urn:mrn", "value": id}]))
        fhir.put(f"Observation/o-{id}", build.observation(f"Patient/{id}", id=f"o-{id}"))
    team = {
        "resourceType": "CareTeam",
        "id": "t",
        "subject": {"reference": "Patient/a"},
        "participant": [{"member": {"reference": "PractitionerRole/r"}, "period": {"end": "2024-12-31"}}],
    }
    fhir.put("CareTeam/t", team)
    role = {
        "resourceType": "PractitionerRole",
        "id": "r",
        "practitioner": {"reference": NURSE},
        "organization": {"reference": "Organization/house"},
    }
    fhir.put("PractitionerRole/r", role)
    for username, held in (("outside", "community"), ("inside", "rn"), ("guard", "privacy")):
        store.authorization.put_user(UserRow(username, "", held, practitioner_id="nurse"))
    client = ClientRow("app", "App", "public", clock(), scope="launch openid patient/*.rs user/Patient.rs")
    store.authorization.put_client(client)


def explained(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout)
    document["by"] = {layer["layer"]: layer for layer in document["layers"]}
    return document


def test_a_related_chart_is_explained_by_the_resource_that_relates_it(baton: Any) -> None:
    result = baton("--user", "outside", "--json", "GET /fhir/Observation/o-a")
    said = explained(result)
    assert result.exit_code == 0
    assert said["allowed"]
    assert [layer["layer"] for layer in said["layers"]] == [
        "scope",
        "role",
        "organization",
        "relationship",
        "compartment",
    ]
    assert said["by"]["role"]["rows"][0]["letters"] == "crus"
    assert said["by"]["role"]["rows"][0]["policy"] == "shipped"
    (house,) = said["by"]["organization"]["rows"]
    assert (house["party"], house["resource"]) == ("Organization/house", "PractitionerRole/r")
    (row,) = said["by"]["relationship"]["rows"]
    assert row == {
        "patient": "Patient/a",
        "actor": "PractitionerRole/r",
        "resource": "CareTeam/t",
        "why": "takes part in the patient's care team",
        "from": "",
        "until": "2025-01-01T05:00:00+00:00",
        "in_force": True,
    }
    assert said["by"]["compartment"]["rows"] == [{"patient": "Patient/a"}]


def test_a_chart_without_a_relationship_is_out_of_sight(baton: Any) -> None:
    result = baton("--user", "outside", "--json", "Observation/o-b")
    said = explained(result)
    assert result.exit_code == 2
    assert said["by"]["relationship"]["verdict"] == "refuses"
    assert said["verdict"].startswith("404")


def test_what_ended_is_shown_as_ended(baton: Any, clock: Any) -> None:
    clock.advance(days=365)
    said = explained(baton("--user", "outside", "--json", "Patient/a"))
    assert [row["in_force"] for row in said["by"]["relationship"]["rows"]] == [False]
    assert not said["allowed"]


def test_an_emergency_is_named_with_its_reason(baton: Any, store: Any, clock: Any) -> None:
    access = store.emergency_access.open(
        "outside", NURSE, "b", "ETREAT", "words of its own", opened=clock(), until=clock.advance(hours=1)
    )
    clock.advance(minutes=-30)
    result = baton("--user", "outside", "--json", "Patient/b")
    (row,) = explained(result)["by"]["relationship"]["rows"]
    assert (row["resource"], row["why"]) == (f"emergency access {access.number}", "ETREAT")
    assert "words of its own" not in result.stdout


def test_a_search_says_how_many_matches_are_shown(baton: Any) -> None:
    assert explained(baton("--user", "outside", "--json", "GET Observation"))["verdict"] == (
        "200: 1 of 2 matches are shown"
    )
    of_chart = explained(baton("--user", "outside", "--json", "GET /fhir/Observation?patient=b"))
    assert of_chart["by"]["relationship"]["verdict"] == "refuses"
    assert of_chart["verdict"] == "200: 0 of 1 matches are shown"
    assert explained(baton("--user", "inside", "--json", "GET Observation"))["verdict"] == (
        "200: 2 of 2 matches are shown"
    )


def test_the_layer_that_refuses_is_the_one_that_says_so(baton: Any) -> None:
    said = explained(baton("--user", "guard", "--json", "Patient/a"))
    assert (said["by"]["scope"]["verdict"], said["by"]["role"]["verdict"]) == ("allows", "refuses")
    assert said["verdict"].startswith("403")
    said = explained(baton("--user", "inside", "--scope", "user/Observation.rs", "--json", "Patient/a"))
    assert (said["by"]["scope"]["verdict"], said["by"]["role"]["verdict"]) == ("refuses", "allows")
    said = explained(baton("--client", "app", "--patient", "a", "--json", "Observation/o-b"))
    assert said["by"]["scope"]["verdict"] == "allows"
    assert said["by"]["role"]["verdict"] == ""
    assert not said["allowed"]


def test_a_client_without_a_patient_reaches_nothing(baton: Any) -> None:
    said = explained(baton("--scope", "patient/*.rs", "--json", "Observation/o-a"))
    assert said["by"]["compartment"]["verdict"] == "refuses"
    assert not said["allowed"]


def test_a_write_is_judged_by_what_is_there(baton: Any) -> None:
    assert baton("--user", "inside", "PUT Observation/o-a").exit_code == 0
    refused = baton("--user", "outside", "DELETE /fhir/Observation/o-a")
    assert refused.exit_code == 2
    assert "403" in refused.stdout


def test_people_read_a_line_for_each_layer_and_nothing_of_the_content(baton: Any) -> None:
    result = baton("--user", "outside", "Observation/o-a")
    lines = result.stdout.splitlines()
    assert lines[0] == "Observation/o-a"
    assert lines[-1] == "yes: 200: it is shown"
    assert any("CareTeam/t" in line for line in lines)
    assert "1.50" not in result.stdout
    assert "Testfall" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Patient/a",), "say who asks"),
        (("--user", "nobody", "Patient/a"), "no such account"),
        (("--client", "nobody", "Patient/a"), "no such client"),
        (("--scope", "patient/Patient.sr", "Patient/a"), "is no SMART scope"),
        (("--user", "inside", "Pateint/a"), "not a resource type"),
        (("--user", "inside", "GET Observation?nonsense=1"), "nonsense"),
        (("--user", "inside", "POST /fhir"), "entry by entry"),
    ],
)
def test_what_cannot_be_explained_is_said(baton: Any, arguments: tuple[str, ...], said: str) -> None:
    result = baton(*arguments)
    assert result.exit_code == 1
    assert said in result.output
