"""Searches with modifiers that need nothing but the resource itself, on a real database and in memory.

Covers hl7.org/fhir/R4/search.html#token (`:text`, `:of-type`), #uri, #versions. Resources are synthetic.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.fhir.criteria import indexed, matches
from server.fhir.search_parsing import parse_search

SNOMED = "http://snomed.info/sct"


def condition(id: str, **code: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": id, "subject": {"reference": "Patient/p1"}, "code": code}


@pytest.mark.requirement("U2")
def test_the_text_of_a_concept_is_searched_like_a_string(chart: Any, search: Any) -> None:
    chart.put(
        condition("text", text="Headache, severe"),
        condition("display", coding=[{"system": SNOMED, "code": "25064002", "display": "headache"}]),
        condition("within", text="no headache"),
        condition("code", coding=[{"system": "urn:x", "code": "headache"}]),
    )
    assert search("Condition", **{"code:text": "HEAD"}) == ["display", "text"]
    chart.put(
        {"resourceType": "Patient", "id": "p", "identifier": [{"value": "1", "type": {"text": "Library card"}}]}
    )
    assert search("Patient", **{"identifier:text": "library"}) == ["p"]


@pytest.mark.requirement("U2")
def test_an_identifier_is_found_by_its_type(chart: Any, search: Any) -> None:
    kinds = "http://terminology.hl7.org/CodeSystem/v2-0203"

    def patient(id: str, value: str, system: str, code: str) -> dict[str, Any]:
        return {
            "resourceType": "Patient",
            "id": id,
            "identifier": [{"value": value, "type": {"coding": [{"system": system, "code": code}]}}],
        }

    chart.put(
        patient("a", "446053", kinds, "MR"),
        patient("b", "446053", kinds, "SS"),
        patient("c", "1", kinds, "MR"),
        patient("d", "446053", "urn:x", "MR"),
    )
    assert search("Patient", **{"identifier:of-type": f"{kinds}|MR|446053"}) == ["a"]
    assert search("Patient", **{"identifier:of-type": f"{kinds}|MR|446053,{kinds}|SS|446053"}) == ["a", "b"]


@pytest.mark.requirement("U2")
def test_a_mime_type_is_found_with_its_parameters(chart: Any, search: Any) -> None:
    for number, mime in enumerate(
        ("text/xml; charset=UTF-8", "text/xml", "Text/XML", "text/xml2", "application/xml")
    ):
        chart.put(
            {
                "resourceType": "DocumentReference",
                "id": str(number),
                "status": "current",
                "content": [{"attachment": {"contentType": mime}}],
            }
        )
    assert search("DocumentReference", contenttype="text/xml") == ["1"]
    assert search("DocumentReference", **{"contenttype:below": "text/xml"}) == ["0", "1", "2"]


@pytest.mark.requirement("U2")
def test_uris_are_found_by_their_paths(chart: Any, search: Any) -> None:
    urls = {
        "a": "http://acme.org/fhir/ValueSet/123",
        "b": "http://acme.org/fhir",
        "c": "http://acme.org/fhir-old/1",
        "d": "urn:oid:1.2.3.4.5",
        "e": "http://acme.org/fhir/ValueSet/123/_history/5",
    }
    include = [{"system": "urn:x", "concept": [{"code": "a"}]}]
    made = {"resourceType": "ValueSet", "status": "active", "compose": {"include": include}}
    chart.put(*({**made, "id": id, "url": url} for id, url in urls.items()))
    assert search("ValueSet", **{"url:below": "http://acme.org/fhir/"}) == ["a", "b", "e"]
    assert search("ValueSet", **{"url:above": urls["e"]}) == ["a", "b", "e"]
    assert search("ValueSet", **{"url:below": "urn:oid:1.2.3"}) == []
    assert search("ValueSet", **{"url:above": urls["d"]}) == ["d"]


@pytest.mark.requirement("U2")
def test_a_canonical_is_found_by_any_version_or_a_part_of_one(chart: Any, search: Any) -> None:
    profile = "http://acme.com/some-profile"
    for version in ("1.0", "1.1", "2.0", "10", ""):
        stated = f"{profile}|{version}" if version else profile
        chart.put(
            {
                "resourceType": "QuestionnaireResponse",
                "id": version or "none",
                "status": "completed",
                "questionnaire": stated,
            }
        )
    assert search("QuestionnaireResponse", **{"questionnaire:below": profile}) == [
        "1.0",
        "1.1",
        "10",
        "2.0",
        "none",
    ]
    assert search("QuestionnaireResponse", **{"questionnaire:below": f"{profile}|1"}) == ["1.0", "1.1"]
    assert search("QuestionnaireResponse", **{"questionnaire:below": f"{profile}|1.1"}) == ["1.1"]
    assert search("QuestionnaireResponse", questionnaire=f"{profile}|1") == []


parts = st.lists(st.sampled_from(["a", "ab", "b"]), max_size=3)
urls = st.one_of(
    st.builds(lambda p, end: "http://x.org/" + "/".join(p) + end, parts, st.sampled_from(["", "/"])),
    st.just("urn:a"),
)
versions = st.lists(st.sampled_from(["1", "10", "2"]), min_size=1, max_size=3).map(".".join)
canonicals = st.builds(
    lambda u, v: f"{u}|{v}" if v else u,
    urls.filter(lambda u: u != "http://x.org/"),
    st.one_of(st.just(""), versions),
)
mime_types = st.sampled_from(
    ["text/xml", "text/xml; charset=UTF-8", "Text/XML", "text/plain", "application/fhir+xml;a=b"]
)
texts = st.sampled_from(["Head", "head ache", "Héad", "chest", "x"])
kinds = st.sampled_from(["MR", "SS"])


def typed(kind: str, text: str, value: str) -> dict[str, Any]:
    return {"value": value, "type": {"text": text, "coding": [{"system": "urn:kind", "code": kind}]}}


# Type, what is stored, and what is asked of it: all that needs nothing but the resource itself.
SHAPES: list[tuple[str, st.SearchStrategy[Any], st.SearchStrategy[tuple[str, str]]]] = [
    (
        "ValueSet",
        st.builds(lambda u: {"url": u}, urls),
        st.tuples(st.sampled_from(["url:below", "url:above"]), urls),
    ),
    (
        "QuestionnaireResponse",
        st.builds(lambda c: {"questionnaire": c}, canonicals),
        st.tuples(st.sampled_from(["questionnaire:below", "questionnaire"]), canonicals),
    ),
    (
        "DocumentReference",
        st.builds(lambda m: {"content": [{"attachment": {"contentType": m}}]}, mime_types),
        st.tuples(
            st.just("contenttype:below"), st.sampled_from(["text/xml", "TEXT/plain", "application/fhir+xml"])
        ),
    ),
    (
        "Patient",
        st.builds(lambda k, t, v: {"identifier": [typed(k, t, v)]}, kinds, texts, st.sampled_from("12")),
        st.one_of(
            st.tuples(st.just("identifier:text"), texts),
            st.builds(lambda k, v: ("identifier:of-type", f"urn:kind|{k}|{v}"), kinds, st.sampled_from("12")),
        ),
    ),
    (
        "Condition",
        st.builds(lambda a, b: {"code": {"text": a, "coding": [{"display": b, "code": "x"}]}}, texts, texts),
        st.tuples(st.just("code:text"), texts),
    ),
]


@pytest.mark.parametrize(("resource_type", "stored", "asked"), SHAPES, ids=[shape[0] for shape in SHAPES])
@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_modifiers_find_in_the_database_what_they_find_in_memory(
    chart: Any, resource_type: str, stored: Any, asked: Any, data: st.DataObject
) -> None:
    found = data.draw(st.lists(stored, min_size=1, max_size=5))
    resources = [{"resourceType": resource_type, "id": f"r{n}", **rest} for n, rest in enumerate(found)]
    chart.put(*resources)
    question = parse_search(resource_type, [("_id", ",".join(r["id"] for r in resources)), data.draw(asked)])
    expected = [r["id"] for r in resources if matches(indexed(r), question)]
    assert sorted(chart.found(question)) == expected
