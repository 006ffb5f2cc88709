"""What a code system's definition says of its concepts, and the laws of subsumption.

Covers hl7.org/fhir/R4/codesystem.html#hierarchy, #subsumption.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.terminology import shipped
from server.terminology.code_systems import read_code_system
from server.terminology.concepts import CodeSystem

PROPERTIES = "http://hl7.org/fhir/concept-properties#"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def system(*concepts: dict[str, Any], **more: Any) -> CodeSystem:
    return read_code_system(
        {
            "resourceType": "CodeSystem",
            "url": "urn:cs",
            "content": "complete",
            "concept": list(concepts),
            **more,
        }
    )


def test_nested_concepts_are_below_the_one_they_stand_in() -> None:
    found = system({"code": "a", "concept": [{"code": "b", "concept": [{"code": "c"}]}, {"code": "d"}]})
    assert list(found.below("a")) == ["a", "b", "d", "c"]
    assert list(found.above("c")) == ["c", "b", "a"]
    assert list(found.concepts) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        ([], "parent"),
        ([], "subsumedBy"),
        ([{"code": "isa", "uri": f"{PROPERTIES}parent", "type": "code"}], "isa"),
    ],
)
def test_a_property_may_name_the_parent(declared: list[Any], name: str) -> None:
    concept = {"code": "b", "property": [{"code": name, "valueCode": "a"}]}
    assert list(system({"code": "a"}, concept, property=declared).below("a")) == ["a", "b"]


def test_a_property_may_name_a_child_before_that_stands_anywhere() -> None:
    found = system(
        {"code": "a", "property": [{"code": "child", "valueCode": "b"}]},
        {"code": "c", "concept": [{"code": "b"}]},
    )
    assert found.subsumes("a", "b")
    assert found.subsumes("c", "b")
    assert not found.subsumes("a", "c")


def test_a_code_that_the_system_lacks_is_above_and_below_nothing() -> None:
    found = system({"code": "a"})
    assert not found.below("x")
    assert not found.above("x")
    assert not found.subsumes("x", "x")


def test_r4s_own_hierarchy_of_clinical_statuses() -> None:
    found = shipped.code_system(CLINICAL)
    assert found is not None
    assert set(found.below("active")) == {"active", "recurrence", "relapse"}
    assert set(found.below("inactive")) == {"inactive", "remission", "resolved"}
    assert set(found.above("relapse")) == {"relapse", "active"}


def test_a_concept_of_v3_may_have_several_parents() -> None:
    found = shipped.code_system("http://terminology.hl7.org/CodeSystem/v3-ActCode")
    assert found is not None
    several = [code for code, concept in found.concepts.items() if len(concept.parents) > 1]
    assert several
    assert all(found.subsumes(parent, code) for code in several for parent in found.concepts[code].parents)


codes = st.sampled_from("abcdef")
graphs = st.lists(st.tuples(codes, codes), max_size=12).map(
    lambda edges: system(
        *(
            {"code": code, "property": [{"code": "parent", "valueCode": p} for c, p in edges if c == code]}
            for code in "abcdef"
        )
    )
)


@given(graphs, codes, codes, codes)
def test_subsumption_is_reflexive_and_transitive_and_seen_the_same_from_both_ends(
    found: CodeSystem, one: str, two: str, three: str
) -> None:
    assert found.subsumes(one, one)
    assert (two in found.below(one)) is (one in found.above(two)) is found.subsumes(one, two)
    if found.subsumes(one, two) and found.subsumes(two, three):
        assert found.subsumes(one, three)


def test_nesting_deeper_than_pythons_stack_is_read() -> None:
    concept: dict[str, Any] = {"code": "0"}
    for number in range(1, 5_000):
        concept = {"code": str(number), "concept": [concept]}
    assert len(system(concept).below("4999")) == 5_000
