"""$everything: the record of a Patient or an Encounter, each resource once over all pages.

Sources: hl7.org/fhir/R4/patient-operation-everything.html, encounter-operation-everything.html. Covers
server/interactions/operations/everything.py and server/storage/record_pages.py. All patients are synthetic.
"""

from __future__ import annotations

import random
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PREFIX = "http://127.0.0.1:8000/fhir/"


def named(answer, *modes):
    assert answer.status == 200, answer.body
    return [
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in answer.json.get("entry", ())
        if not modes or entry["search"]["mode"] in modes
    ]


def following(answer):
    return next((row["url"] for row in answer.json["link"] if row["relation"] == "next"), None)


def pages(fhir, path):
    """Answers one after the other; the caller may write in between."""
    answer = fhir.get(path)
    while True:
        yield answer
        url = following(answer)
        if url is None:
            return
        answer = fhir.get(url.removeprefix(PREFIX))


def every(fhir, path):
    return [name for answer in pages(fhir, path) for name in named(answer)]


def encounter(id, patient="p1", start="2024-03-01", end="2024-03-05", **more):
    return {
        "resourceType": "Encounter",
        "id": id,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/{patient}"},
        "period": {"start": start, "end": end},
        **more,
    }


def put(fhir, *resources):
    for resource in resources:
        answer = fhir.put(f"{resource['resourceType']}/{resource['id']}", resource)
        assert answer.status in (200, 201), answer.body


@pytest.fixture
def charts(fhir, build, clock):
    put(
        fhir,
        {"resourceType": "Organization", "id": "org", "name": "Clinic"},
        {"resourceType": "Organization", "id": "unused", "name": "Elsewhere"},
        {"resourceType": "Practitioner", "id": "dr"},
        {"resourceType": "Location", "id": "ward"},
        {"resourceType": "Medication", "id": "med", "code": {"text": "tablet"}},
        {"resourceType": "Binary", "id": "scan", "contentType": "text/plain", "data": "eA=="},
        build.patient(id="p1", managingOrganization={"reference": "Organization/org"}),
        build.patient(id="p2"),
        encounter("e1", location=[{"location": {"reference": "Location/ward"}}]),
        encounter("e2", start="2023-01-01", end="2023-01-02"),
        build.observation("Patient/p1", id="o1", encounter={"reference": "Encounter/e1"}),
        build.observation(
            "Patient/p1", id="o2", effectiveDateTime="2023-01-01", performer=[{"reference": "Practitioner/dr"}]
        ),
        build.observation("Patient/p2", id="o3"),
        {
            "resourceType": "MedicationRequest",
            "id": "m1",
            "status": "active",
            "intent": "order",
            "medicationReference": {"reference": f"{PREFIX}Medication/med"},
            "subject": {"reference": "Patient/p1"},
            # Selected by no search parameter.
            "dispenseRequest": {"performer": {"reference": "Organization/org"}},
        },
        {
            "resourceType": "DocumentReference",
            "id": "d1",
            "status": "current",
            "subject": {"reference": "Patient/p1"},
            "content": [{"attachment": {"url": "Binary/scan"}}],
        },
        {
            "resourceType": "AllergyIntolerance",
            "id": "a1",
            "patient": {"reference": "Patient/p1"},
            "code": {"text": "nuts"},
            "clinicalStatus": {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
                        "code": "active",
                    }
                ]
            },
        },
    )


MEMBERS = {
    "Encounter/e1",
    "Encounter/e2",
    "Observation/o1",
    "Observation/o2",
    "MedicationRequest/m1",
    "DocumentReference/d1",
    "AllergyIntolerance/a1",
}
REFERRED = {"Organization/org", "Practitioner/dr", "Location/ward", "Medication/med", "Binary/scan"}


def test_the_record_and_what_it_refers_to_in_one_bundle_patient_first(fhir, charts):
    answer = fhir.get("Patient/p1/$everything")
    bundle = answer.json
    assert (bundle["resourceType"], bundle["type"], bundle["total"]) == ("Bundle", "searchset", 8)
    assert named(answer)[0] == "Patient/p1"
    assert set(named(answer, "match")) == {"Patient/p1"} | MEMBERS
    assert set(named(answer, "include")) == REFERRED
    assert bundle["link"] == [{"relation": "self", "url": f"{PREFIX}Patient/p1/$everything"}]
    assert bundle["entry"][0]["fullUrl"] == f"{PREFIX}Patient/p1"
    assert fhir.get("Observation/o1").body in answer.body


@pytest.mark.parametrize("count", [1, 2, 3, 5, 13, 14])
def test_pages_hold_each_once_and_no_more_than_asked(fhir, charts, count):
    answers = list(pages(fhir, f"Patient/p1/$everything?_count={count}"))
    found = [name for answer in answers for name in named(answer)]
    assert sorted(found) == sorted({"Patient/p1"} | MEMBERS | REFERRED)
    assert max(len(named(answer)) for answer in answers) <= count


