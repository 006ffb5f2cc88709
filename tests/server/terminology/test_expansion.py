"""What a value set contains: R4's rules of composition, and what is refused rather than left out.

Covers hl7.org/fhir/R4/valueset.html#compositions, valueset-filter-operator.html. The expander is compared with
a naive evaluation that asks of every concept whether it is a member.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.terminology import shipped
from server.terminology.code_sets import CodeSet
from server.terminology.code_systems import read_code_system
from server.terminology.composition import Composer
from server.terminology.concept_maps import ConceptMap
from server.terminology.concepts import CodeSystem
from server.terminology.definitions import Budget, NotExpandable, TooCostly
from server.terminology.expansion import CODES_MAXIMUM, expand
from server.terminology.value_sets import ValueSet, read_value_set
from server.terminology.words import words

COLOURS = {
    "resourceType": "CodeSystem",
    "url": "urn:colours",
    "content": "complete",
    "property": [{"code": "warm", "type": "boolean"}, {"code": "like", "type": "string"}],
    "concept": [
        {
            "code": "red",
            "display": "Red",
            "property": [{"code": "warm", "valueBoolean": True}],
            "concept": [
                {"code": "crimson", "property": [{"code": "warm", "valueBoolean": True}]},
                {"code": "pink"},
            ],
        },
        {
            "code": "blue",
            "property": [{"code": "warm", "valueBoolean": False}, {"code": "like", "valueString": "sky"}],
            "concept": [{"code": "navy", "property": [{"code": "like", "valueString": "sea"}]}],
        },
    ],
}
EVERY = ["red", "crimson", "pink", "blue", "navy"]


class Known:
    """Definitions for tests: these value sets, the colours, and code systems that are given."""

    def __init__(self, *value_sets: dict[str, Any], systems: tuple[dict[str, Any], ...] = ()) -> None:
        self.value_sets = {row["url"]: read_value_set(row) for row in value_sets}
        self.systems = {row["url"]: read_code_system(row) for row in (COLOURS, *systems)}

    def value_set(self, url: str, version: str) -> ValueSet | None:
        found = self.value_sets.get(url)
        return found if found is not None and version in ("", found.version) else None

    def code_system(self, url: str, version: str) -> CodeSystem | None:
        found = self.systems.get(url)
        return found if found is not None and version in ("", found.version) else None

    def concept_map(self, url: str, version: str) -> ConceptMap | None:
        return None

    def concept_maps_from(self, system: str) -> tuple[ConceptMap, ...]:
        return ()

    def concept_maps_to(self, system: str) -> tuple[ConceptMap, ...]:
        return ()


def value_set(
    *include: dict[str, Any], exclude: tuple[dict[str, Any], ...] = (), url: str = "urn:vs"
) -> dict[str, Any]:
    compose = {"include": list(include)} | ({"exclude": list(exclude)} if exclude else {})
    return {"resourceType": "ValueSet", "url": url, "compose": compose}


def expanded(resource: dict[str, Any], known: Known | None = None) -> CodeSet:
    return expand(read_value_set(resource), known or Known())


def colours(*include: dict[str, Any], **more: Any) -> list[str]:
    return list(expanded(value_set(*include, **more)).codes.get("urn:colours", {}))


def filtered(name: str, op: str, value: str) -> dict[str, Any]:
    return {"system": "urn:colours", "filter": [{"property": name, "op": op, "value": value}]}


def test_a_system_alone_is_all_of_its_codes_in_their_order() -> None:
    assert colours({"system": "urn:colours"}) == EVERY


@pytest.mark.parametrize(
    ("name", "op", "value", "expected"),
    [
        ("concept", "is-a", "red", ["red", "crimson", "pink"]),
        ("code", "is-a", "navy", ["navy"]),
        ("concept", "descendent-of", "red", ["crimson", "pink"]),
        ("concept", "is-not-a", "red", ["blue", "navy"]),
        ("concept", "generalizes", "navy", ["navy", "blue"]),
        ("concept", "in", "red, navy", ["red", "navy"]),
        ("concept", "not-in", "red,navy", ["crimson", "pink", "blue"]),
        ("code", "regex", ".*n.*", ["crimson", "pink", "navy"]),
        ("concept", "=", "pink", ["pink"]),
        ("warm", "=", "true", ["red", "crimson"]),
        ("warm", "exists", "true", ["red", "crimson", "blue"]),
        ("warm", "exists", "false", ["pink", "navy"]),
        ("like", "in", "sea,sand", ["navy"]),
        ("like", "regex", "s[ek].", ["blue", "navy"]),
        ("parent", "=", "red", ["crimson", "pink"]),
        ("child", "exists", "true", ["red", "blue"]),
        ("display", "=", "Red", ["red"]),
    ],
)
def test_a_filter_selects_by_a_property(name: str, op: str, value: str, expected: list[str]) -> None:
    assert colours(filtered(name, op, value)) == expected


def test_all_filters_of_an_include_hold_at_once() -> None:
    both = filtered("concept", "is-a", "red") | {
        "filter": [*filtered("concept", "is-a", "red")["filter"], *filtered("warm", "=", "true")["filter"]]
    }
    assert colours(both) == ["red", "crimson"]


def test_includes_add_up_and_an_exclude_always_wins() -> None:
    listed = {"system": "urn:colours", "concept": [{"code": "navy"}]}
    assert colours(filtered("concept", "is-a", "red"), listed, exclude=(filtered("warm", "=", "true"),)) == [
        "pink",
        "navy",
    ]


def test_an_include_is_what_its_system_and_all_its_value_sets_have_in_common() -> None:
    known = Known(
        value_set(filtered("warm", "exists", "true"), url="urn:a"),
        value_set(filtered("concept", "is-a", "red"), url="urn:b"),
    )
    found = expanded(value_set({"system": "urn:colours", "valueSet": ["urn:a", "urn:b"]}), known)
    assert list(found.codes["urn:colours"]) == ["red", "crimson"]
    assert expanded(value_set({"valueSet": ["urn:a", "urn:b"]}), known) == found


def test_codes_that_are_listed_count_whether_or_not_their_system_is_known() -> None:
    found = expanded(
        value_set({"system": "http://snomed.info/sct", "concept": [{"code": "1", "display": "One"}]})
    )
    assert found.codes == {"http://snomed.info/sct": {"1": None}}


def test_a_system_that_is_not_known_is_included_as_a_whole() -> None:
    found = expanded(
        value_set({"system": "http://loinc.org"}, {"system": "http://loinc.org", "concept": [{"code": "1-8"}]})
    )
    assert (found.codes, found.whole) == ({}, {"http://loinc.org"})


@pytest.mark.parametrize("content", ["not-present", "example", "fragment"])
def test_a_system_of_which_not_all_is_known_is_included_as_a_whole(content: str) -> None:
    known = Known(systems=({"url": "urn:part", "content": content, "concept": [{"code": "a"}]},))
    assert expanded(value_set({"system": "urn:part"}), known).whole == {"urn:part"}
    with pytest.raises(NotExpandable, match="urn:part"):
        expanded(value_set({"system": "urn:part", "filter": filtered("concept", "is-a", "a")["filter"]}), known)


SNOMED_CHILDREN = {
    "system": "http://snomed.info/sct",
    "filter": [{"property": "concept", "op": "is-a", "value": "1"}],
}


@pytest.mark.parametrize(
    ("resource", "missing"),
    [
        (value_set(SNOMED_CHILDREN), "http://snomed.info/sct"),
        (value_set({"valueSet": ["urn:other|2"]}), r"urn:other\|2"),
        (
            value_set({"system": "urn:colours", "version": "9", "filter": SNOMED_CHILDREN["filter"]}),
            "urn:colours",
        ),
        (
            value_set(
                {"system": "http://loinc.org"},
                exclude=({"system": "http://loinc.org", "concept": [{"code": "1-8"}]},),
            ),
            "http://loinc.org",
        ),
        (value_set(filtered("concept", "is-a", "green")), "lacks"),
        (value_set(filtered("size", "=", "1")), "does not define"),
        (value_set(filtered("warm", "is-a", "red")), "concept alone"),
        (value_set(filtered("code", "regex", "(")), "regular expression"),
        (value_set(filtered("code", "like", "x")), "operator"),
        (value_set(filtered("warm", "exists", "perhaps")), "true or false"),
        (
            value_set(
                {"system": "urn:colours", "concept": [{"code": "red"}], "filter": SNOMED_CHILDREN["filter"]}
            ),
            "both lists and filters",
        ),
        (value_set({}), "names neither"),
        ({"resourceType": "ValueSet", "url": "urn:vs"}, "composed of"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(resource: dict[str, Any], missing: str) -> None:
    with pytest.raises(NotExpandable, match=missing):
        expanded(resource)


def test_a_hierarchy_that_is_no_subsumption_is_not_taken_for_one() -> None:
    parts = {
        "url": "urn:body",
        "content": "complete",
        "hierarchyMeaning": "part-of",
        "concept": [{"code": "arm", "concept": [{"code": "hand"}]}],
    }
    with pytest.raises(NotExpandable, match="subsumption"):
        expanded(
            value_set(
                {"system": "urn:body", "filter": [{"property": "concept", "op": "is-a", "value": "arm"}]}
            ),
            Known(systems=(parts,)),
        )


def test_value_sets_that_include_each_other_are_refused() -> None:
    known = Known(
        value_set({"valueSet": ["urn:b"]}, url="urn:a"), value_set({"valueSet": ["urn:a"]}, url="urn:b")
    )
    with pytest.raises(NotExpandable, match="includes itself"):
        expand(known.value_sets["urn:a"], known)


def test_an_expansion_of_more_codes_than_allowed_is_refused_with_the_number() -> None:
    many = {
        "url": "urn:many",
        "content": "complete",
        "concept": [{"code": str(n)} for n in range(CODES_MAXIMUM + 1)],
    }
    with pytest.raises(TooCostly, match=str(CODES_MAXIMUM)):
        expanded(value_set({"system": "urn:many"}), Known(systems=(many,)))
    wide = value_set({"system": "urn:many", "filter": [{"property": "code", "op": "in", "value": "1,2"}]})
    assert list(expanded(wide, Known(systems=(many,))).codes["urn:many"]) == ["1", "2"]


def test_the_work_of_all_expansions_of_a_request_is_bounded() -> None:
    for resource in (
        value_set(*[filtered("warm", "=", "true")] * 1_000),
        value_set(filtered("code", "regex", "(a?){900}")),
    ):
        with pytest.raises(TooCostly, match="1000 concepts"):
            expand(read_value_set(resource), Known(), Budget(1_000))
    budget = Budget(100)
    small = read_value_set(value_set({"system": "urn:colours"}))
    with pytest.raises(TooCostly):
        for _ in range(101):
            expand(small, Known(), budget)


# -- against a naive evaluation

concepts = st.sampled_from(EVERY)
filters = st.one_of(
    st.builds(
        lambda op, v: ("concept", op, v),
        st.sampled_from(["is-a", "descendent-of", "is-not-a", "generalizes", "="]),
        concepts,
    ),
    st.builds(
        lambda op, v: ("concept", op, ",".join(v)),
        st.sampled_from(["in", "not-in"]),
        st.lists(concepts, min_size=1),
    ),
    st.builds(
        lambda op, v: ("warm", op, v), st.sampled_from(["=", "exists"]), st.sampled_from(["true", "false"])
    ),
)
components = st.one_of(
    st.builds(
        lambda rows: {
            "system": "urn:colours",
            "filter": [dict(zip(("property", "op", "value"), row, strict=True)) for row in rows],
        },
        st.lists(filters, min_size=1, max_size=2),
    ),
    st.builds(
        lambda codes: {"system": "urn:colours", "concept": [{"code": code} for code in codes]},
        st.lists(concepts, max_size=3),
    ),
    st.just({"system": "urn:colours"}),
    st.builds(
        lambda urls: {"valueSet": urls}, st.lists(st.sampled_from(["urn:0", "urn:1"]), min_size=1, max_size=2)
    ),
)
compositions = st.builds(
    lambda include, exclude: (include, exclude),
    st.lists(components, min_size=1, max_size=3),
    st.lists(components, max_size=2),
)


def walk(
    rows: list[dict[str, Any]], above: tuple[str, ...] = ()
) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    for row in rows:
        yield row, above
        yield from walk(row.get("concept", []), (*above, row["code"]))


PLACES = {row["code"]: (row, above) for row, above in walk(COLOURS["concept"])}


def holds(code: str, row: dict[str, str]) -> bool:
    """A filter as the specification words it, asked of one concept."""
    concept, above = PLACES[code]
    name, op, value = row["property"], row["op"], row["value"]
    if name == "concept":
        return {
            "=": code == value,
            "is-a": value in (code, *above),
            "descendent-of": value in above,
            "is-not-a": value not in (code, *above),
            "generalizes": code in (value, *PLACES[value][1]) if value in PLACES else False,
            "in": code in value.split(","),
            "not-in": code not in value.split(","),
        }[op]
    stated = [str(p["valueBoolean"]).lower() for p in concept.get("property", ()) if p["code"] == name]
    return value in stated if op == "=" else bool(stated) is (value == "true")


def member(code: str, include: list[dict[str, Any]], exclude: list[dict[str, Any]], known: list[Any]) -> bool:
    def selects(part: dict[str, Any]) -> bool:
        return (
            (code in [row["code"] for row in part["concept"]] if "concept" in part else True)
            and all(holds(code, row) for row in part.get("filter", ()))
            and all(member(code, *known[int(url[-1])], known) for url in part.get("valueSet", ()))
        )

    return any(map(selects, include)) and not any(map(selects, exclude))


plain = st.lists(components.filter(lambda part: "valueSet" not in part), min_size=1, max_size=2)


@pytest.mark.slow
@given(compositions, plain, plain)
def test_an_expansion_has_exactly_the_concepts_that_are_members(
    composition: Any, first: Any, second: Any
) -> None:
    known = [(first, []), (second, [])]
    imported = Known(*(value_set(*include, url=f"urn:{n}") for n, (include, _) in enumerate(known)))
    include, exclude = composition
    found = expanded(value_set(*include, exclude=tuple(exclude)), imported)
    assert set(found.codes.get("urn:colours", ())) == {
        code for code in EVERY if member(code, include, exclude, known)
    }


@pytest.mark.slow
@given(compositions, plain, plain)
def test_what_is_listed_is_what_is_a_member(composition: Any, first: Any, second: Any) -> None:
    imported = Known(value_set(*first, url="urn:0"), value_set(*second, url="urn:1"))
    include, exclude = composition
    composed = Composer(imported).compose(read_value_set(value_set(*include, exclude=tuple(exclude))))
    found = [member.code for member in composed.members()]
    assert len(found) == len(set(found))
    assert set(found) == {code for code in EVERY if composed.has("urn:colours", code)}
    for text in ("r", "navy", "Re"):
        wanted = words(text)
        named = [code for code in found if wanted.are_in(known_terms(code)) or code == text]
        assert [member.code for member in composed.members(wanted)] == named


def known_terms(code: str) -> tuple[str, ...]:
    concept, _ = PLACES[code]
    return (concept.get("display", ""),)


def test_value_sets_that_include_each_other_many_times_over_end_in_time() -> None:
    """Each includes the next twice: as many ways as two to the power of their number."""
    count = 40
    sets = [
        value_set({"valueSet": [f"urn:{n + 1}"]}, {"valueSet": [f"urn:{n + 1}"]}, url=f"urn:{n}")
        for n in range(count)
    ]
    known = Known(*sets, value_set({"system": "urn:colours"}, url=f"urn:{count}"))
    with pytest.raises(TooCostly):
        expand(known.value_sets["urn:0"], known, Budget(10_000))


# -- what R4 itself ships


def test_every_value_set_of_r4_expands_or_names_what_is_missing() -> None:
    refused, empty = [], []
    for url in shipped.urls("ValueSet"):
        found = shipped.value_set(url)
        assert found is not None
        assert found.url == url
        try:
            codes = expand(found, shipped)
        except NotExpandable as error:
            refused.append((url, str(error)))
        else:
            if not len(codes) and not codes.whole:
                empty.append(url.rpartition("/")[2])
    assert len(shipped.urls("ValueSet")) == 1316
    assert empty == ["message-events", "v3-policyHolderRole"]  # whose code systems define no code
    assert all("http" in said or "urn:" in said for _, said in refused)
    assert (
        len(refused) < 120
    )  # SNOMED CT, LOINC, UCUM and M49 by filters; two value sets that R4 names and lacks


def test_r4_has_what_its_own_pages_list() -> None:
    def codes(name: str) -> set[str]:
        found = shipped.value_set(f"http://hl7.org/fhir/ValueSet/{name}")
        assert found is not None
        return {code for listed in expand(found, shipped).codes.values() for code in listed}

    assert codes("administrative-gender") == {"male", "female", "other", "unknown"}
    assert codes("allergyintolerance-clinical") == {"active", "inactive", "resolved"}
    assert codes("condition-category") == {"problem-list-item", "encounter-diagnosis"}
    assert len(codes("c80-doc-typecodes")) == 6401
    moods = shipped.value_set("http://terminology.hl7.org/ValueSet/v3-ActMoodIntent")
    assert moods is not None
    assert {"INT", "RQO", "PRMS"} <= set(
        expand(moods, shipped).codes["http://terminology.hl7.org/CodeSystem/v3-ActMood"]
    )


def test_a_value_set_of_all_codes_is_known_by_its_code_system() -> None:
    every = shipped.value_set("http://hl7.org/fhir/ValueSet/condition-clinical")
    assert every is not None
    assert shipped.value_set(every.url, every.version) == every
    assert shipped.value_set(every.url, "0") is None


@pytest.mark.parametrize(
    ("url", "system"),
    [
        ("http://snomed.info/sct?fhir_vs", "http://snomed.info/sct"),
        ("http://loinc.org/vs", "http://loinc.org"),
        ("http://unitsofmeasure.org/vs", "http://unitsofmeasure.org"),
    ],
)
def test_all_codes_of_a_terminology_have_a_url_of_their_own(url: str, system: str) -> None:
    found = shipped.value_set(url)
    assert found is not None
    assert expand(found, shipped).whole == {system}
    assert shipped.value_set(url + "=isa/1") is None
