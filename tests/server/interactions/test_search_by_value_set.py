"""Searches by value set and along hierarchies over HTTP: hl7.org/fhir/R4/search.html#token, #recursive.

What matches is tested with the store; here is how definitions come in, and how a refusal reads. Spec line U2.
"""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
URL = "http://acme.org/fhir/ValueSet/cardiac-conditions"
SNOMED = "http://snomed.info/sct"
VALUE_SET = {
    "resourceType": "ValueSet",
    "id": "cardiac",
    "url": URL,
    "status": "active",
    "compose": {"include": [{"system": SNOMED, "concept": [{"code": "22298006"}]}]},
}


@pytest.fixture
def chart(fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    assert fhir.put("ValueSet/cardiac", VALUE_SET).status == 201
    for id, code in (("infarct", "22298006"), ("neoplasm", "126851005")):
        coded = {"coding": [{"system": SNOMED, "code": code}]}
        condition = {
            "resourceType": "Condition",
            "id": id,
            "subject": {"reference": "Patient/p1"},
            "code": coded,
        }
        assert fhir.put(f"Condition/{id}", condition).status == 201


def ids(answer):
    assert answer.status == 200, answer.body
    return sorted(entry["resource"]["id"] for entry in answer.json.get("entry", ()))


@pytest.mark.requirement("U2")
@pytest.mark.parametrize("named", [URL, "ValueSet/cardiac", "http://127.0.0.1:8000/fhir/ValueSet/cardiac"])
def test_a_value_set_may_be_named_in_three_ways(fhir, chart, named):
    assert ids(fhir.get(f"Condition?code:in={quote(named)}")) == ["infarct"]
    assert ids(fhir.get(f"Condition?code:not-in={quote(named)}")) == ["neoplasm"]
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert ids(fhir.post("Condition/_search", f"code:in={quote(named)}", **form)) == ["infarct"]


def test_the_answer_says_what_was_asked(fhir, chart):
    bundle = fhir.get(f"Condition?code:in={quote(URL)}&_total=accurate").json
    assert bundle["total"] == 1
    assert "code:in" in bundle["link"][0]["url"]


@pytest.mark.parametrize(
    ("search", "code", "said"),
    [
        ("Condition?code:in=urn:unknown", "not-supported", "not known to this server"),
        (
            f"Condition?code:below={SNOMED}%7C64572001",
            "not-supported",
            "not known to this server",
        ),
        ("Condition?code:in=http://hl7.org/fhir/ValueSet/body-site", "not-supported", SNOMED),
        ("Condition?code:below=64572001", "value", "system|code is expected"),
        ("Condition?code:like=x", "not-supported", ":above, :below, :in, :missing, :not, :not-in, :text"),
    ],
)
def test_a_refusal_says_what_is_missing_and_where(fhir, search, code, said):
    for handling in ("strict", "lenient"):
        answer = fhir.get(search, Prefer=f"handling={handling}")
        assert (answer.status, answer.codes, answer.paths) == (400, [code], ["http.code"])
        assert said in answer.text


def test_a_token_that_may_not_see_a_value_set_is_told_that_it_is_not_known(as_token, chart):
    blind = as_token("patient/Condition.rs", patient="p1")
    absent = blind.get("Condition?code:in=urn:unknown")
    assert blind.get(f"Condition?code:in={quote(URL)}").json == absent.json
    assert blind.get("Condition?code:in=ValueSet/cardiac").json == absent.json
    assert ids(blind.get("Condition?code:in=http://hl7.org/fhir/ValueSet/condition-clinical")) == []


def test_a_value_set_that_defines_too_much_is_refused(fhir, chart):
    every = {"system": "urn:x", "concept": [{"code": str(number)} for number in range(6_000)]}
    other = {**every, "system": "urn:y"}
    for number, include in enumerate((every, other)):
        url = f"urn:part:{number}"
        stored = {**VALUE_SET, "id": f"part{number}", "url": url, "compose": {"include": [include]}}
        assert fhir.put(f"ValueSet/part{number}", stored).status == 201
    both = {"include": [{"valueSet": ["urn:part:0"]}, {"valueSet": ["urn:part:1"]}]}
    assert (
        fhir.put("ValueSet/both", {**VALUE_SET, "id": "both", "url": "urn:both", "compose": both}).status == 201
    )
    answer = fhir.get("Condition?code:in=urn:both")
    assert (answer.status, answer.codes, answer.paths) == (422, ["too-costly"], ["http.code"])
    assert "10000" in answer.text


@pytest.mark.requirement("U2")
def test_procedures_at_a_location_and_all_its_parts(fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    for id, part_of in (("42", None), ("43", "42"), ("44", None)):
        parent = {"partOf": {"reference": f"Location/{part_of}"}} if part_of else {}
        assert fhir.put(f"Location/{id}", {"resourceType": "Location", "id": id, **parent}).status == 201
        procedure = {
            "resourceType": "Procedure",
            "id": f"at-{id}",
            "status": "completed",
            "subject": {"reference": "Patient/p1"},
            "location": {"reference": f"Location/{id}"},
        }
        assert fhir.put(f"Procedure/at-{id}", procedure).status == 201
    assert ids(fhir.get("Procedure?location:below=42")) == ["at-42", "at-43"]
    assert ids(fhir.get("Procedure?location:above=Location/43")) == ["at-42", "at-43"]
    assert ids(fhir.get("Patient?_has:Procedure:patient:location:below=43")) == ["p1"]


nasty = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "urn:cs",
            "urn:vs|1",
            "|",
            "||",
            "urn:cs|a",
            "\\|",
            "(a*)*",
            "a{9999}",
            "ValueSet/x/y",
            "\ud800",
            "a/b;c",
        ]
    ),
)
asked = st.tuples(
    st.sampled_from(["Condition", "Patient", "DocumentReference", "ValueSet", "Procedure", "Questionnaire"]),
    st.sampled_from(["code", "gender", "identifier", "contenttype", "url", "location", "derived-from", "_tag"]),
    st.sampled_from(["in", "not-in", "above", "below", "of-type", "text"]),
    nasty,
)
plain = st.sampled_from(
    [
        {"system": "urn:cs"},
        {"system": "urn:cs", "concept": [{"code": "b"}]},
        {"system": "urn:cs", "filter": [{"property": "concept", "op": "is-a", "value": "a"}]},
        {"system": "urn:cs", "filter": [{"property": "code", "op": "regex", "value": "(a|b)*"}]},
        {"system": CLINICAL},
    ]
)
odd = st.fixed_dictionaries(
    {},
    optional={
        "system": st.sampled_from(["urn:cs", "urn:other", CLINICAL]),
        "version": st.sampled_from(["1", "9"]),
        "concept": st.lists(
            st.builds(lambda code: {"code": code}, st.sampled_from("ab")), min_size=1, max_size=2
        ),
        "filter": st.lists(
            st.fixed_dictionaries(
                {
                    "property": st.sampled_from(["concept", "code", "display", "parent", "x"]),
                    "op": st.sampled_from(
                        ["=", "is-a", "is-not-a", "regex", "in", "not-in", "generalizes", "exists"]
                    ),
                    "value": st.sampled_from(["a", "a,b", "true", "(", "(a|b)*", "a{99}", "[^", ".*"]),
                }
            ),
            min_size=1,
            max_size=2,
        ),
        "valueSet": st.lists(st.sampled_from(["urn:vs", "urn:unknown", "urn:vs|9"]), min_size=1, max_size=2),
    },
)
parts = st.one_of(plain, plain, plain, odd)
nested = {
    "code": "a",
    "display": "A",
    "concept": [{"code": "b", "property": [{"code": "parent", "valueCode": "b"}]}],
}


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(asked)
def test_no_value_of_a_modifier_is_more_than_refused(fhir, question):
    resource_type, name, modifier, value = question
    encoded = quote(value.encode("utf-8", "surrogatepass"), safe="")
    assert fhir.get(f"{resource_type}?{name}:{modifier}={encoded}").status in (200, 400, 422)


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.lists(parts, min_size=1, max_size=3),
    st.lists(parts, max_size=1),
    st.sampled_from(["complete", "complete", "fragment", "not-present"]),
    st.sampled_from(["is-a", "part-of"]),
)
def test_no_definition_is_more_than_refused(fhir, include, exclude, content, meaning):
    system = {
        "resourceType": "CodeSystem",
        "id": "cs",
        "url": "urn:cs",
        "status": "active",
        "concept": [nested],
    }
    compose = {"include": include} | ({"exclude": exclude} if exclude else {})
    value_set = {
        "resourceType": "ValueSet",
        "id": "vs",
        "url": "urn:vs",
        "status": "active",
        "compose": compose,
    }
    stored = fhir.put("CodeSystem/cs", {**system, "content": content, "hierarchyMeaning": meaning})
    assert stored.status in (200, 201, 400, 422)
    assert fhir.put("ValueSet/vs", value_set).status in (200, 201, 400, 422)
    for search in (
        "code:in=urn:vs",
        "code:not-in=ValueSet/vs",
        "code:below=urn:cs%7Ca",
        "code:above=urn:cs%7Cb",
    ):
        assert fhir.get(f"Condition?{search}").status in (200, 400, 422)