def test_parameters_of_a_body_are_kept_in_the_links(fhir, charts):
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "_count", "valueInteger": 1},
            {"name": "_type", "valueCode": "Observation"},
            {"name": "start", "valueDate": "2024-01-01"},
        ],
    }
    answer = fhir.post("Patient/p1/$everything", body)
    assert named(answer) == ["Observation/o1"]
    assert answer.json["link"][0]["url"].endswith("?_count=1&_type=Observation&start=2024-01-01")


def test_types_limit_what_comes_but_not_whose_references_count(fhir, charts):
    assert set(every(fhir, "Patient/p1/$everything?_type=Practitioner,Medication")) == {
        "Practitioner/dr",
        "Medication/med",
    }
    assert set(every(fhir, "Patient/p1/$everything?_type=Observation&_type=Patient")) == {
        "Patient/p1",
        "Observation/o1",
        "Observation/o2",
    }


def test_the_range_of_care_keeps_what_has_no_date_and_drops_what_lies_outside(fhir, charts):
    found = set(
        every(fhir, "Patient/p1/$everything?start=2024-03-02&end=2024-03-31&_type=Encounter,Observation")
    )
    assert found == {"Encounter/e1"}  # which had begun, and lasted into it
    found = set(every(fhir, "Patient/p1/$everything?end=2023-12-31"))
    assert MEMBERS & found == {
        "Encounter/e2",
        "Observation/o2",
        "AllergyIntolerance/a1",
        "MedicationRequest/m1",
        "DocumentReference/d1",
    }
    assert "Location/ward" not in found
    assert {"Patient/p1", "Practitioner/dr"} <= found


def test_since_shows_what_is_new_and_what_new_resources_refer_to(fhir, charts, clock, build):
    clock.advance(minutes=30)
    since = quote(clock.now.isoformat())
    assert every(fhir, f"Patient/p1/$everything?_since={since}") == []
    put(
        fhir,
        build.observation("Patient/p1", id="o9", performer=[{"reference": "Organization/unused"}]),
        {"resourceType": "Practitioner", "id": "dr", "gender": "female"},
    )
    assert set(every(fhir, f"Patient/p1/$everything?_since={since}")) == {
        "Observation/o9",
        "Organization/unused",
        "Practitioner/dr",
    }


def test_another_chart_is_not_opened_by_a_reference_into_it(fhir, charts, build):
    put(fhir, build.observation("Patient/p1", id="o9", hasMember=[{"reference": "Observation/o3"}]))
    put(fhir, build.patient(id="p1", link=[{"other": {"reference": "Patient/p2"}, "type": "seealso"}]))
    found = every(fhir, "Patient/p1/$everything")
    assert "Observation/o3" not in found
    assert "Patient/p2" not in found


def test_an_encounter_brings_what_refers_to_it_its_patient_and_what_both_need(fhir, charts):
    found = every(fhir, "Encounter/e1/$everything")
    assert found[0] == "Encounter/e1"
    assert sorted(found) == ["Encounter/e1", "Location/ward", "Observation/o1", "Patient/p1"]
    assert sorted(every(fhir, "Encounter/e1/$everything?_count=1")) == sorted(found)


def test_a_token_of_one_patient_sees_its_own_record_only(as_token, charts):
    own = as_token("patient/*.rs", patient="p1")
    # A Binary may be anybody's: no reference opens it for a patient.
    assert set(every(own, "Patient/p1/$everything?_count=3")) == {"Patient/p1"} | MEMBERS | REFERRED - {
        "Binary/scan"
    }
    assert own.get("Patient/p2/$everything").status == 404
    stranger = as_token("patient/*.rs", patient="p2")
    assert stranger.get("Patient/p1/$everything").status == 404
    assert stranger.get("Encounter/e1/$everything").status == 404


def test_only_what_the_scopes_speak_of_comes(as_token, charts):
    some = as_token("patient/Patient.rs patient/Observation.rs", patient="p1")
    assert set(every(some, "Patient/p1/$everything")) == {"Patient/p1", "Observation/o1", "Observation/o2"}
    narrow = as_token(
        "patient/Patient.rs patient/Observation.rs?date=ge2024 patient/Practitioner.rs", patient="p1"
    )
    # Practitioner/dr is referred to by an Observation that this token does not see.
    assert set(every(narrow, "Patient/p1/$everything")) == {"Patient/p1", "Observation/o1"}
    answer = as_token("patient/Observation.rs", patient="p1").get("Patient/p1/$everything")
    assert (answer.status, answer.codes) == (403, ["forbidden"])


