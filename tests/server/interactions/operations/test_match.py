"""Patient/$match over HTTP: grades, reasons, who may be found. All patients are synthetic.

The rules themselves are in matching/; how well they do is measured in matching/test_quality.py.
Source: hl7.org/fhir/R4/patient-operation-match.html
"""

from __future__ import annotations

import pytest

from server.fhir.validation import validate
from server.interactions.operations.match import GRADE, REASON

MRN = "urn:example:mrn"


def person(**more):
    """A Patient. more: elements to replace, an empty one to leave out."""
    full = {
        "resourceType": "Patient",
        "identifier": [{"system": MRN, "value": "A-100200"}],
        "name": [{"family": "Testfall", "given": ["Annette", "Maria"]}],
        "gender": "female",
        "birthDate": "1950-03-12",
        "telecom": [{"system": "phone", "value": "(555) 310-4587"}],
        "address": [{"line": ["12 Long Street"], "city": "Town", "postalCode": "02139"}],
    } | more
    return {name: value for name, value in full.items() if value not in ([], None)}


@pytest.fixture
def stored(fhir):
    assert fhir.put("Patient/p1", person(id="p1")).status == 201


def asked(resource, **more):
    rows = [{"name": "resource", "resource": resource}]
    rows += [
        {"name": name, "valueBoolean" if isinstance(value, bool) else "valueInteger": value}
        for name, value in more.items()
    ]
    return {"resourceType": "Parameters", "parameter": rows}


def matches(answer):
    """id -> (grade, reasons as element -> outcome)"""
    assert answer.status == 200, answer.body
    found = {}
    for entry in answer.json.get("entry", ()):
        if entry["search"]["mode"] != "match":
            continue
        (grade,) = [e["valueCode"] for e in entry["search"]["extension"] if e["url"] == GRADE]
        reasons = {}
        for extension in entry["search"]["extension"]:
            if extension["url"] == REASON:
                parts = {part["url"]: part.get("valueCode") for part in extension["extension"]}
                reasons[parts["element"]] = parts["outcome"]
        found[entry["resource"]["id"]] = (grade, reasons)
    return found


def outcome(answer):
    return [
        issue["diagnostics"]
        for entry in answer.json.get("entry", ())
        if entry["search"]["mode"] == "outcome"
        for issue in entry["resource"]["issue"]
    ]


def test_the_same_person_is_certain_with_score_and_reasons(fhir, stored):
    answer = fhir.post("Patient/$match", asked(person()))
    grade, reasons = matches(answer)["p1"]
    assert grade == "certain"
    assert set(reasons.values()) == {"agrees"}
    assert set(reasons) == {"identifier", "family", "given", "birthDate", "gender", "phone", "address"}
    (entry,) = answer.json["entry"]
    assert 0.99 < entry["search"]["score"] <= 1
    assert entry["search"]["mode"] == "match"
    assert entry["fullUrl"] == "http://127.0.0.1:8000/fhir/Patient/p1"
    assert [issue for issue in validate(answer.json) if issue.severity == "error"] == []


def test_the_patient_may_be_the_body_itself(fhir, stored):
    assert set(matches(fhir.post("Patient/$match?count=3", person()))) == {"p1"}


@pytest.mark.parametrize(
    ("changed", "grades"),
    [
        ({"identifier": []}, {"certain"}),
        ({"identifier": [], "telecom": [], "address": []}, {"probable"}),
        ({"birthDate": "1950-12-03"}, {"probable"}),
        ({"birthDate": "1950-03-13", "identifier": []}, {"probable"}),
        ({"birthDate": "1950-03"}, {"probable"}),
        ({"name": [{"family": "Annette", "given": ["Testfall"]}], "identifier": []}, {"probable"}),
        ({"name": [{"family": "Testfal", "given": ["Annette"]}]}, {"certain"}),
        ({"name": [{"family": "Married", "given": ["Annette"]}]}, {"probable"}),
        ({"name": [{"family": "Testfall", "given": ["A"]}], "identifier": []}, {"probable"}),
        ({"name": [{"text": "Annette Maria Testfall"}], "identifier": []}, {"certain"}),
        ({"name": [{"family": "TESTFÄLL", "given": ["annette", "maria"]}], "identifier": []}, {"certain"}),
        ({"gender": "male"}, {"probable"}),
        ({"gender": "unknown"}, {"certain"}),
        (
            {"telecom": [{"system": "phone", "value": "+1 555 310 4587"}], "identifier": [], "address": []},
            {"certain"},
        ),
        (
            {
                "address": [{"line": ["12 LONG ST."], "postalCode": "02139-1234"}],
                "identifier": [],
                "telecom": [],
            },
            {"certain"},
        ),
    ],
)
def test_what_a_slip_or_a_gap_does_to_the_grade(fhir, stored, changed, grades):
    found = matches(fhir.post("Patient/$match", asked(person(**changed))))
    assert {grade for grade, _ in found.values()} == grades


