"""Searches of several types, of compartments and of lists: hl7.org/fhir/R4/http.html#search, search.html#list,
compartmentdefinition.html. Each type is authorised on its own; what a caller may not see is not there.
"""

from __future__ import annotations

import pytest

PREFIX = "http://127.0.0.1:8000/fhir"
FORM = {"Content_Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def charts(fhir, build, clock):
    """Two patients, each with two observations, a condition and an encounter; a doctor of both."""
    fhir.put("Practitioner/doc", {"resourceType": "Practitioner", "id": "doc"})
    for owner in ("p1", "p2"):
        clock.advance(seconds=1)
        doctor = [{"reference": "Practitioner/doc"}]
        fhir.put(f"Patient/{owner}", build.patient(id=owner, generalPractitioner=doctor))
        subject = {"reference": f"Patient/{owner}"}
        visit = {"status": "planned", "class": {"code": "AMB"}, "subject": subject}
        fhir.put(f"Encounter/e-{owner}", {"resourceType": "Encounter", "id": f"e-{owner}", **visit})
        for number in (1, 2):
            clock.advance(seconds=1)
            id = f"o{number}-{owner}"
            within = {"encounter": {"reference": f"Encounter/e-{owner}"}} if number == 1 else {}
            fhir.put(
                f"Observation/{id}",
                build.observation(
                    f"Patient/{owner}",
                    id=id,
                    effectiveDateTime=f"2024-03-0{number}",
                    performer=doctor,
                    **within,
                ),
            )
        clock.advance(seconds=1)
        fhir.put(f"Condition/c-{owner}", {"resourceType": "Condition", "id": f"c-{owner}", "subject": subject})


def found(answer, mode="match"):
    assert answer.status == 200, answer.body
    return [
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in answer.json.get("entry", ())
        if entry["search"]["mode"] == mode
    ]


def link(answer, relation):
    return next((row["url"] for row in answer.json["link"] if row["relation"] == relation), None)


def all_pages(fhir, path):
    seen, totals = [], set()
    while path is not None:
        answer = fhir.get(path)
        seen += found(answer)
        totals.add(answer.json.get("total"))
        following = link(answer, "next")
        path = following.removeprefix(PREFIX).removeprefix("/") if following else None
    (total,) = totals
    return seen, total


# Several types ---------------------------------------------------------------------------------------------


def test_a_system_search_answers_for_the_types_it_names(fhir, charts):
    answer = fhir.get("?_type=Condition,Encounter")

    assert found(answer) == ["Encounter/e-p1", "Condition/c-p1", "Encounter/e-p2", "Condition/c-p2"]
    assert answer.json["total"] == 4
    assert link(answer, "self") == f"{PREFIX}?_type=Condition,Encounter"


def test_by_post_it_is_the_same_search(fhir, charts):
    got = fhir.get("?_type=Condition,Observation&patient=p1")
    posted = fhir("POST", "_search", b"_type=Condition,Observation&patient=p1", **FORM)

    assert found(posted) == found(got) == ["Observation/o1-p1", "Observation/o2-p1", "Condition/c-p1"]
    assert posted.json == got.json


@pytest.mark.parametrize("sort", ["", "&_sort=-_lastUpdated", "&_sort=_id", "&_sort=-_lastUpdated,_id"])
def test_pages_of_several_types_hold_every_match_once_in_order(fhir, charts, sort):
    seen, total = all_pages(fhir, f"?_type=Condition,Encounter,Observation,Patient&_count=3{sort}")

    assert total == len(seen) == len(set(seen)) == 10
    if sort.startswith("&_sort=-_last"):
        assert seen[:2] == ["Condition/c-p2", "Observation/o2-p2"]
    if sort == "&_sort=_id":
        assert [one.partition("/")[2] for one in seen] == sorted(one.partition("/")[2] for one in seen)


def test_without_types_everything_that_may_be_searched_is(fhir, as_token, charts):
    assert len(found(fhir.get("?_count=100"))) == 11
    own = as_token("patient/Observation.rs patient/Condition.rs", patient="p2")
    assert found(own.get("?_sort=_id")) == ["Condition/c-p2", "Observation/o1-p2", "Observation/o2-p2"]
    assert own.get("?_summary=count").json["total"] == 3


def test_a_named_type_outside_the_scopes_is_refused_and_an_unnamed_one_left_out(as_token, charts):
    own = as_token("patient/Observation.rs", patient="p2")

    answer = own.get("?_type=Observation,Condition")
    assert (answer.status, answer.codes) == (403, ["forbidden"])
    assert found(own.get("?_type=Observation")) == ["Observation/o1-p2", "Observation/o2-p2"]


@pytest.mark.parametrize("query", ["_type=Unicorn", "_type=", "_type=Patient&_type=Group", "_type=Patient,"])
def test_types_that_are_none_are_refused(fhir, query):
    answer = fhir.get(f"?{query}")
    assert (answer.status, answer.codes, answer.paths) == (400, ["value"], ["http._type"])


def test_a_parameter_that_not_all_types_have_is_refused(fhir, charts):
    answer = fhir.get("?_type=Patient,Observation&code=x")
    assert (answer.status, answer.codes, answer.paths) == (400, ["not-supported"], ["http.code"])
    lenient = fhir.get("?_type=Patient,Observation&code=x&_id=p1", Prefer="handling=lenient")
    assert found(lenient) == ["Patient/p1"]


def test_type_is_no_parameter_of_a_search_of_one_type(fhir):
    assert fhir.get("Patient?_type=Patient").status == 400


def test_a_cursor_of_one_place_is_refused_in_another(fhir, charts):
    following = link(fhir.get("Patient/p1/Observation?_count=1"), "next")
    cursor = following.partition("_cursor=")[2]
    for other in ("Patient/p2/Observation?_count=1", "Observation?_count=1", "Patient/p1/*?_count=1"):
        assert fhir.get(f"{other}&_cursor={cursor}").status == 400, other


def test_searches_of_the_system_stand_in_batches(fhir, charts):
    rows = [
        ("GET", "?_type=Condition"),
        ("GET", "Patient/p1/Condition"),
        ("GET", "Patient/p1/*?_type=Encounter"),
    ]
    entries = [{"request": {"method": method, "url": url}} for method, url in rows]
    answer = fhir.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert [row["resource"]["total"] for row in answer.json["entry"]] == [2, 1, 1]


# Compartments ----------------------------------------------------------------------------------------------


def test_a_compartment_search_finds_what_is_the_patients(fhir, charts):
    answer = fhir.get("Patient/p1/Observation?_sort=-date")

    assert found(answer) == ["Observation/o2-p1", "Observation/o1-p1"]
    assert link(answer, "self") == f"{PREFIX}/Patient/p1/Observation?_sort=-date"
    posted = fhir("POST", "Patient/p1/Observation/_search", b"_sort=-date", **FORM)
    assert posted.json == answer.json


def test_the_whole_compartment_holds_the_patient_too(fhir, charts):
    seen, total = all_pages(fhir, "Patient/p1/*?_count=2")
    assert sorted(seen) == [
        "Condition/c-p1",
        "Encounter/e-p1",
        "Observation/o1-p1",
        "Observation/o2-p1",
        "Patient/p1",
    ]
    assert total == 5
    assert found(fhir.get("Patient/p1/*?_type=Condition,Patient")) == ["Patient/p1", "Condition/c-p1"]
    posted = fhir("POST", "Patient/p1/*/_search", b"_type=Condition", **FORM)
    assert found(posted) == ["Condition/c-p1"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Encounter/e-p1/Observation", ["Observation/o1-p1"]),
        ("Encounter/e-p1/Encounter", ["Encounter/e-p1"]),
        ("Practitioner/doc/Observation?patient=p2", ["Observation/o1-p2", "Observation/o2-p2"]),
        ("Practitioner/doc/Patient", ["Patient/p1", "Patient/p2"]),
        ("Device/d/Observation", []),
        ("RelatedPerson/r/Observation", []),
        ("Patient/nobody/Observation", []),
    ],
)
def test_every_compartment_of_r4_can_be_searched(fhir, charts, path, expected):
    answer = fhir.get(path)
    assert found(answer) == expected
    assert answer.json["total"] == len(expected)


