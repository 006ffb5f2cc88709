"""Query strings become SearchQuery values, or an error that names the parameter and never the value.

Covers hl7.org/fhir/R4/search.html, hl7.org/fhir/us/core/STU7/ (searches of each profile).
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.errors import FhirError
from server.fhir.search_conditions import LINKS_MAXIMUM, STEPS_MAXIMUM, VALUES_MAXIMUM
from server.fhir.search_includes import INCLUDES_MAXIMUM
from server.fhir.search_modifiers import modifiers
from server.fhir.search_parameters import supported
from server.fhir.search_parsing import PARAMETERS_MAXIMUM, parse_search, parse_search_of_types, read_types
from server.fhir.search_query import (
    Chained,
    Clause,
    DateValue,
    Has,
    Include,
    MissingValue,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    SearchQuery,
    StringValue,
    TokenValue,
    UriValue,
    Value,
)

BASE = "http://server.example/fhir"


def ask(query: str, resource_type: str = "Observation", **more: object) -> SearchQuery:
    pairs = parse_qsl(query, keep_blank_values=True)
    return parse_search(resource_type, pairs, base_url=BASE, **more)  # type: ignore[arg-type]


def values(query: str, resource_type: str = "Observation") -> tuple[Value, ...]:
    (clause,) = ask(query, resource_type).conditions
    assert isinstance(clause, Clause)
    return clause.values


def refused(query: str, resource_type: str = "Observation", **more: object) -> FhirError:
    with pytest.raises(FhirError) as caught:
        ask(query, resource_type, **more)
    error = caught.value
    (issue,) = error.issues
    assert issue.severity == "error"
    return error


# Values of each type ---------------------------------------------------------------------------------------


@pytest.mark.requirement("U2")
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("code=2160-0", TokenValue(None, "2160-0")),
        ("code=http://loinc.org|2160-0", TokenValue("http://loinc.org", "2160-0")),
        ("code=|2160-0", TokenValue("", "2160-0")),
        ("code=http://loinc.org|", TokenValue("http://loinc.org", None)),
        (r"code=s|a\|b\,c\$d\\e", TokenValue("s", r"a|b,c$d\e")),
        (r"code=a\b", TokenValue(None, r"a\b")),
        ("subject=Patient/1", ReferenceValue("Patient", "1")),
        ("subject=Patient/1/_history/3", ReferenceValue("Patient", "1")),
        (f"subject={BASE}/Patient/1", ReferenceValue("Patient", "1")),
        ("subject=1", ReferenceValue(None, "1")),
        ("patient=1", ReferenceValue("Patient", "1")),
        ("subject:Patient=1", ReferenceValue("Patient", "1")),
        ("subject:Patient=Patient/1", ReferenceValue("Patient", "1")),
        (
            "subject=http://other.example/Patient/1",
            ReferenceValue(None, None, "http://other.example/Patient/1"),
        ),
        ("subject=urn:uuid:1", ReferenceValue(None, None, "urn:uuid:1")),
        ("subject:identifier=s|v", TokenValue("s", "v")),
        ("value-string=Zo%C3%AB", StringValue("Zoë")),
        (r"value-string=a\,b", StringValue("a,b")),
        ("value-string:exact=Ab", StringValue("Ab")),
        ("value-string:contains=b", StringValue("b")),
        ("_profile=http://a/b", UriValue("http://a/b")),
        ("status:missing=true", MissingValue(True)),
        ("status:missing=false", MissingValue(False)),
        ("status:not=final", TokenValue(None, "final")),
        ("_id=a-1.B", TokenValue(None, "a-1.B")),
    ],
)
def test_a_value_is_read_by_the_type_of_its_parameter(written: str, expected: Value) -> None:
    assert values(written) == (expected,)


def test_a_canonical_keeps_its_version() -> None:
    (value,) = values("questionnaire=http://a/q|1.0", "QuestionnaireResponse")
    assert value == ReferenceValue(None, None, "http://a/q|1.0")


@pytest.mark.parametrize(
    ("text", "value", "low", "high"),
    [
        ("100", "100", "99.5", "100.5"),
        ("100.00", "100.00", "99.995", "100.005"),
        ("5.4", "5.4", "5.35", "5.45"),
        ("5.40e-3", "0.00540", "0.005395", "0.005405"),
        ("1e2", "100", "95", "105"),
        ("-2.0", "-2.0", "-2.05", "-1.95"),
        ("0", "0", "-0.5", "0.5"),
        ("ap50", "50", "45", "55"),
    ],
)
def test_a_number_covers_the_range_of_its_precision(text: str, value: str, low: str, high: str) -> None:
    (found,) = values(f"probability={text}", "RiskAssessment")
    assert isinstance(found, NumberValue)
    assert (found.value, found.low, found.high) == (Decimal(value), Decimal(low), Decimal(high))


def test_a_number_of_more_digits_than_floats_have_still_finds_itself() -> None:
    (found,) = values("probability=167.84693920000000000000001", "RiskAssessment")
    assert isinstance(found, NumberValue)
    assert float(found.low) < float(found.value) < float(found.high)


@pytest.mark.parametrize("prefix", ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
def test_dates_numbers_and_quantities_take_all_nine_prefixes(prefix: str) -> None:
    (date,) = values(f"date={prefix}2024")
    (number,) = values(f"probability={prefix}0.5", "RiskAssessment")
    (quantity,) = values(f"value-quantity={prefix}5.4|http://unitsofmeasure.org|mg")
    assert isinstance(date, DateValue)
    assert isinstance(number, NumberValue)
    assert isinstance(quantity, QuantityValue)
    assert date.prefix == number.prefix == quantity.number.prefix == prefix


@pytest.mark.parametrize(
    ("text", "system", "code"),
    [
        ("5.4", None, None),
        ("5.4|http://unitsofmeasure.org|mg", "http://unitsofmeasure.org", "mg"),
        ("5.4||mg", None, "mg"),
        ("5.4||", None, None),
    ],
)
def test_a_quantity_may_name_its_unit(text: str, system: str | None, code: str | None) -> None:
    (value,) = values(f"value-quantity={text}")
    assert isinstance(value, QuantityValue)
    assert (value.system, value.code) == (system, code)


@pytest.mark.requirement("U4")
def test_commas_are_or_and_repetitions_and() -> None:
    one, other = ask(r"status=final,amended&category=a\,b,c").conditions
    assert isinstance(one, Clause)
    assert isinstance(other, Clause)
    assert one.values == (TokenValue(None, "final"), TokenValue(None, "amended"))
    assert other.values == (TokenValue(None, "a,b"), TokenValue(None, "c"))
    assert len(ask("date=ge2024&date=lt2025").conditions) == 2


# Chains and _has -------------------------------------------------------------------------------------------


def test_a_chain_asks_the_resource_referred_to() -> None:
    (chained,) = ask("subject:Patient.name:exact=Eve").conditions
    assert isinstance(chained, Chained)
    assert chained.link.code == "subject"
    ((target, condition),) = chained.targets
    assert target == "Patient"
    assert isinstance(condition, Clause)
    assert (condition.parameter.code, condition.modifier) == ("name", "exact")


def test_a_chain_without_type_asks_every_target_that_knows_the_parameter() -> None:
    (chained,) = ask("subject.name=x").conditions
    assert isinstance(chained, Chained)
    assert {target for target, _ in chained.targets} == {"Location", "Patient"}


def test_a_chain_leaves_out_targets_for_which_the_value_is_impossible() -> None:
    (chained,) = ask("subject.identifier=s|v").conditions
    assert isinstance(chained, Chained)
    assert {target for target, _ in chained.targets} == {"Device", "Group", "Location", "Patient"}
    assert refused("patient.birthdate=soon").kind == "invalid-search"


def test_has_asks_the_resources_that_refer_here() -> None:
    (has,) = ask("_has:Observation:patient:code=2160-0", "Patient").conditions
    assert isinstance(has, Has)
    assert (has.resource_type, has.link.code) == ("Observation", "patient")
    assert isinstance(has.condition, Clause)
    assert has.condition.parameter.resource_type == "Observation"


def test_chains_go_on_from_link_to_link() -> None:
    (first,) = ask("patient.organization.partof.name:contains=care").conditions
    assert isinstance(first, Chained)
    ((_, second),) = first.targets
    assert isinstance(second, Chained)
    ((target, third),) = second.targets
    assert (second.link.code, target) == ("organization", "Organization")
    assert isinstance(third, Chained)
    ((_, clause),) = third.targets
    assert isinstance(clause, Clause)
    assert (clause.parameter.code, clause.modifier) == ("name", "contains")


def test_has_stands_in_has_in_chains_and_before_chains() -> None:
    (has,) = ask(
        "_has:Observation:patient:_has:Provenance:target:agent:Practitioner.name=x", "Patient"
    ).conditions
    assert isinstance(has, Has)
    inner = has.condition
    assert isinstance(inner, Has)
    assert (inner.resource_type, inner.link.code) == ("Provenance", "target")
    assert isinstance(inner.condition, Chained)
    (chained,) = ask("subject:Patient._has:Group:member:_id=g").conditions
    assert isinstance(chained, Chained)
    assert isinstance(chained.targets[0][1], Has)


@pytest.mark.parametrize(
    ("query", "modifier", "values"),
    [
        ("patient.birthdate:missing=true", "missing", (MissingValue(True),)),
        ("patient.general-practitioner:identifier=s|v", "identifier", (TokenValue("s", "v"),)),
        ("patient.general-practitioner:Practitioner=1", "", (ReferenceValue("Practitioner", "1"),)),
        ("patient._id=1,2", "", (TokenValue(None, "1"), TokenValue(None, "2"))),
    ],
)
def test_any_modifier_stands_at_the_end_of_a_chain(
    query: str, modifier: str, values: tuple[Value, ...]
) -> None:
    (chained,) = ask(query).conditions
    assert isinstance(chained, Chained)
    ((_, clause),) = chained.targets
    assert isinstance(clause, Clause)
    assert (clause.modifier, clause.values) == (modifier, values)


def test_a_list_is_asked_by_what_its_entries_refer_to() -> None:
    (has,) = ask("_list=1,2").conditions
    assert isinstance(has, Has)
    assert (has.resource_type, has.link.code) == ("List", "item")
    assert isinstance(has.condition, Clause)
    assert has.condition.values == (TokenValue(None, "1"), TokenValue(None, "2"))


def test_chains_are_as_long_as_the_published_limit() -> None:
    links = "has-member:Observation."
    assert ask(f"{links * LINKS_MAXIMUM}status=final").conditions
    assert refused(f"{links * (LINKS_MAXIMUM + 1)}status=final").kind == "too-costly"
    back = "_has:Observation:has-member:"
    assert refused(f"{back * (LINKS_MAXIMUM + 1)}status=final").kind == "too-costly"


@pytest.mark.parametrize(
    "query",
    ["target.subject.name=x", "target.focus.focus.focus.focus.code.x=1", "target.code=" + "x," * 999 + "x"],
)
def test_a_chain_that_could_mean_too_much_is_refused_at_once(query: str) -> None:
    error = refused(query, "Provenance")
    assert (error.kind, error.status) == ("too-costly", 422)
    assert error.issues[0].expression == "http.target"


def test_many_branching_chains_together_are_too_costly() -> None:
    assert refused("&".join(["target.code=x"] * 100), "Provenance").kind == "too-costly"


# Several types ---------------------------------------------------------------------------------------------


def test_a_search_of_types_reads_every_parameter_for_each_of_them() -> None:
    query = parse_search_of_types(("Condition", "Observation"), [("patient", "1"), ("_sort", "-_lastUpdated")])
    assert [part.resource_type for part in query.parts] == ["Condition", "Observation"]
    numbers = set()
    for part in query.parts:
        (clause,) = part.conditions
        assert isinstance(clause, Clause)
        assert (clause.parameter.code, clause.values) == ("patient", (ReferenceValue("Patient", "1"),))
        numbers.add(clause.parameter.number)
        assert [(key.parameter.code, key.descending) for key in part.sort] == [("_lastUpdated", True)]
    assert len(numbers) == 2


@pytest.mark.parametrize(
    ("name", "text"), [("code", "x"), ("_sort", "code"), ("_sort", "family"), ("near", "1")]
)
def test_a_search_of_types_takes_only_what_all_of_them_have(name: str, text: str) -> None:
    with pytest.raises(FhirError) as caught:
        parse_search_of_types(("Observation", "Patient"), [(name, text)])
    assert caught.value.kind == "unsupported-search"
    assert caught.value.issues[0].expression == f"http.{name}"


def test_a_search_of_types_includes_from_any_of_them() -> None:
    pairs = [("_include", "Observation:subject"), ("_revinclude", "Provenance:target")]
    assert len(parse_search_of_types(("Observation", "Patient"), pairs).includes) == 2
    with pytest.raises(FhirError) as caught:
        parse_search_of_types(("Condition", "Patient"), pairs)
    assert caught.value.kind == "invalid-search"


@pytest.mark.parametrize("texts", [["Patient,Unicorn"], [""], ["Patient", "Group"], ["Patient,"]])
def test_types_are_names_of_resource_types_given_once(texts: list[str]) -> None:
    with pytest.raises(FhirError) as caught:
        read_types(texts)
    assert (caught.value.kind, caught.value.issues[0].expression) == ("invalid-search", "http._type")


# Result parameters -----------------------------------------------------------------------------------------


def test_without_parameters_everything_of_the_type_is_asked_for() -> None:
    assert ask("", count_default=20) == SearchQuery("Observation", count=20)


def test_result_parameters_shape_the_query() -> None:
    query = ask(
        "_count=5&_sort=-date,_id&_total=accurate&_summary=false&_elements=status,code&_elements=value"
        "&_include=Observation:subject:Patient&_include=Observation:*&_revinclude=Provenance:target"
        "&_format=json&_pretty=true"
    )
    assert query.count == 5
    assert [(key.parameter.code, key.descending) for key in query.sort] == [("date", True), ("_id", False)]
    assert (query.total, query.summary, query.elements) == ("accurate", "false", ("status", "code", "value"))
    subject = supported("Observation")["subject"]
    target = supported("Provenance")["target"]
    assert query.includes == (
        Include("Observation", subject, "Patient"),
        Include("Observation", None),
        Include("Provenance", target, reverse=True),
    )
    assert query.conditions == ()


def test_includes_may_iterate_and_start_anywhere_then() -> None:
    (one, another, every, back) = ask(
        "_include:iterate=Patient:general-practitioner&_revinclude:recurse=Provenance:target:Encounter"
        "&_include:iterate=*&_revinclude=*"
    ).includes
    assert (one.source_type, one.iterate, one.reverse) == ("Patient", True, False)
    assert (another.source_type, another.target_type, another.iterate) == ("Provenance", "Encounter", True)
    assert every == Include("", None, iterate=True)
    assert back == Include("", None, reverse=True)


def test_an_include_of_another_type_says_that_it_needs_iterate() -> None:
    error = refused("_include=Patient:general-practitioner")
    assert ":iterate" in error.issues[0].diagnostics


@pytest.mark.parametrize("name", ["_include", "_include:iterate", "_revinclude"])
def test_an_include_along_a_canonical_is_refused_instead_of_bringing_nothing(name: str) -> None:
    error = refused(f"{name}=QuestionnaireResponse:questionnaire", "Questionnaire")
    assert error.kind == "invalid-search"
    assert "subject" in error.issues[0].diagnostics
    assert "questionnaire," not in error.issues[0].diagnostics


def test_sort_may_be_repeated_and_the_first_of_a_key_counts() -> None:
    query = ask("_sort=-date&_sort=_id,date")
    assert [(key.parameter.code, key.descending) for key in query.sort] == [("date", True), ("_id", False)]


def test_a_count_of_zero_asks_for_the_total_and_a_large_one_is_cut_to_the_limit() -> None:
    assert ask("_count=0").count == 0
    assert ask("_count=99999", count_maximum=1000).count == 1000


@pytest.mark.parametrize(
    "query",
    [
        "_count=-1",
        "_count=x",
        "_count=1&_count=2",
        "_total=maybe",
        "_totalMethod=accurate",
        "_totalMethod=count&_total=accurate",
        "_summary=yes",
        "_elements=a-b",
        "_sort=",
        "_sort=code",
        "_sort=unheard",
        "_include=Patient:link",
        "_include=Observation:code",
        "_include=x",
        "_revinclude=Patient:link",
        "_sort:x=date",
        "_include:again=Observation:subject",
        "_summary=text&_include=Observation:subject",
        "_elements=status&_summary=true",
        "_elements=name.family",
        "_revinclude=Provenance:target:Patient",
        "_include=Observation:subject:Nothing",
    ],
)
def test_result_parameters_that_make_no_sense_are_refused(query: str) -> None:
    error = refused(query)
    assert error.status == 400
    assert error.issues[0].expression == "http." + query.split("=")[0].split(":")[0]


# Refusals --------------------------------------------------------------------------------------------------


def test_an_unknown_parameter_is_refused_with_the_valid_ones() -> None:
    error = refused("colour=red", "Patient")
    assert (error.kind, error.status) == ("unsupported-search", 400)
    (issue,) = error.issues
    assert issue.code == "not-supported"
    assert issue.expression == "http.colour"
    assert "colour" in issue.diagnostics
    assert all(code in issue.diagnostics for code in supported("Patient"))
    assert "red" not in issue.diagnostics


def test_lenient_handling_leaves_unknown_parameters_out_and_says_so() -> None:
    query = ask("colour=red&gender=female&near=1", "Patient", handling="lenient")
    assert query.ignored == ("colour", "near")
    assert query.self_parameters == (("gender", "female"),)
    assert len(query.conditions) == 1


@pytest.mark.parametrize("query", ["birthdate=soon", "gender:in=x", "gender="])
def test_lenient_handling_does_not_excuse_a_bad_value_or_modifier(query: str) -> None:
    assert refused(query, "Patient", handling="lenient").status == 400


@pytest.mark.parametrize(
    ("resource_type", "query"),
    [
        ("Observation", "_text=x"),
        ("Observation", "_content=x"),
        ("Observation", "_filter=x"),
        ("Observation", "_list=$current-problems"),
        ("Observation", "_list:not=x"),
        ("Observation", "_query=x"),
        ("Observation", "_type=x"),
        ("Patient", "phonetic=x"),
        ("Location", "near=1|2"),
        ("Patient", "name:not=x"),
        ("Patient", "birthdate:exact=2000"),
        ("Patient", "_id:not=x"),
        ("Patient", "_lastUpdated:missing=true"),
        ("Observation", "patient.unheard=x"),
        ("Observation", "patient.organization.unheard=x"),
        ("Patient", "_has:Observation:patient:unheard=x"),
        ("Observation", "code:=x"),
    ],
)
def test_what_is_not_supported_is_said_and_located(resource_type: str, query: str) -> None:
    error = refused(query, resource_type)
    assert (error.kind, error.status) == ("unsupported-search", 400)
    assert error.issues[0].expression.startswith("http.")


@pytest.mark.parametrize(
    ("resource_type", "query"),
    [
        ("Observation", "date=yesterday"),
        ("Observation", "date=2024-02-30"),
        ("Observation", "date=xx2024"),
        ("Observation", "value-quantity=much"),
        ("Observation", "value-quantity=5|mg"),
        ("Observation", "value-quantity=5|http://unitsofmeasure.org|"),
        ("Observation", "value-quantity=NaN"),
        ("Observation", "value-quantity=1e999"),
        ("RiskAssessment", "probability=Infinity"),
        ("Observation", "subject=a b"),
        ("Observation", "subject=Nothing/1"),
        ("Observation", "subject:Patient=Group/1"),
        ("Observation", "subject:Practitioner=1"),
        ("Observation", "subject=#contained"),
        ("Observation", "subject:Practitioner.name=x"),
        ("Observation", "code.name=x"),
        ("Observation", "code=a|b|c"),
        ("Observation", "code=|"),
        ("Observation", "code="),
        ("Observation", "code=a,"),
        ("Observation", "code=a%00"),
        ("Observation", "status:missing=perhaps"),
        ("Observation", "status:missing=true,false"),
        ("Patient", "active=yes"),
        ("Patient", "name=%20"),
        ("Patient", "_id=a/b"),
        ("Patient", "_has:Observation:patient=x"),
        ("Patient", "_has:Nothing:patient:code=x"),
        ("Patient", "_has:Observation:code:code=x"),
        ("Patient", "_has:Observation:patient:_has:Task:patient:code=x"),
        ("QuestionnaireResponse", "questionnaire.title=x"),
        ("Observation", "patient.organization:identifier.name=x"),
        ("Patient", "_has:Observation:patient:_has=x"),
        ("Observation", "_list=a/b"),
        ("Observation", "patient.birthdate=soon"),
        ("Practitioner", "_has:Observation:patient:code=x"),
    ],
)
def test_a_value_that_cannot_be_is_refused_without_being_repeated(resource_type: str, query: str) -> None:
    error = refused(query, resource_type)
    assert (error.kind, error.status) == ("invalid-search", 400)
    (issue,) = error.issues
    name, _, text = query.partition("=")
    assert issue.code == "value"
    assert issue.expression == "http." + name.replace(".", ":").split(":")[0]
    if len(text) > 3:
        assert text not in issue.diagnostics


def test_a_name_that_could_be_about_a_patient_is_not_repeated() -> None:
    error = refused("Jane Roe=1", "Patient")
    assert "Jane" not in error.issues[0].diagnostics
    assert error.issues[0].expression == ""


def test_an_unknown_type_is_not_found() -> None:
    assert refused("name=x", "Nothing").status == 404


def test_very_long_queries_are_refused_as_too_costly() -> None:
    assert refused("code=" + ",".join("a" * 1001)).kind == "too-costly"
    assert refused("&".join(["code=a"] * (PARAMETERS_MAXIMUM + 1))).kind == "too-costly"


def test_the_reference_page_states_the_limits_and_modifiers_that_hold() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "search.md").read_text("utf-8")
    assert f"{PARAMETERS_MAXIMUM} parameters, {VALUES_MAXIMUM:,} values of one parameter" in page
    assert f"{INCLUDES_MAXIMUM} includes, {LINKS_MAXIMUM} links and {STEPS_MAXIMUM} steps of a chain" in page
    offered = {
        one for kind in ("Observation", "Patient") for p in supported(kind).values() for one in modifiers(p)
    }
    assert all(f"`:{modifier}" in page for modifier in offered)


NAMES = st.one_of(
    st.sampled_from(
        [
            "code",
            "date",
            "subject",
            "value-quantity",
            "value-string",
            "_id",
            "_lastUpdated",
            "_profile",
            "_sort",
            "_count",
            "_include",
            "_revinclude",
            "_elements",
            "_total",
            "_summary",
            "patient.name",
            "subject:Patient.birthdate",
            "_has:Provenance:target:recorded",
            "patient.organization.name",
            "subject._has:Group:member:_id",
            "_list",
            "_include:iterate",
            "code:not",
            "status:missing",
            "subject:identifier",
            "subject:Patient",
            "value-string:exact",
            "combo-value-quantity",
            "_has",
            "_has:",
        ]
    ),
    st.text(max_size=12),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["code", "subject", "_has"]),
        st.sampled_from(":."),
        st.text(max_size=9),
    ),
)
TEXTS = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="0123456789-:TZ.+ eglstnabp|,\\$eE", max_size=24),
    st.from_regex(
        r"(eq|ap|sa)?[0-9]{4}(-[0-9]{2}){0,2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2}))?"
    ),
    st.from_regex(r"[A-Z][a-z]{3,8}/[a-z0-9]{1,3}"),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(NAMES, TEXTS), max_size=4), st.sampled_from(["strict", "lenient"]))
@example([("date", "9999-12-31T23:59:60-14:00")], "strict")
@example([("value-quantity", "1e-200")], "strict")
@example([("subject", "Patient/" + "x" * 65)], "strict")
def test_any_text_gives_a_query_or_an_error_of_the_client(pairs: list[tuple[str, str]], handling: str) -> None:
    try:
        query = parse_search("Observation", pairs, handling=handling, time_zone="America/New_York")
    except FhirError as error:
        status = error.status
    else:
        status = 200
        assert len(query.self_parameters) + len(query.ignored) == len(pairs)
        assert isinstance(hash(query), int)
    assert status in (200, 400, 422)


# US Core ---------------------------------------------------------------------------------------------------

US_CORE = {
    "Patient": "_id=1;identifier=s|1;name=a;birthdate=2000-01-01&name=a;gender=female&name=a;"
    "family=a&gender=male;birthdate=2000&family=a;death-date=gt2000&family=a",
    "CarePlan": "patient=1&category=http://hl7.org/fhir/us/core/CodeSystem/careplan-category|assess-plan;"
    "patient=1&category=assess-plan&status=active,completed;patient=1&category=assess-plan&date=ge2020;"
    "patient=1&category=assess-plan&status=active&date=lt2020-01-01T00:00:00Z",
    "CareTeam": "patient=1&status=active;role=1;patient=1&role=1;patient=1&_include=CareTeam:participant",
    "Goal": "patient=1;patient=1&target-date=gt2020;patient=1&lifecycle-status=active;patient=1&description=1",
    "Encounter": "_id=1;patient=1;date=ge2020&patient=1;identifier=1;class=IMP&patient=1;patient=1&type=1;"
    "patient=1&status=finished;patient=1&location=Location/1;patient=1&discharge-disposition=01;"
    "patient=1&_lastUpdated=gt2020-01-01T00:00:00Z",
    "MedicationRequest": "patient=1&intent=order,plan;patient=1&intent=order&status=active,completed;"
    "patient=1&intent=order&encounter=1;patient=1&intent=order&authoredon=ge2020;"
    "patient=1&intent=order&_include=MedicationRequest:medication",
    "Condition": "patient=1;patient=1&category=problem-list-item;patient=1&clinical-status=active;"
    "patient=1&category=encounter-diagnosis&clinical-status=active;"
    "patient=1&category=encounter-diagnosis&encounter=1;patient=1&code=1;patient=1&onset-date=gt2020;"
    "patient=1&abatement-date=gt2020;patient=1&asserted-date=gt2020;patient=1&recorded-date=gt2020;"
    "patient=1&_lastUpdated=gt2020",
    "Observation": "patient=1&category=laboratory;patient=1&code=http://loinc.org|8302-2;"
    "patient=1&category=laboratory&date=ge2020;patient=1&code=8302-2&date=gt2020;"
    "patient=1&category=laboratory&status=final,amended;patient=1&category=laboratory&_lastUpdated=gt2020",
    "ServiceRequest": "patient=1;_id=1;patient=1&category=1;patient=1&code=1;"
    "patient=1&category=1&authored=gt2020;patient=1&status=active,completed;patient=1&code=1&authored=gt2020",
    "QuestionnaireResponse": "patient=1;_id=1;patient=1&questionnaire=http://a/q;patient=1&authored=gt2020;"
    "patient=1&status=completed,amended",
    "DocumentReference": "_id=1;patient=1;patient=1&category=1;patient=1&category=1&date=gt2020;"
    "patient=1&type=1;patient=1&status=current,superseded;patient=1&type=1&period=gt2020",
    "DiagnosticReport": "patient=1;patient=1&category=1;patient=1&code=1;patient=1&category=1&date=gt2020;"
    "patient=1&status=final,amended;patient=1&code=1&date=gt2020;patient=1&category=1&_lastUpdated=gt2020",
    "Procedure": "patient=1;patient=1&date=gt2020;patient=1&status=completed;patient=1&code=1&date=gt2020",
    "MedicationDispense": "patient=1;patient=1&status=completed,cancelled;patient=1&status=completed&type=FF;"
    "patient=1&_include=MedicationDispense:medication",
    "AllergyIntolerance": "patient=1;patient=1&clinical-status=active",
    "Immunization": "patient=1;patient=1&date=gt2020;patient=1&status=completed",
    "Coverage": "patient=1",
    "Device": "patient=1;patient=1&status=active;patient=1&type=1",
    "Practitioner": "identifier=http://hl7.org/fhir/sid/us-npi|1;name=a;_id=1",
    "PractitionerRole": "practitioner=1;specialty=1;practitioner=1&_include=PractitionerRole:practitioner"
    "&_include=PractitionerRole:endpoint",
    "Organization": "address=a;name=a",
    "Location": "address=a;name=a;address-city=a;address-state=MA;address-postalcode=1",
    "RelatedPerson": "_id=1;patient=1;name=a;patient=1&name=a",
    "Specimen": "_id=1;patient=1",
    # Not US Core: the care types this product lives on
    "Task": "patient=1&status=requested;owner=Practitioner/1&status=requested;requester=1;code=1;focus=List/1;"
    "period=ge2020;_lastUpdated=gt2020;_include=Task:focus",
    "MedicationStatement": "patient=1&status=active;effective=gt2020;context=1;"
    "_include=MedicationStatement:medication",
    "Consent": "patient=1&status=active;period=gt2020",
    "AuditEvent": "patient=1;date=gt2020;agent=Practitioner/1;entity=Patient/1",
}


@pytest.mark.requirement("U1")
@pytest.mark.parametrize(
    ("resource_type", "query"), [(t, query) for t, queries in US_CORE.items() for query in queries.split(";")]
)
def test_every_search_of_us_core_is_understood(resource_type: str, query: str) -> None:
    pairs = parse_qsl(query)
    assert ask(query, resource_type).self_parameters == tuple(pairs)


@pytest.mark.requirement("U5")
@pytest.mark.parametrize("resource_type", sorted(set(US_CORE) - {"AuditEvent"}))
def test_every_us_core_type_brings_its_provenance(resource_type: str) -> None:
    (include,) = ask("_revinclude=Provenance:target", resource_type).includes
    assert include.reverse
    assert include.source_type == "Provenance"