def test_a_former_name_counts(fhir):
    names = [
        {"family": "Married", "given": ["Annette"]},
        {"use": "maiden", "family": "Testfall", "given": ["Annette"]},
    ]
    fhir.put("Patient/p1", person(id="p1", name=names))
    lady = person(identifier=[], name=[{"family": "Testfall", "given": ["Annette"]}])
    assert matches(fhir.post("Patient/$match", asked(lady)))["p1"][0] == "certain"


# -- two people are never certain


TWIN = {"identifier": []}
OTHERS = {
    "a twin": TWIN | {"name": [{"family": "Testfall", "given": ["Bernadette"]}]},
    "a twin with nearly the same name": TWIN
    | {"name": [{"family": "Testfall", "given": ["Annetta", "Maria"]}]},
    "a twin of the same first name": TWIN | {"name": [{"family": "Testfall", "given": ["Annette", "Luise"]}]},
    "a twin registered under the other's number": {"name": [{"family": "Testfall", "given": ["Bernadette"]}]},
    "a daughter of the same name": {"birthDate": "1975-03-12", "identifier": []},
    "a daughter born a digit later, under the mother's number": {"birthDate": "1960-03-12"},
    "a number given twice": {
        "name": [{"family": "Else", "given": ["Robert"]}],
        "birthDate": "1988-08-08",
        "gender": "male",
        "telecom": [],
        "address": [],
    },
    "the same name and birthday elsewhere": {
        "identifier": [],
        "telecom": [{"system": "phone", "value": "555-999-1234"}],
        "address": [{"line": ["1 Far Road"], "postalCode": "94105"}],
    },
    "the same name and birthday, another number of the system": {
        "identifier": [{"system": MRN, "value": "B-999333"}],
    },
    "a number without anything else": {
        "name": [],
        "birthDate": None,
        "gender": None,
        "telecom": [],
        "address": [],
    },
    "the other order of birth": {"multipleBirthInteger": 2, "identifier": []},
}


@pytest.mark.parametrize("who", OTHERS)
def test_who_is_or_may_be_somebody_else_is_never_certain(fhir, who):
    fhir.put("Patient/p1", person(id="p1", multipleBirthInteger=1))
    found = matches(fhir.post("Patient/$match", asked(person(**OTHERS[who]))))
    assert "certain" not in {grade for grade, _ in found.values()}


def test_father_and_son_of_one_name_differ_by_suffix(fhir):
    fhir.put(
        "Patient/sr",
        person(id="sr", gender="male", name=[{"family": "Testfall", "given": ["Karl"], "suffix": ["Sr."]}]),
    )
    son = person(
        gender="male", identifier=[], name=[{"family": "Testfall", "given": ["Karl"], "suffix": ["Jr"]}]
    )
    grade, reasons = matches(fhir.post("Patient/$match", asked(son)))["sr"]
    assert (grade, reasons["suffix"]) == ("possible", "differs")


def test_newborn_twins_without_names_are_not_certain(fhir):
    baby = person(identifier=[], birthDate="2024-05-01", name=[{"family": "Testfall", "given": ["Babyboy"]}])
    fhir.put("Patient/b1", baby | {"id": "b1"})
    found = matches(fhir.post("Patient/$match", asked(baby)))
    assert "certain" not in {grade for grade, _ in found.values()}


@pytest.mark.parametrize("value", ["999-99-9999", "000000000", "123456789", "unknown"])
def test_a_placeholder_of_a_number_is_no_number(fhir, value):
    other = person(identifier=[{"system": "http://hl7.org/fhir/sid/us-ssn", "value": value}])
    fhir.put("Patient/p1", other | {"id": "p1", "name": [{"family": "Else", "given": ["Robert"]}]})
    answer = fhir.post("Patient/$match", asked({k: other[k] for k in ("resourceType", "identifier")}))
    assert (answer.status, answer.codes) == (400, ["required"])