@pytest.mark.parametrize(
    "path",
    [
        "Patient/p1/ValueSet",
        "Observation/o1-p1/Patient",
        "Patient/p1/Unicorn",
        "Patient/p 1/Observation",
        "Group/g/*",
    ],
)
def test_what_is_no_compartment_is_no_path(fhir, charts, path):
    assert fhir.get(path.replace(" ", "%20")).status == 404


def test_a_type_that_is_in_no_such_compartment_is_refused(fhir, charts):
    answer = fhir.get("Patient/p1/*?_type=ValueSet")
    assert (answer.status, answer.paths) == (400, ["http._type"])


def test_a_compartment_that_may_not_be_seen_is_empty(as_token, charts):
    own = as_token("patient/*.rs", patient="p2")

    for path in ("Patient/p1/Observation", "Patient/p1/*", "Patient/nobody/*"):
        hidden = own.get(path)
        assert (found(hidden), hidden.json["total"]) == ([], 0), path
    assert len(found(own.get("Patient/p2/*"))) == 5
    assert found(own.get("Practitioner/doc/Observation")) == ["Observation/o1-p2", "Observation/o2-p2"]
    assert as_token("system/Observation.rs").get("Patient/p1/Condition").status == 403
    assert found(as_token("system/Observation.rs").get("Patient/p1/*")) == [
        "Observation/o1-p1",
        "Observation/o2-p1",
    ]


