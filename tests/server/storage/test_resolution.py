"""Searches by value set and by subsumption, on a real database.

Covers hl7.org/fhir/R4/search.html#token (`:in`, `:not-in`, `:above`, `:below`). Resources are synthetic. What a
caller may not see plays no part, definitions included.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.errors import FhirError
from server.fhir.criteria import indexed, matches
from server.fhir.search_parsing import parse_search
from server.fhir.search_query import SearchQuery
from server.fhir.visibility import EVERYTHING, Rule, Visibility
from server.storage import definitions, resolution
from server.storage.resolution import resolved

CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
CLINICAL_ALL = "http://hl7.org/fhir/ValueSet/condition-clinical"
SNOMED = "http://snomed.info/sct"
CARDIAC = "http://acme.org/fhir/ValueSet/cardiac-conditions"


def condition(id: str, *codings: tuple[str | None, str], status: str = "", **more: Any) -> dict[str, Any]:
    resource: dict[str, Any] = {
        "resourceType": "Condition",
        "id": id,
        "subject": {"reference": "Patient/p1"},
        **more,
    }
    if codings:
        resource["code"] = {
            "coding": [{"code": code} | ({"system": system} if system else {}) for system, code in codings]
        }
    if status:
        resource["clinicalStatus"] = {"coding": [{"system": CLINICAL, "code": status}]}
    return resource


def value_set(id: str, *include: dict[str, Any], url: str = CARDIAC, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ValueSet",
        "id": id,
        "url": url,
        "status": "active",
        "compose": {"include": list(include)},
        **more,
    }


def listing(system: str, *codes: str) -> dict[str, Any]:
    return {"system": system, "concept": [{"code": code} for code in codes]}


def tree_system(id: str, url: str, **more: Any) -> dict[str, Any]:
    concepts = [
        {"code": "heart", "concept": [{"code": "valve", "concept": [{"code": "mitral"}]}]},
        {"code": "liver"},
    ]
    return {
        "resourceType": "CodeSystem",
        "id": id,
        "url": url,
        "status": "active",
        "content": "complete",
        "concept": concepts,
        **more,
    }


def query(resource_type: str, *pairs: tuple[str, str]) -> SearchQuery:
    return parse_search(resource_type, pairs)


def refused(chart: Any, asked: SearchQuery, visible: Visibility = EVERYTHING) -> FhirError:
    with pytest.raises(FhirError) as error:
        chart.found(asked, visible)
    return error.value


@pytest.mark.requirement("U2")
def test_below_finds_what_a_concept_subsumes_and_above_what_subsumes_it(chart: Any, search: Any) -> None:
    chart.put(*(condition(status, status=status) for status in ("active", "relapse", "inactive", "resolved")))
    assert search("Condition", **{"clinical-status:below": f"{CLINICAL}|active"}) == ["active", "relapse"]
    assert search("Condition", **{"clinical-status:below": f"{CLINICAL}|relapse"}) == ["relapse"]
    assert search("Condition", **{"clinical-status:above": f"{CLINICAL}|relapse"}) == ["active", "relapse"]
    assert search("Condition", **{"clinical-status:below": f"{CLINICAL}|active,{CLINICAL}|resolved"}) == [
        "active",
        "relapse",
        "resolved",
    ]


@pytest.mark.requirement("U2")
def test_in_asks_for_system_and_code_together(chart: Any, search: Any) -> None:
    chart.put(
        condition("right", (CLINICAL, "active")),
        condition("other-system", ("urn:other", "active")),
        condition("no-system", (None, "active")),
        condition("other-code", (CLINICAL, "made-up")),
        condition("second", ("urn:other", "x"), (CLINICAL, "relapse")),
        condition("none"),
    )
    inside = ["right", "second"]
    assert search("Condition", **{"code:in": CLINICAL_ALL}) == inside
    assert search("Condition", **{"code:in": f"{CLINICAL_ALL}|4.0.1"}) == inside
    assert search("Condition", **{"code:not-in": CLINICAL_ALL}) == [
        "no-system",
        "none",
        "other-code",
        "other-system",
    ]


@pytest.mark.requirement("U2")
def test_a_value_set_stored_here_is_known_by_its_id_and_by_its_url(chart: Any, search: Any) -> None:
    chart.put(
        value_set("cardiac", listing(SNOMED, "22298006", "84114007")),
        condition("infarct", (SNOMED, "22298006")),
        condition("neoplasm", (SNOMED, "126851005")),
    )
    assert search("Condition", **{"code:in": "ValueSet/cardiac"}) == ["infarct"]
    assert search("Condition", **{"code:in": CARDIAC}) == ["infarct"]
    assert search("Condition", **{"code:not-in": CARDIAC}) == ["neoplasm"]
    chart.put(value_set("cardiac", listing(SNOMED, "126851005")))
    assert search("Condition", **{"code:in": "ValueSet/cardiac"}) == ["neoplasm"]  # at once
    chart.delete("ValueSet", "cardiac")
    assert "not known" in refused(chart, query("Condition", ("code:in", CARDIAC))).issues[0].diagnostics


def test_of_several_versions_the_one_asked_for_or_the_latest_in_use_counts(chart: Any, search: Any) -> None:
    chart.put(
        value_set("v9", listing("urn:x", "a"), version="1.9"),
        value_set("v10", listing("urn:x", "b"), version="1.10"),
        value_set("v11", listing("urn:x", "c"), version="1.11", status="retired"),
        *(condition(code, ("urn:x", code)) for code in "abc"),
    )
    assert search("Condition", **{"code:in": f"{CARDIAC}|1.9"}) == ["a"]
    assert search("Condition", **{"code:in": CARDIAC}) == ["b"]
    assert search("Condition", **{"code:in": f"{CARDIAC}|1.11"}) == ["c"]
    assert refused(chart, query("Condition", ("code:in", f"{CARDIAC}|2"))).status == 400


def test_what_a_value_set_depends_on_may_change_alone(chart: Any, search: Any) -> None:
    chart.put(
        tree_system("organs", "urn:organs"),
        value_set(
            "hearts",
            {"system": "urn:organs", "filter": [{"property": "concept", "op": "is-a", "value": "heart"}]},
            url="urn:hearts",
        ),
        value_set("cardiac", {"valueSet": ["urn:hearts"]}),
        *(condition(code, ("urn:organs", code)) for code in ("heart", "mitral", "liver")),
    )
    assert search("Condition", **{"code:in": CARDIAC}) == ["heart", "mitral"]
    chart.put(value_set("hearts", listing("urn:organs", "liver"), url="urn:hearts"))
    assert search("Condition", **{"code:in": CARDIAC}) == ["liver"]
    assert search("Condition", **{"code:below": "urn:organs|valve"}) == ["mitral"]
    chart.put(tree_system("organs", "urn:organs", concept=[{"code": "valve"}, {"code": "mitral"}]))
    assert search("Condition", **{"code:below": "urn:organs|valve"}) == []


def test_an_element_of_type_code_has_the_system_of_its_binding(chart: Any, search: Any) -> None:
    gender = "http://hl7.org/fhir/administrative-gender"
    chart.put(
        *({"resourceType": "Patient", "id": code, "gender": code} for code in ("male", "female")),
        {"resourceType": "Patient", "id": "none"},
    )
    chart.put(
        value_set("men", listing(gender, "male"), url="urn:men"),
        value_set("other", listing("urn:other", "male"), url="urn:other"),
    )
    assert search("Patient", **{"gender:in": "urn:men"}) == ["male"]
    assert search("Patient", **{"gender:in": "urn:other"}) == []
    assert search("Patient", **{"gender:not-in": "urn:men"}) == ["female", "none"]
    assert search("Patient", gender=f"{gender}|male") == ["male"]
    assert search("Patient", gender=f"{gender}|") == ["female", "male"]
    assert search("Patient", gender="urn:other|") == []
    assert search("Patient", **{"gender:below": "male"}) == ["male"]


def test_a_status_is_found_below_another_of_its_code_system(chart: Any, search: Any) -> None:
    chart.put(
        *(
            {"resourceType": "Observation", "id": s, "status": s, "code": {"text": "x"}}
            for s in ("final", "amended", "corrected", "cancelled")
        )
    )
    assert search("Observation", **{"status:below": "amended"}) == ["amended", "corrected"]
    assert search("Observation", **{"status:above": "corrected"}) == ["amended", "corrected"]


def test_a_system_whose_codes_nobody_lists_is_found_as_a_whole(chart: Any, search: Any) -> None:
    chart.put(
        value_set("all", {"system": SNOMED}), condition("a", (SNOMED, "1")), condition("b", ("urn:x", "1"))
    )
    assert search("Condition", **{"code:in": CARDIAC}) == ["a"]


@pytest.mark.parametrize(
    ("name", "text", "kind", "said"),
    [
        ("code:in", "urn:unknown", "not-supported", "not known to this server"),
        ("code:in", "ValueSet/none", "not-supported", "not known to this server"),
        (
            "code:in",
            "http://snomed.info/sct?fhir_vs=isa/126851005",
            "not-supported",
            "http://snomed.info/sct, whose codes are filtered, is not known",
        ),
        ("code:in", "http://hl7.org/fhir/ValueSet/condition-code-unknown", "not-supported", "not known"),
        ("code:in", "http://hl7.org/fhir/ValueSet/body-site", "not-supported", SNOMED),
        ("code:below", f"{SNOMED}|126851005", "not-supported", "not known to this server"),
        ("code:below", "http://loinc.org|1-8", "not-supported", "not known to this server"),
        ("code:below", f"{CLINICAL}|made-up", "value", "no such code"),
        (
            "clinical-status:below",
            "http://terminology.hl7.org/CodeSystem/service-type|1",
            "not-supported",
            "not all codes",
        ),
    ],
)
def test_what_is_not_known_refuses_the_search(chart: Any, name: str, text: str, kind: str, said: str) -> None:
    error = refused(chart, query("Condition", (name, text)))
    assert (error.status, error.issues[0].code) == (400, kind)
    assert error.issues[0].expression == f"http.{name.partition(':')[0]}"
    assert said in error.issues[0].diagnostics


def test_an_element_that_cannot_have_the_code_is_told_so(chart: Any) -> None:
    error = refused(chart, query("Patient", ("gender:below", "blue")))
    assert (error.status, error.issues[0].expression) == (400, "http.gender")


def test_a_value_set_that_one_may_not_see_is_one_that_does_not_exist(chart: Any, search: Any) -> None:
    chart.put(
        value_set("cardiac", listing(SNOMED, "1")),
        tree_system("organs", "urn:organs"),
        condition("a", (SNOMED, "1")),
    )
    blind = Visibility({"Condition": (Rule(),)})
    for name, there, absent in [
        ("code:in", CARDIAC, "urn:absent"),
        ("code:in", "ValueSet/cardiac", "ValueSet/absent"),
        ("code:below", "urn:organs|heart", "urn:absent|heart"),
    ]:
        hidden, unknown = (refused(chart, query("Condition", (name, text)), blind) for text in (there, absent))
        assert hidden.outcome() == unknown.outcome()
    assert search("Condition", **{"code:in": CARDIAC}) == ["a"]
    assert (
        refused(chart, query("Condition", ("code:in", CARDIAC)), blind).status == 400
    )  # what was kept is not his
    assert search("Condition", blind, **{"code:in": CLINICAL_ALL}) == []  # R4's own are everyone's


def test_chains_and_reverse_chains_ask_the_same(chart: Any, search: Any) -> None:
    chart.put(
        {"resourceType": "Patient", "id": "p1", "gender": "male"},
        {"resourceType": "Patient", "id": "p2"},
        condition("a", status="relapse"),
    )
    assert search("Patient", **{"_has:Condition:patient:clinical-status:below": f"{CLINICAL}|active"}) == ["p1"]
    assert search("Patient", **{"_has:Condition:patient:clinical-status:not-in": CLINICAL_ALL}) == []
    assert search(
        "Condition", **{"patient.gender:in": "http://hl7.org/fhir/ValueSet/administrative-gender"}
    ) == ["a"]
    error = refused(chart, query("Condition", ("patient.gender:in", "urn:unknown")))
    assert error.issues[0].expression == "http.patient"


@pytest.mark.parametrize("size", [50, 99, 101, 3_000])
def test_large_value_sets_answer_as_small_ones_do(chart: Any, search: Any, size: int) -> None:
    chart.put(
        value_set("many", listing("urn:x", *(str(number) for number in range(size)))),
        *(
            condition(f"c{number}", ("urn:x", str(number)), status="active")
            for number in (0, size - 1, size, size + 1)
        ),
        condition("none", status="active"),
    )
    inside, outside = sorted(["c0", f"c{size - 1}"]), sorted([f"c{size}", f"c{size + 1}", "none"])
    assert search("Condition", **{"code:in": CARDIAC}) == inside
    assert search("Condition", **{"code:not-in": CARDIAC}) == outside
    assert search("Condition", **{"code:in": CARDIAC, "clinical-status": "active", "patient": "p1"}) == inside
    assert search("Condition", **{"code:not-in": CARDIAC, "patient": "Patient/p1"}) == outside
    assert search("Condition", code=",".join(f"urn:x|{number}" for number in range(min(size, 900)))) == (
        inside if size <= 900 else ["c0"]
    )


def test_a_search_over_several_types_is_resolved_for_each(chart: Any) -> None:
    allergy = {"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/p1"}}
    codes = {"code": {"coding": [{"system": CLINICAL, "code": "relapse"}]}}
    chart.put({**allergy, **codes, "id": "a"}, condition("c", **codes), condition("d"), {**allergy, "id": "e"})
    kinds = ("AllergyIntolerance", "Condition")
    parts = tuple(query(kind, ("code:below", f"{CLINICAL}|active")) for kind in kinds)
    several = replace(parts[0], resource_type="", conditions=(), parts=parts)
    assert sorted(chart.found(several)) == ["a", "c"]


def test_what_is_kept_of_definitions_has_a_limit() -> None:
    kept = definitions.Kept(10)
    for number in range(5):
        kept.put(number, str(number), 4)
    assert [kept.get(number) for number in range(5)] == [None, None, None, "3", "4"]
    kept.put("large", "x", 11)
    assert kept.get("large") is None
    kept.put(1, "one", 4)
    kept.put(1, "two", 4)
    assert kept.get(1) == "two"


# -- the same as in memory

CODES = ("active", "relapse", "inactive", "x")
codings = st.builds(lambda s, c: (s, c), st.sampled_from([CLINICAL, "urn:x", None]), st.sampled_from(CODES))
conditions = st.lists(st.lists(codings, max_size=2), min_size=1, max_size=5)
asked = st.one_of(
    st.tuples(
        st.sampled_from(["code:in", "code:not-in"]),
        st.sampled_from([CLINICAL_ALL, "urn:vs", f"{CLINICAL_ALL},urn:vs"]),
    ),
    st.tuples(
        st.sampled_from(["code:below", "code:above"]),
        st.sampled_from(CODES[:3]).map(lambda code: f"{CLINICAL}|{code}"),
    ),
)


@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(conditions, asked)
def test_the_database_answers_as_the_rules_of_matching_do(
    chart: Any, stored: Any, pair: tuple[str, str]
) -> None:
    resources = [condition(f"c{number}", *codes) for number, codes in enumerate(stored)]
    chart.put(
        value_set(
            "vs",
            listing("urn:x", "active", "x"),
            {"system": CLINICAL, "concept": [{"code": "relapse"}]},
            url="urn:vs",
        ),
        *resources,
    )
    question = query("Condition", ("_id", ",".join(r["id"] for r in resources)), pair)
    with chart.store.database.reading() as connection:
        plain = resolved(connection, question, EVERYTHING)
    expected = sorted(r["id"] for r in resources if matches(indexed(r), plain))
    assert sorted(chart.found(question)) == expected


@pytest.mark.parametrize("modifier", ["in", "not-in"])
def test_a_large_value_set_costs_a_row_one_look_up(chart: Any, modifier: str) -> None:
    chart.put(value_set("many", listing("urn:x", *map(str, range(500)))), condition("a", ("urn:x", "1")))
    asked = query("Condition", (f"code:{modifier}", CARDIAC), ("patient", "Patient/p1"))
    explained = chart.reading(lambda reader: reader.explain(asked, EVERYTHING))
    (page,) = (statement for statement in explained.statements if "page" in statement.sql)
    plan = "\n".join(page.plan)
    if chart.store.database.dialect.name == "sqlite":
        assert "packed_any(" in page.sql
        assert "SEARCH t" in plan
        assert "SCAN r" not in plan
        assert "SCAN resource" not in plan
    else:
        assert "hashed SubPlan" in plan or "generate_series" in plan
        assert "Seq Scan" not in plan


def test_a_large_value_set_is_not_looked_up_where_another_list_is_short(chart: Any) -> None:
    chart.put(value_set("many", listing("urn:x", *map(str, range(500)))), condition("a", ("urn:x", "1")))
    for pairs, counted in [
        ((("code:in", CARDIAC), ("patient", "Patient/p1")), ["patient"]),
        ((("code:in", CARDIAC), ("patient", "Patient/p1"), ("clinical-status:missing", "true")), ["patient"]),
        ((("code:in", CARDIAC),), ["code"]),
    ]:
        asked = query("Condition", *pairs)
        explained = chart.reading(lambda reader, asked=asked: reader.explain(asked, EVERYTHING))
        assert [re.split("[^a-z]", listed.of)[0] for listed in explained.types[0].lists] == counted
        assert chart.found(asked) == ["a"]


def test_how_much_one_search_may_name_is_bounded(chart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chart.put(value_set("a", listing("urn:x", "1", "2"), url="urn:a"), condition("c", ("urn:x", "2")))
    same = query("Condition", ("code:in", ",".join(["urn:a"] * 200)))
    assert chart.found(same) == ["c"]  # named again and again, it is resolved once
    monkeypatch.setattr(resolution, "VALUES_MAXIMUM", 1)
    other = query("Condition", ("code:in", f"urn:a,{CLINICAL_ALL}"))
    assert (refused(chart, other).status, refused(chart, other).issues[0].code) == (422, "too-costly")
    monkeypatch.setattr(resolution, "VALUES_MAXIMUM", 100)
    assert chart.found(other) == ["c"]
    monkeypatch.setattr(resolution, "ENTRIES_MAXIMUM", 5)
    assert refused(chart, other).issues[0].code == "too-costly"