def test_a_number_that_a_family_shares_identifies_nobody(fhir, stored):
    shared = {"system": "urn:example:insurance", "value": "F-5577", "type": {"coding": [{"code": "MB"}]}}
    fhir.put("Patient/p1", person(id="p1", identifier=[shared]))
    other = person(
        identifier=[shared], name=[{"family": "Testfall", "given": ["Peter"]}], birthDate="1948-01-02"
    )
    assert "identifier" not in matches(fhir.post("Patient/$match", asked(other))).get("p1", ("", {}))[1]


def test_a_number_given_twice_is_shown_with_its_reasons(fhir, stored):
    other = person(**OTHERS["a number given twice"])
    grade, reasons = matches(fhir.post("Patient/$match", asked(other)))["p1"]
    assert grade == "certainly-not"
    assert (reasons["identifier"], reasons["given"], reasons["birthDate"]) == ("agrees", "differs", "differs")


# -- what is answered


def test_the_likeliest_come_first_and_no_more_than_asked(fhir, stored):
    fhir.put("Patient/p2", person(id="p2", identifier=[], birthDate="1950-12-03"))
    fhir.put("Patient/p3", person(id="p3", identifier=[], name=[{"family": "Testfall", "given": ["Bea"]}]))
    answer = fhir.post("Patient/$match", asked(person()))
    assert list(matches(answer)) == ["p1", "p2", "p3"]
    scores = [entry["search"]["score"] for entry in answer.json["entry"]]
    assert scores == sorted(scores, reverse=True)
    few = fhir.post("Patient/$match", asked(person(), count=1))
    assert list(matches(few)) == ["p1"]
    assert few.json["total"] == 3
    assert "2 more" in outcome(few)[0]


def test_only_certain_matches_are_the_one_that_is_certain(fhir, stored):
    fhir.put("Patient/p2", person(id="p2", identifier=[], birthDate="1950-12-03"))
    only = fhir.post("Patient/$match", asked(person(), onlyCertainMatches=True))
    assert list(matches(only)) == ["p1"]
    fhir.put("Patient/p3", person(id="p3"))
    none = fhir.post("Patient/$match", asked(person(), onlyCertainMatches=True))
    assert matches(none) == {}
    assert "2 records are certain" in outcome(none)[0]


def test_nobody_is_an_empty_searchset(fhir):
    answer = fhir.post("Patient/$match", asked(person()))
    assert (answer.status, answer.json["type"], answer.json["total"]) == (200, "searchset", 0)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (asked({"resourceType": "Patient"}), "required"),
        (asked({"resourceType": "Patient", "gender": "male"}), "required"),
        (asked({"resourceType": "Patient", "identifier": [{"value": "1"}]}), "required"),
        (asked({"resourceType": "Patient", "name": [{"family": "Testfall"}]}), "required"),
        (asked({"resourceType": "Person", "name": [{"family": "Testfall"}]}), "invalid"),
        ({"resourceType": "Parameters"}, "required"),
        (asked(person(gender="x")), "code-invalid"),
        (asked(person(), count=0), "value"),
    ],
)
def test_too_little_or_nothing_to_go_by_is_refused(fhir, body, code):
    answer = fhir.post("Patient/$match", body)
    assert (answer.status, answer.codes) == (400, [code])
    assert answer.paths


def test_only_patients_the_token_may_see_are_candidates(fhir, stored, as_token):
    assert matches(as_token("patient/*.rs", patient="p2").post("Patient/$match", person())) == {}
    assert set(matches(as_token("patient/*.rs", patient="p1").post("Patient/$match", person()))) == {"p1"}
    assert matches(as_token("system/Patient.rs?gender=male").post("Patient/$match", person())) == {}
    assert as_token("system/Observation.rs").post("Patient/$match", person()).status == 403


def test_reasons_tell_no_value(fhir, stored):
    answer = fhir.post("Patient/$match", asked(person(birthDate="1950-12-03")))
    (entry,) = answer.json["entry"]
    said = str(entry["search"])
    for value in ("1950", "Testfall", "Annette", "A-100200", "310", "Long"):
        assert value not in said


def test_when_more_are_alike_than_are_looked_at_it_says_so(fhir, build):
    crowd = [
        build.entry(
            "PUT", f"Patient/c{n}", person(id=f"c{n}", identifier=[], birthDate=f"19{n % 90 + 10}-01-02")
        )
        for n in range(120)
    ]
    assert fhir.post("", build.bundle("transaction", *crowd)).status == 200
    vague = {"resourceType": "Patient", "name": [{"family": "Testfall", "given": ["Annette"]}]}
    assert any("more patients" in said for said in outcome(fhir.post("Patient/$match", asked(vague))))