# Lists -----------------------------------------------------------------------------------------------------


@pytest.fixture
def worklist(fhir, charts):
    items = [{"item": {"reference": f"Patient/{id}"}} for id in ("p2",)]
    items.append({"item": {"reference": "Observation/o1-p1"}})
    content = {"resourceType": "List", "id": "w", "status": "current", "mode": "working", "entry": items}
    fhir.put("List/w", {**content, "subject": {"reference": "Patient/p1"}})


def test_a_list_finds_what_its_entries_name(fhir, worklist):
    assert found(fhir.get("Patient?_list=w")) == ["Patient/p2"]
    assert found(fhir.get("Observation?_list=w,other")) == ["Observation/o1-p1"]
    assert found(fhir.get("Observation?patient._list=w")) == ["Observation/o1-p2", "Observation/o2-p2"]
    assert found(fhir.get("?_type=Patient,Observation&_list=w")) == ["Observation/o1-p1", "Patient/p2"]
    assert found(fhir.get("Patient?_list=nothing")) == []


def test_a_list_that_may_not_be_seen_lists_nothing(as_token, worklist):
    own = as_token("patient/*.rs", patient="p2")
    assert found(own.get("Patient?_list=w")) == []
    assert found(own.get("Patient?_has:List:item:_id=w")) == []


def test_functional_lists_are_refused(fhir):
    answer = fhir.get("AllergyIntolerance?patient=p1&_list=$current-allergies")
    assert (answer.status, answer.codes, answer.paths) == (400, ["not-supported"], ["http._list"])


# Chains ----------------------------------------------------------------------------------------------------


def test_chains_and_has_go_on_as_far_as_asked(fhir, charts):
    fhir.put(
        "Provenance/v",
        {
            "resourceType": "Provenance",
            "id": "v",
            "recorded": "2024-03-01T00:00:00Z",
            "target": [{"reference": "Observation/o1-p2"}],
            "agent": [{"who": {"reference": "Practitioner/doc"}}],
        },
    )
    assert found(
        fhir.get("Patient?_has:Observation:patient:_has:Provenance:target:agent=Practitioner/doc")
    ) == ["Patient/p2"]
    assert found(fhir.get("Provenance?target:Observation.patient.general-practitioner._id=doc")) == [
        "Provenance/v"
    ]
    assert found(fhir.get("Observation?encounter.subject:Patient._has:Condition:patient:_id=c-p1")) == [
        "Observation/o1-p1"
    ]
    assert found(fhir.get("Observation?encounter.patient.birthdate:missing=true")) == []
    assert len(found(fhir.get("Observation?patient.organization:missing=true"))) == 4


def test_no_link_leads_through_what_is_hidden(fhir, as_token, charts):
    """A chain that starts and ends in the own chart finds nothing by way of another patient's resource."""
    shared = {"reference": "Observation/o1-p1"}
    fhir.put(
        "Observation/o1-p2",
        {
            **fhir.get("Observation/o1-p2").json,
            "hasMember": [shared],
        },
    )
    asked = "Observation?has-member:Observation.performer._id=doc"
    assert found(fhir.get(asked)) == ["Observation/o1-p2"]
    assert found(as_token("patient/*.rs", patient="p2").get(asked)) == []


# Includes --------------------------------------------------------------------------------------------------


def test_iterating_includes_go_on_from_what_was_included(fhir, charts):
    once = fhir.get("Condition?_id=c-p1&_include=Condition:patient")
    assert found(once, "include") == ["Patient/p1"]
    on = fhir.get(
        "Condition?_id=c-p1&_include=Condition:patient&_include:iterate=Patient:general-practitioner"
        "&_revinclude:iterate=Encounter:patient"
    )
    assert sorted(found(on, "include")) == ["Encounter/e-p1", "Patient/p1", "Practitioner/doc"]
    everything = fhir.get("Observation?_id=o1-p1&_include:iterate=*")
    assert sorted(found(everything, "include")) == ["Encounter/e-p1", "Patient/p1", "Practitioner/doc"]


def test_revinclude_of_everything_brings_all_that_refer_here(fhir, as_token, charts):
    answer = fhir.get("Patient?_id=p1&_revinclude=*")
    assert sorted(found(answer, "include")) == [
        "Condition/c-p1",
        "Encounter/e-p1",
        "Observation/o1-p1",
        "Observation/o2-p1",
    ]
    narrow = as_token("system/Patient.rs system/Condition.rs").get("Patient?_id=p1&_revinclude=*")
    assert found(narrow, "include") == ["Condition/c-p1"]