@pytest.mark.parametrize(
    "scope",
    [
        "system/*.rs",
        "system/Patient.rs system/Observation.rs system/Practitioner.rs",
        "system/Patient.rs system/Encounter.rs?status=finished system/Location.rs system/Medication.rs",
        "patient/*.rs",
        "patient/Patient.rs patient/MedicationRequest.rs patient/Medication.rs patient/Organization.rs",
        "patient/Patient.rs patient/Observation.rs?date=lt2024 patient/Practitioner.rs patient/Location.rs",
        "patient/Patient.rs patient/Practitioner.rs system/Observation.rs",
        "user/*.rs",
    ],
)
def test_it_holds_what_searches_of_the_same_token_find_and_no_more(as_token, charts, fhir, scope):
    """A second opinion: what a search by id finds, of the record and of what the resources shown refer to."""
    token = as_token(scope, patient="p1", fhir_user="Practitioner/dr", role="rn")

    def is_found(name):
        resource_type, _, id = name.partition("/")
        answer = token.get(f"{resource_type}?_id={id}")
        return answer.status == 200 and answer.json["total"] == 1

    shown = {name for name in {"Patient/p1"} | MEMBERS if is_found(name)}
    bodies = b"".join(fhir.get(name).body for name in shown)
    expected = shown | {name for name in REFERRED if is_found(name) and name.encode() in bodies}
    for count in (2, 50):
        assert sorted(every(token, f"Patient/p1/$everything?_count={count}")) == sorted(expected)


def test_scopes_for_another_reason_open_nothing_by_reference(as_token, charts):
    """A member seen by a system scope opens nothing to the rule of the patient scope."""
    mixed = as_token("system/Patient.rs system/Observation.rs patient/Practitioner.rs", patient="p2")
    assert "Practitioner/dr" not in every(mixed, "Patient/p1/$everything")


def test_absent_and_deleted_are_told_apart_only_to_whom_they_show(fhir, charts, as_token):
    assert fhir.get("Patient/nobody/$everything").status == 404
    fhir.delete("Patient/p1")
    assert fhir.get("Patient/p1/$everything").status == 410
    assert as_token("patient/*.rs", patient="p2").get("Patient/p1/$everything").status == 404


def test_a_cursor_belongs_to_one_question_and_one_caller(fhir, as_token, charts):
    url = following(fhir.get("Patient/p1/$everything?_count=2"))
    cursor = url.partition("_cursor=")[2]
    for wrong in (
        f"Patient/p1/$everything?_count=3&_cursor={cursor}",
        f"Patient/p2/$everything?_count=2&_cursor={cursor}",
        f"Encounter/e1/$everything?_count=2&_cursor={cursor}",
    ):
        assert fhir.get(wrong).codes == ["value"], wrong
    assert as_token("patient/*.rs", patient="p1").get(url.removeprefix(PREFIX)).status == 400
    assert fhir.get(url.removeprefix(PREFIX)).status == 200


@pytest.mark.parametrize("focus", ["Patient/p1", "Encounter/e0"])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), count=st.integers(1, 9))
def test_whatever_is_written_between_pages_what_stays_comes_exactly_once(fhir, build, focus, seed, count):
    """Union of the pages = what belonged to the record all the time, plus only what did for a while."""
    chance = random.Random(seed)
    prefix = f"s{seed}x"

    def observation(number, **more):
        references = {"encounter": {"reference": "Encounter/e0"}} if "Encounter" in focus else {}
        performer = [{"reference": f"Practitioner/{prefix}{number % 4}"}]
        return build.observation(
            "Patient/p1", id=f"{prefix}{number}", performer=performer, **references, **more
        )

    put(fhir, build.patient(id="p1"), build.patient(id="p2"), encounter("e0"))
    for path in set(every(fhir, f"{focus}/$everything?_type=Observation")):
        fhir.delete(path)
    numbers = range(chance.randint(3, 14))
    put(fhir, *[{"resourceType": "Practitioner", "id": f"{prefix}{n}"} for n in range(4)])
    put(fhir, *[observation(number) for number in numbers])
    stays = {f"Observation/{prefix}{number}" for number in numbers}
    doctors = {f"Practitioner/{prefix}{number % 4}" for number in numbers}
    for_a_while = set()
    found = []
    fresh = len(numbers)
    for answer in pages(fhir, f"{focus}/$everything?_count={count}&_type=Observation,Practitioner"):
        found += named(answer)
        what = chance.choice(("update", "create", "delete", "move", "touch"))
        victim = f"{prefix}{chance.choice(numbers)}"
        if what == "update" and f"Observation/{victim}" in stays:
            put(fhir, observation(int(victim.removeprefix(prefix)), status="amended"))
        elif what == "create":
            put(fhir, observation(fresh))
            for_a_while |= {f"Observation/{prefix}{fresh}", f"Practitioner/{prefix}{fresh % 4}"}
            fresh += 1
        elif what in ("delete", "move"):
            if what == "delete":
                fhir.delete(f"Observation/{victim}")
            else:
                put(fhir, build.observation("Patient/p2", id=victim))
            for_a_while.add(f"Observation/{victim}")
            stays.discard(f"Observation/{victim}")
            kept = {f"Practitioner/{prefix}{int(s.removeprefix(f'Observation/{prefix}')) % 4}" for s in stays}
            for_a_while |= doctors - kept
            doctors &= kept
        else:
            put(
                fhir,
                {
                    "resourceType": "Practitioner",
                    "id": f"{prefix}{chance.randrange(4)}",
                    "active": chance.random() < 0.5,
                },
            )
    assert len(found) == len(set(found))
    assert stays | doctors <= set(found) <= stays | doctors | for_a_while
