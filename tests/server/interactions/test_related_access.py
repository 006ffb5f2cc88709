"""Staff who reach related charts alone, over HTTP: what they see, what they write, and when that begins and
ends.

The random second opinion is tests/server/test_no_leak_random.py. Covers server/auth/access.py (limits),
server/interactions/writable.py, server/interactions/perform.py. All patients are synthetic.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest

from server.policy.roles import read_policy, use
from server.storage import reindex

Json = dict[str, Any]
NURSE = "Practitioner/nurse"


@pytest.fixture(autouse=True)
def site_policy(app: Any) -> Iterator[Callable[..., None]]:
    """Once the server is put together: the shipped policy with roles that may do everything in their reach;
    `site_policy(...)` narrows organizations."""

    def put(**organizations: str) -> None:
        document = json.loads(files("server.policy").joinpath("roles.json").read_text("utf-8"))
        document["roles"]["visiting"] = {"title": "Visiting", "reach": "related", "types": {"*": "cruds"}}
        document["roles"]["partner"] = {"title": "Partner", "reach": "organization", "types": {"*": "cruds"}}
        document["roles"]["resident"] = {"title": "Resident", "reach": "all", "types": {"*": "cruds"}}
        document["organizations"] = {
            "*" if name == "anybody" else f"Organization/{name}": reach for name, reach in organizations.items()
        }
        use(read_policy(json.dumps(document), "tests"))

    put()
    yield put
    use(None)


@pytest.fixture
def nurse(as_token: Any) -> Any:
    return as_token("user/*.cruds", fhir_user=NURSE, role="visiting")


@pytest.fixture(autouse=True)
def charts(fhir: Any, build: Any) -> None:
    """Patients a and b, an Observation each; nobody is related to them."""
    for id in "ab":
        assert (
            fhir.put(
                f"Patient/{id}", build.patient(id=id, identifier=[{"system": "urn:mrn", "value": id}])
            ).status
            == 201
        )
        assert fhir.put(f"Observation/o-{id}", build.observation(f"Patient/{id}", id=f"o-{id}")).status == 201


def team(patient: str, member: str = NURSE, **more: Any) -> Json:
    return {
        "resourceType": "CareTeam",
        "id": f"team-{patient}",
        "status": "active",
        "subject": {"reference": f"Patient/{patient}"},
        "participant": [{"member": {"reference": member}}],
    } | more


def relate(fhir: Any, patient: str = "a", member: str = NURSE, **more: Any) -> None:
    assert fhir.put(f"CareTeam/team-{patient}", team(patient, member, **more)).status in (200, 201)


def ids(fhir: Any, path: str) -> list[str]:
    answer = fhir.get(path)
    assert answer.status == 200, answer.body
    return sorted(entry["resource"]["id"] for entry in answer.json.get("entry", ()))


class TestSeeing:
    def test_a_chart_opens_and_closes_with_the_relationship(self, fhir: Any, nurse: Any) -> None:
        assert nurse.get("Patient/a").status == 404
        assert ids(nurse, "Observation") == []
        relate(fhir)
        assert nurse.get("Patient/a").status == 200
        assert ids(nurse, "Observation") == ["o-a"]
        assert nurse.get("Patient/b").status == 404
        relate(fhir, status="inactive")
        assert nurse.get("Patient/a").status == 404
        assert ids(nurse, "Observation") == []

    def test_the_clock_ends_it_for_a_token_that_was_used_before(
        self, fhir: Any, nurse: Any, clock: Any
    ) -> None:
        relate(fhir, period={"end": "2024-05-17T08:30:00-04:00"})  # half an hour from the tests' now
        assert nurse.get("Patient/a").status == 200
        clock.advance(minutes=29)
        assert nurse.get("Patient/a").status == 200
        clock.advance(minutes=2)
        assert nurse.get("Patient/a").status == 404

    def test_a_hidden_chart_and_an_absent_one_answer_alike(self, nurse: Any) -> None:
        for path in ("Patient/{}", "Patient/{}/_history", "Patient/{}/_history/1", "Patient/{}/$everything"):
            hidden, absent = (nurse.get(path.format(id)) for id in ("a", "x"))
            assert (hidden.status, hidden.body) == (absent.status, absent.body), path
        for query in (
            "Patient?identifier=urn:mrn|a",
            "Observation?patient=a",
            "Observation?subject:Patient.identifier=urn:mrn|a",
        ):
            assert nurse.get(query).json["total"] == 0

    def test_every_row_source_keeps_to_related_charts(self, fhir: Any, nurse: Any) -> None:
        relate(fhir)
        assert ids(nurse, "Patient?_revinclude=Observation:subject") == ["a", "o-a"]
        assert ids(nurse, "Observation?_include=Observation:subject") == ["a", "o-a"]
        assert ids(nurse, "Patient?_has:Observation:subject:status=final") == ["a"]
        assert ids(nurse, "Patient/a/$everything") == ["a", "o-a", "team-a"]
        assert {key.split("/")[-1] for key in urls(nurse, "_history?_count=50")} == {"a", "o-a", "team-a"}
        assert nurse.get("Observation?_summary=count").json["total"] == 1

    def test_what_is_nobodys_chart_needs_no_relationship(self, fhir: Any, nurse: Any) -> None:
        fhir.put("Practitioner/doctor", {"resourceType": "Practitioner", "id": "doctor"})
        fhir.put("Binary/scan", {"resourceType": "Binary", "id": "scan", "contentType": "text/plain"})
        assert nurse.get("Practitioner/doctor").status == 200
        refused = nurse.get("Binary/scan")  # may be anybody's
        assert (refused.status, refused.codes) == (403, ["forbidden"])

    def test_a_launch_into_a_chart_does_not_replace_the_relationship(self, fhir: Any, as_token: Any) -> None:
        launched = as_token("patient/*.rs", patient="a", fhir_user=NURSE, role="visiting")
        assert launched.get("Patient/a").status == 404
        relate(fhir)
        assert launched.get("Patient/a").status == 200
        relate(fhir, "b")
        assert launched.get("Patient/b").status == 404

    def test_a_patient_scope_of_staff_allows_what_the_role_may_do(self, build: Any, as_token: Any) -> None:
        order = {
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {"text": "x"},
            "subject": {"reference": "Patient/a"},
        }
        nurse = as_token("patient/*.cruds", patient="a", fhir_user=NURSE, role="rn")
        assert nurse.get("Patient/a").status == 200
        assert nurse.post("MedicationRequest", order).status == 403
        prescriber = as_token("patient/*.cruds", patient="a", fhir_user=NURSE, role="prescriber")
        assert prescriber.post("MedicationRequest", order).status == 201
        unknown = as_token("patient/*.cruds", patient="a", fhir_user=NURSE, role="nobody")
        assert unknown.get("Patient/a").status == 403

    def test_a_patient_of_their_own_needs_no_role(self, as_token: Any) -> None:
        own = as_token("patient/*.rs", patient="a", fhir_user="Patient/a")
        assert own.get("Patient/a").status == 200
        assert own.get("Patient/b").status == 404


def urls(fhir: Any, path: str) -> list[str]:
    return [entry["fullUrl"] for entry in fhir.get(path).json.get("entry", ())]


class TestOrganizations:
    @pytest.fixture(autouse=True)
    def house(self, fhir: Any) -> None:
        """The nurse works for the house, which is responsible for an episode of a."""
        role = {
            "resourceType": "PractitionerRole",
            "id": "r",
            "practitioner": {"reference": NURSE},
            "organization": {"reference": "Organization/house"},
        }
        assert fhir.put("PractitionerRole/r", role).status == 201
        episode = {
            "resourceType": "EpisodeOfCare",
            "id": "e",
            "status": "active",
            "patient": {"reference": "Patient/a"},
            "managingOrganization": {"reference": "Organization/house"},
        }
        assert fhir.put("EpisodeOfCare/e", episode).status == 201

    def test_a_role_may_reach_the_charts_of_its_organization(self, as_token: Any) -> None:
        related = as_token("user/*.rs", fhir_user=NURSE, role="visiting")
        partner = as_token("user/*.rs", fhir_user=NURSE, role="partner")
        assert [user.get("Patient/a").status for user in (related, partner)] == [404, 200]
        assert partner.get("Patient/b").status == 404

    @pytest.mark.parametrize(("reach", "shown"), [("organization", ["a"]), ("related", [])])
    def test_an_organization_narrows_its_own_staff_whatever_the_role(
        self, as_token: Any, site_policy: Callable[..., None], reach: str, shown: list[str]
    ) -> None:
        site_policy(house=reach)
        ours = as_token("user/*.rs", fhir_user=NURSE, role="resident")
        others = as_token("user/*.rs", fhir_user="Practitioner/other", role="resident")
        assert ids(ours, "Patient") == shown
        assert ids(others, "Patient") == ["a", "b"]

    def test_who_works_there_no_more_is_not_narrowed_any_more(
        self, fhir: Any, as_token: Any, site_policy: Callable[..., None]
    ) -> None:
        site_policy(house="related")
        ours = as_token("user/*.rs", fhir_user=NURSE, role="resident")
        assert ids(ours, "Patient") == []
        fhir.delete("PractitionerRole/r")
        assert ids(ours, "Patient") == ["a", "b"]

    def test_who_leaves_the_house_loses_what_it_gave(
        self, fhir: Any, as_token: Any, site_policy: Callable[..., None]
    ) -> None:
        site_policy(house="all", anybody="related")
        ours = as_token("user/*.rs", fhir_user=NURSE, role="resident")
        others = as_token("user/*.rs", fhir_user="Practitioner/other", role="resident")
        assert [ids(user, "Patient") for user in (ours, others)] == [["a", "b"], []]
        fhir.delete("PractitionerRole/r")
        assert ids(ours, "Patient") == []

    def test_who_is_limited_does_not_say_who_works_where(
        self, as_token: Any, site_policy: Callable[..., None]
    ) -> None:
        role = {"resourceType": "PractitionerRole", "practitioner": {"reference": NURSE}}
        for name in ("visiting", "partner"):
            refused = as_token("user/*.cruds", fhir_user=NURSE, role=name).post("PractitionerRole", role)
            assert (refused.status, refused.codes) == (403, ["forbidden"])
        site_policy(house="related")
        narrowed = as_token("user/*.cruds", fhir_user=NURSE, role="resident")
        assert narrowed.post("PractitionerRole", role).status == 403
        assert narrowed.get("PractitionerRole/r").status == 200


class TestWriting:
    def test_into_related_charts_alone(self, fhir: Any, nurse: Any, build: Any) -> None:
        relate(fhir)
        assert nurse.post("Observation", build.observation("Patient/a")).status == 201
        refused = nurse.post("Observation", build.observation("Patient/b"))
        assert (refused.status, refused.codes) == (403, ["forbidden"])
        assert nurse.put("Observation/o-b", build.observation("Patient/a", id="o-b")).status == 403
        assert nurse.put("Observation/o-a", build.observation("Patient/b", id="o-a")).status == 403
        both = build.observation("Patient/a", performer=[{"reference": "Patient/b"}])
        assert nurse.post("Observation", both).status == 403
        assert nurse.post("Observation", build.observation("Location/nobodys")).status == 403

    def test_nobody_makes_a_relationship_of_their_own(self, fhir: Any, nurse: Any) -> None:
        task = {"resourceType": "Task", "status": "requested", "intent": "order", "owner": {"reference": NURSE}}
        episode = {"resourceType": "EpisodeOfCare", "status": "active", "careManager": {"reference": NURSE}}
        for made in (
            team("a"),
            task | {"for": {"reference": "Patient/a"}},
            episode | {"patient": {"reference": "Patient/a"}},
            {key: value for key, value in team("a").items() if key != "subject"},
        ):
            made.pop("id", None)
            assert nurse.post(made["resourceType"], made).status == 403
        assert nurse.get("Patient/a").status == 404

    def test_a_version_that_would_move_the_writer_in_is_judged_by_what_was_there(
        self, fhir: Any, nurse: Any
    ) -> None:
        relate(fhir, member="Practitioner/other")
        assert nurse.put("CareTeam/team-a", team("a")).status == 403
        patch = [{"op": "add", "path": "/participant/-", "value": {"member": {"reference": NURSE}}}]
        answer = nurse(
            "PATCH", "CareTeam/team-a", json.dumps(patch), Content_Type="application/json-patch+json"
        )
        assert answer.status == 404

    def test_a_condition_finds_nothing_out_about_hidden_charts(self, nurse: Any, build: Any) -> None:
        said = build.observation("Patient/b", identifier=[{"system": "urn:x", "value": "1"}])
        answers = {
            nurse.post("Observation", said, If_None_Exist=f"patient={id}&status=final").status
            for id in ("b", "x")
        }
        assert answers == {403}

    def test_a_transaction_that_steps_outside_is_refused_as_a_whole(
        self, fhir: Any, nurse: Any, build: Any
    ) -> None:
        relate(fhir)
        inside = build.entry("POST", "Observation", build.observation("Patient/a"))
        outside = build.entry("POST", "Observation", build.observation("Patient/b"))
        assert nurse.post("", build.bundle("transaction", inside, outside)).status == 403
        assert ids(fhir, "Observation") == ["o-a", "o-b"]


class TestNewCharts:
    def test_who_names_itself_as_the_doctor_sees_the_patient_it_registers(self, nurse: Any, build: Any) -> None:
        made = nurse.post(
            "Patient",
            build.patient(identifier=[], generalPractitioner=[{"reference": NURSE}])
            | {"identifier": [{"value": "n"}]},
        )
        assert made.status == 201
        assert nurse.get(f"Patient/{made.json['id']}").status == 200

    def test_who_does_not_has_registered_it_and_sees_it_no_more(self, nurse: Any, build: Any) -> None:
        made = nurse.post("Patient", build.patient(identifier=[{"value": "n"}]))
        assert made.status == 201
        assert nurse.get(f"Patient/{made.json['id']}").status == 404

    def test_the_transaction_that_registers_says_who_cares(self, nurse: Any, build: Any) -> None:
        patient = build.entry("PUT", "Patient/new", build.patient(id="new"))
        caring = build.entry("PUT", "CareTeam/team-new", team("new"))  # done before the Patient
        seen = build.entry("PUT", "Observation/o-new", build.observation("Patient/new", id="o-new"))
        answer = nurse.post("", build.bundle("transaction", caring, patient, seen))
        assert answer.status == 200, answer.body
        assert ids(nurse, "Observation") == ["o-new"]

    def test_a_transaction_whose_patient_is_refused_gives_no_reach(
        self, fhir: Any, nurse: Any, build: Any
    ) -> None:
        caring = build.entry("PUT", "CareTeam/team-a", team("a"))
        claimed = build.entry("PUT", "Patient/a", build.patient(id="a", active=True))
        assert nurse.post("", build.bundle("transaction", caring, claimed)).status == 403
        assert fhir.get("CareTeam/team-a").status == 404
        assert nurse.get("Patient/a").status == 404

    def test_a_chart_in_which_anything_is_or_was_is_not_new(self, fhir: Any, nurse: Any, build: Any) -> None:
        claimed = build.patient(generalPractitioner=[{"reference": NURSE}])
        assert nurse.put("Patient/a", claimed | {"id": "a"}).status == 403
        fhir.put("Observation/early", build.observation("Patient/later", id="early"))
        assert nurse.put("Patient/later", claimed | {"id": "later"}).status == 403
        fhir.put("Patient/gone", build.patient(id="gone", identifier=[{"value": "gone"}]))
        fhir.delete("Patient/gone")
        assert nurse.put("Patient/gone", claimed | {"id": "gone"}).status == 403

    def test_only_a_patient_begins_a_chart(self, nurse: Any, build: Any) -> None:
        assert nurse.put("CareTeam/team-x", team("x")).status == 403
        assert nurse.post("Observation", build.observation("Patient/x")).status == 403


def test_while_relationships_are_indexed_again_who_depends_on_them_waits(
    fhir: Any, nurse: Any, as_token: Any, store: Any
) -> None:
    relate(fhir)
    with store.database.writing() as connection:
        reindex.begin(connection, f"{reindex.RELATIONS}CareTeam", "CareTeam")
    for path in ("Patient/a", "Patient/b", "Observation", "Practitioner/x", "_history"):
        refused = nurse.get(path)
        assert (refused.status, refused.codes) == (400, ["transient"]), path
        assert refused.headers["Retry-After"]
    assert nurse.post("Observation", {"resourceType": "Observation"}).status == 400
    resident = as_token("user/*.rs", fhir_user=NURSE, role="resident")
    assert resident.get("Patient/a").status == 200
    assert fhir.get("Patient/a").status == 200


def test_how_a_search_was_done_is_not_told_to_who_sees_a_part(
    as_token: Any, site_policy: Callable[..., None]
) -> None:
    """An explanation counts what is hidden."""
    engineer = as_token("user/*.rs", fhir_user=NURSE, role="engineer")
    role = {"resourceType": "PractitionerRole", "practitioner": {"reference": NURSE}}
    everything = as_token("system/*.cruds")
    everything.post("PractitionerRole", role | {"organization": {"reference": "Organization/house"}})
    explained = "Observation?patient=a&_explain=true"
    before = engineer.get(explained).status
    site_policy(house="related")
    narrowed = as_token("user/*.rs", fhir_user=NURSE, role="engineer")
    assert (before, narrowed.get(explained).status) == (200, 403)
