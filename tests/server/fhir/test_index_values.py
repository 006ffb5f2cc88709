"""A resource becomes index rows: every value of every parameter, each datatype by its own rule.

Covers hl7.org/fhir/R4/search.html#ptypes (what each search type indexes of each datatype).
"""

from __future__ import annotations

from decimal import Decimal
from math import nextafter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fhir import hashing
from server.fhir.dates import EARLIEST, LATEST
from server.fhir.folding import fold
from server.fhir.index_collector import Target
from server.fhir.index_rows import DateRow, IndexRows, QuantityRow, ReferenceRow, StringRow, UriRow
from server.fhir.index_values import index_values
from server.fhir.references import Absolute, Local, MalformedReference, parse_reference
from server.fhir.search_parameters import parameter

BASE = "http://server.example/fhir"
UCUM = "http://unitsofmeasure.org"
DAY = 86_400_000_000


def index(resource_type: str, **elements: Any) -> IndexRows:
    return index_values({"resourceType": resource_type, **elements}, base_url=BASE, time_zone="UTC")


def number(resource_type: str, code: str) -> int:
    found = parameter(resource_type, code)
    assert found is not None
    return found.number


def present(rows: IndexRows, resource_type: str, code: str) -> bool:
    return hashing.presence_hash(number(resource_type, code)) in rows.tokens


# Tokens ----------------------------------------------------------------------------------------------------


def test_a_coding_is_found_by_system_and_code_by_code_and_by_system() -> None:
    rows = index(
        "Observation", code={"coding": [{"system": "s", "code": "C", "display": "Größe"}], "text": "T"}
    )
    code = number("Observation", "code")
    assert {
        hashing.token_hash(code, "s", "C"),
        hashing.code_hash(code, "C"),
        hashing.system_hash(code, "s"),
        hashing.presence_hash(code),
    } <= rows.tokens
    assert hashing.token_hash(code, "", "C") not in rows.tokens
    assert hashing.code_hash(code, "c") not in rows.tokens  # codes keep their case
    assert {StringRow(code, "grosse", "Größe"), StringRow(code, "t", "T")} <= set(rows.strings)


def test_a_coding_without_system_is_found_as_one_without() -> None:
    rows = index("Observation", code={"coding": [{"code": "C"}]})
    code = number("Observation", "code")
    assert {hashing.token_hash(code, "", "C"), hashing.code_hash(code, "C")} <= rows.tokens
    assert hashing.system_hash(code, "") not in rows.tokens


def test_a_concept_of_text_alone_is_present() -> None:
    assert present(index("Observation", code={"text": "words"}), "Observation", "code")
    assert not present(index("Observation", status="final"), "Observation", "code")
    assert not present(index("Observation", code={"extension": []}), "Observation", "code")


def test_a_code_has_no_system() -> None:
    rows = index("Patient", gender="female")
    gender = number("Patient", "gender")
    assert {hashing.code_hash(gender, "female"), hashing.token_hash(gender, "", "female")} <= rows.tokens


def test_an_identifier_is_found_by_system_value_and_type() -> None:
    kind = {"coding": [{"system": "t", "code": "MR"}], "text": "Medical record"}
    rows = index("Patient", identifier=[{"system": "urn:s", "value": "A-1", "type": kind}])
    identifier = number("Patient", "identifier")
    assert {
        hashing.token_hash(identifier, "urn:s", "A-1"),
        hashing.code_hash(identifier, "A-1"),
        hashing.system_hash(identifier, "urn:s"),
        hashing.of_type_hash(identifier, "t", "MR", "A-1"),
    } <= rows.tokens
    assert StringRow(identifier, "medical record", "Medical record") in rows.strings


def test_a_boolean_has_the_system_of_special_values_or_none() -> None:
    rows = index("Patient", active=False)
    active = number("Patient", "active")
    assert {
        hashing.code_hash(active, "false"),
        hashing.token_hash(active, "", "false"),
        hashing.token_hash(active, "http://hl7.org/fhir/special-values", "false"),
    } <= rows.tokens


@pytest.mark.parametrize(
    ("elements", "dead"),
    [
        ({}, False),
        ({"deceasedBoolean": False}, False),
        ({"deceasedBoolean": True}, True),
        ({"deceasedDateTime": "2024"}, True),
    ],
)
def test_every_patient_is_dead_or_not(elements: dict[str, Any], dead: bool) -> None:
    rows = index("Patient", **elements)
    deceased = number("Patient", "deceased")
    assert (hashing.code_hash(deceased, "true") in rows.tokens) is dead
    assert (hashing.code_hash(deceased, "false") in rows.tokens) is not dead


def test_a_contact_point_is_in_telecom_and_in_its_own_parameter() -> None:
    rows = index(
        "Patient", telecom=[{"system": "phone", "value": "555-1"}, {"system": "email", "value": "a@b"}]
    )
    for code, value, found in (
        ("phone", "555-1", True),
        ("telecom", "555-1", True),
        ("email", "555-1", False),
        ("email", "a@b", True),
        ("phone", "a@b", False),
    ):
        assert (hashing.code_hash(number("Patient", code), value) in rows.tokens) is found
    assert hashing.token_hash(number("Patient", "telecom"), "phone", "555-1") in rows.tokens


def test_a_string_under_a_token_parameter_ignores_case() -> None:
    rows = index("AuditEvent", agent=[{"altId": "AbC"}])
    assert hashing.code_hash(number("AuditEvent", "altid"), "abc") in rows.tokens


def test_tags_profiles_security_and_source_are_indexed_on_every_type() -> None:
    meta = {
        "tag": [{"system": "s", "code": "t"}],
        "security": [{"code": "R"}],
        "profile": ["http://p"],
        "source": "urn:x",
    }
    rows = index("Basic", meta=meta)
    assert hashing.token_hash(number("Basic", "_tag"), "s", "t") in rows.tokens
    assert hashing.code_hash(number("Basic", "_security"), "R") in rows.tokens
    assert set(rows.uris) == {
        UriRow(number("Basic", "_profile"), "http://p"),
        UriRow(number("Basic", "_source"), "urn:x"),
    }
    target = hashing.reference_hash("http://p")
    assert hashing.link_hash(number("Basic", "_profile"), target) in rows.tokens


# Strings ---------------------------------------------------------------------------------------------------


def test_a_name_is_indexed_part_by_part() -> None:
    name = {"family": "Müller-O'Hara", "given": ["Zoë", None, "M."], "prefix": ["Dr."], "text": "Zoë"}
    rows = index("Patient", name=[name])
    normal = {row.normal for row in rows.strings if row.parameter == number("Patient", "name")}
    assert normal == {"muller ohara", "zoe", "m", "dr"}
    given_rows = [row for row in rows.strings if row.parameter == number("Patient", "given")]
    assert given_rows == [
        StringRow(number("Patient", "given"), "zoe", "Zoë"),
        StringRow(number("Patient", "given"), "m", "M."),
    ]


def test_an_address_is_indexed_part_by_part() -> None:
    address = {"line": ["1 Main St.", None], "city": "Bonn", "postalCode": "53111", "use": "home"}
    rows = index("Patient", address=[address])
    normal = {row.normal for row in rows.strings if row.parameter == number("Patient", "address")}
    assert normal == {"1 main st", "bonn", "53111"}
    assert hashing.code_hash(number("Patient", "address-use"), "home") in rows.tokens


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Smith", "smith"),
        ("  O'Brien  ", "obrien"),
        ("O’Brien", "obrien"),
        ("Smith-Jones", "smith jones"),
        ("J.R.", "jr"),
        ("a \t\n b", "a b"),
        ("ÀÉÎõü", "aeiou"),
        ("Straße", "strasse"),
        ("ﬁ", "fi"),
        ("Ångström", "angstrom"),
        ("Иванов", "иванов"),
        ("李", "李"),
        ("—", "—"),
        ("...", "..."),
        ("", ""),
    ],
)
def test_folding_takes_away_case_accents_punctuation_and_spaces(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(min_size=1))
def test_nothing_but_blanks_folds_to_nothing(text: str) -> None:
    assert bool(fold(text)) or not text.strip()


# References ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written", ["Patient/1", "Patient/1/_history/7", f"{BASE}/Patient/1", f"{BASE}/Patient/1/_history/7"]
)
def test_a_reference_to_this_server_is_the_same_however_it_is_written(written: str) -> None:
    rows = index("Observation", subject={"reference": written})
    target = hashing.reference_hash("Patient/1")
    for code in ("subject", "patient"):
        assert hashing.link_hash(number("Observation", code), target) in rows.tokens
        assert ReferenceRow(number("Observation", code), target) in rows.references
    assert target in rows.tokens
    assert rows.compartments == ("1",)
    assert rows.patient == "1"


@pytest.mark.parametrize("written", ["http://other.example/Patient/1", "urn:uuid:1", "urn:oid:1.2"])
def test_a_reference_elsewhere_is_found_by_its_url_and_is_nobodys_chart(written: str) -> None:
    rows = index("Observation", subject={"reference": written})
    target = hashing.reference_hash(written)
    assert hashing.link_hash(number("Observation", "subject"), target) in rows.tokens
    assert target not in rows.tokens
    assert rows.references == ()
    assert (rows.compartments, rows.patient) == ((), None)


def test_a_parameter_for_one_type_takes_only_references_to_it() -> None:
    local = index("Observation", subject={"reference": "Group/1"})
    remote = index("Observation", subject={"reference": "http://other.example/Group/1"})
    typed = index("Observation", subject={"type": "Group", "identifier": {"value": "v"}})
    for rows in (local, remote, typed):
        assert present(rows, "Observation", "subject")
        assert not present(rows, "Observation", "patient")
    elsewhere = index("Observation", subject={"reference": "http://other.example/Patient/1"})
    assert present(elsewhere, "Observation", "patient")


@given(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(
            ["", f"{BASE}/", "http://other.example/", "urn:uuid:", "#", "http://other.example/fhir/v1/"]
        ),
        st.one_of(
            st.sampled_from(["Patient/1", "Nothing/1", "Patient/", "patient/1", "Patient/1/2", "1"]), st.text()
        ),
        st.sampled_from(["", "/_history/1", "/_history/", "?a=b", "/"]),
    )
)
def test_references_are_understood_as_validation_understands_them(text: str) -> None:
    target = Target(text, BASE + "/")
    try:
        parsed = parse_reference(text, BASE)
    except MalformedReference:
        parsed = None
    if isinstance(parsed, Local):
        assert (target.resource_type, target.id) == (parsed.type, parsed.id)
        assert target.hash == hashing.reference_hash(f"{parsed.type}/{parsed.id}")
    else:
        assert target.id == ""
        assert target.hash == hashing.reference_hash(text)
        assert target.resource_type == (parsed.type if isinstance(parsed, Absolute) else "")


def test_a_logical_reference_is_found_by_its_identifier() -> None:
    rows = index("Observation", subject={"identifier": {"system": "s", "value": "v"}, "type": "Patient"})
    for code in ("subject", "patient"):
        assert {
            hashing.identifier_hash(number("Observation", code), "s", "v"),
            hashing.identifier_hash(number("Observation", code), None, "v"),
            hashing.identifier_hash(number("Observation", code), "s", None),
            hashing.presence_hash(number("Observation", code)),
        } <= rows.tokens


def test_a_canonical_is_found_with_its_version_and_without() -> None:
    rows = index("QuestionnaireResponse", questionnaire="http://q|1.0")
    questionnaire = number("QuestionnaireResponse", "questionnaire")
    for url in ("http://q", "http://q|1.0"):
        assert hashing.link_hash(questionnaire, hashing.reference_hash(url)) in rows.tokens


def test_every_reference_anywhere_in_the_resource_is_known() -> None:
    rows = index(
        "Observation",
        extension=[{"url": "u", "valueReference": {"reference": "Location/l"}}],
        contained=[
            {
                "resourceType": "Specimen",
                "id": "s",
                "collection": {"collector": {"reference": "Practitioner/p"}},
            }
        ],
        performer=[{"reference": "Organization/o"}],
        specimen={"reference": "#s"},
    )
    for reference in ("Location/l", "Practitioner/p", "Organization/o"):
        assert hashing.reference_hash(reference) in rows.tokens
    assert hashing.reference_hash("#s") not in rows.tokens


def test_a_document_refers_to_its_composition() -> None:
    entries = [
        {"resource": {"resourceType": "Composition", "id": "c"}},
        {"resource": {"resourceType": "Patient"}},
    ]
    rows = index("Bundle", type="document", entry=entries)
    target = hashing.reference_hash("Composition/c")
    assert hashing.link_hash(number("Bundle", "composition"), target) in rows.tokens


# Dates, numbers, quantities --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "low", "high"),
    [
        ({"effectiveDateTime": "1970-01-02"}, DAY, 2 * DAY),
        ({"effectiveInstant": "1970-01-02T00:00:00Z"}, DAY, DAY + 1_000_000),
        ({"effectivePeriod": {"start": "1970-01-02", "end": "1970-01-03"}}, DAY, 3 * DAY),
        ({"effectivePeriod": {"start": "1970-01-02"}}, DAY, LATEST),
        ({"effectivePeriod": {"end": "1970-01-02"}}, EARLIEST, 2 * DAY),
        ({"effectiveTiming": {"event": ["1970-01-05", "1970-01-02"]}}, DAY, 5 * DAY),
    ],
)
def test_a_date_row_is_the_range_and_its_start_the_main_date(
    elements: dict[str, Any], low: int, high: int
) -> None:
    rows = index("Observation", **elements)
    assert rows.dates == (DateRow(number("Observation", "date"), low, high),)
    assert rows.main_date == low


def test_an_empty_period_is_no_date() -> None:
    rows = index("Observation", effectivePeriod={"extension": [{"url": "u", "valueCode": "unknown"}]})
    assert (rows.dates, rows.main_date) == ((), None)
    assert not present(rows, "Observation", "date")


def test_a_time_of_many_digits_is_a_time() -> None:
    rows = index("Observation", effectiveInstant="1970-01-02T00:00:00." + "0" * 5000 + "Z")
    assert rows.dates == (DateRow(number("Observation", "date"), DAY, DAY + 1),)


def test_dates_without_a_zone_are_the_practices() -> None:
    resource = {"resourceType": "Patient", "birthDate": "1970-01-01"}
    rows = index_values(resource, time_zone="America/New_York")
    assert rows.dates == (DateRow(number("Patient", "birthdate"), 5 * 3_600_000_000, 29 * 3_600_000_000),)


def test_us_core_asserted_date_is_read_from_its_extension() -> None:
    url = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
    rows = index(
        "Condition",
        extension=[{"url": url, "valueDateTime": "1970-01-02"}, {"url": "u", "valueDateTime": "2000"}],
    )
    assert rows.dates == (DateRow(number("Condition", "asserted-date"), DAY, 2 * DAY),)


def quantities(elements: dict[str, Any], *, canonical: bool = False) -> set[tuple[float, float, int]]:
    rows = index("Observation", **elements)
    value = number("Observation", "value-quantity")
    assert present(rows, "Observation", "value-quantity") == bool(rows.quantities)
    wanted = hashing.canonical_number(value) if canonical else value
    return {(row.low, row.high, row.unit) for row in rows.quantities if row.parameter == wanted}


def test_a_quantity_is_found_by_code_or_unit_as_written_and_in_base_units() -> None:
    value = {"value": Decimal("5.40"), "unit": "millis", "system": UCUM, "code": "mmol"}
    assert quantities({"valueQuantity": value}) == {
        (5.4, 5.4, hashing.unit_hash(None, "mmol")),
        (5.4, 5.4, hashing.unit_hash(None, "millis")),
    }
    assert quantities({"valueQuantity": value}, canonical=True) == {
        (0.0054, 0.0054, hashing.dimension_hash("mol"))
    }


def test_a_quantity_whose_code_and_unit_are_one_has_two_rows() -> None:
    value = {"value": Decimal("5.40"), "unit": "mg", "system": UCUM, "code": "mg"}
    rows = index("Observation", valueQuantity=value)
    assert len(rows.quantities) == 2 + 0  # none for combo-value-quantity, which is answered by these
    assert quantities({"valueQuantity": value}, canonical=True) == {
        (0.0054, 0.0054, hashing.dimension_hash("g"))
    }


@pytest.mark.parametrize(("system", "code"), [("urn:units", "mg"), (UCUM, "tablets"), (UCUM, "MMg")])
def test_what_is_no_unit_of_ucum_is_compared_as_written(system: str, code: str) -> None:
    value = {"value": 2, "system": system, "code": code}
    assert quantities({"valueQuantity": value}, canonical=True) == {(2.0, 2.0, hashing.unit_hash(system, code))}


def test_a_quantity_without_unit_has_none() -> None:
    assert quantities({"valueQuantity": {"value": 5}}) == {(5.0, 5.0, 0)}
    assert quantities({"valueQuantity": {"unit": "mg"}}) == set()


@pytest.mark.parametrize(
    ("comparator", "low", "high"),
    [
        ("<", float("-inf"), nextafter(5.0, float("-inf"))),
        ("<=", float("-inf"), 5.0),
        (">", nextafter(5.0, float("inf")), float("inf")),
        (">=", 5.0, float("inf")),
    ],
)
def test_a_comparator_opens_a_side(comparator: str, low: float, high: float) -> None:
    assert quantities({"valueQuantity": {"value": 5, "comparator": comparator}}) == {(low, high, 0)}
    in_grams = {"value": 5, "comparator": comparator, "system": UCUM, "code": "g"}
    dimension = hashing.dimension_hash("g")
    assert quantities({"valueQuantity": in_grams}, canonical=True) == {(low, high, dimension)}


def test_sampled_data_reach_from_the_lowest_to_the_highest_sample() -> None:
    sampled = {
        "origin": {"value": 10, "unit": "mV"},
        "factor": Decimal("0.5"),
        "data": "4 E -2 U 8 L nan 1e5",
        "period": 1,
        "dimensions": 1,
    }
    assert quantities({"valueSampledData": sampled}) == {(9.0, 14.0, hashing.unit_hash(None, "mV"))}


def test_samples_beyond_all_numbers_are_left_out() -> None:
    sampled = {"origin": {"value": 1}, "factor": Decimal("1E+999"), "data": "0 1", "period": 1}
    assert quantities({"valueSampledData": sampled}) == set()


def test_ranges_are_open_where_an_end_is_missing() -> None:
    rows = index("Condition", onsetRange={"low": {"value": 40, "code": "a", "system": UCUM}})
    age = number("Condition", "onset-age")
    assert set(rows.quantities) == {
        QuantityRow(age, 40.0, float("inf"), hashing.unit_hash(None, "a")),
        QuantityRow(
            hashing.canonical_number(age), 40 * 31_557_600.0, float("inf"), hashing.dimension_hash("s")
        ),
    }
    risk = index(
        "RiskAssessment", prediction=[{"probabilityRange": {"low": {"value": 1}, "high": {"value": 2}}}]
    )
    assert risk.quantities == (QuantityRow(number("RiskAssessment", "probability"), 1.0, 2.0, 0),)


def test_ends_of_a_range_in_two_units_meet_in_base_units() -> None:
    ends = {
        "low": {"value": 500, "code": "mg", "system": UCUM},
        "high": {"value": 2, "code": "g", "system": UCUM},
    }
    rows = index("ValueSet", useContext=[{"code": {"code": "dose"}, "valueRange": ends}])
    context = hashing.canonical_number(number("ValueSet", "context-quantity"))
    assert [row[1:] for row in rows.quantities if row.parameter == context] == [
        (0.5, 2.0, hashing.dimension_hash("g"))
    ]
    ends["high"]["code"] = "mL"
    rows = index("ValueSet", useContext=[{"code": {"code": "dose"}, "valueRange": ends}])
    assert not [row for row in rows.quantities if row.parameter == context]


def test_money_is_in_its_currency() -> None:
    rows = index("Invoice", totalNet={"value": Decimal("9.99"), "currency": "EUR"})
    units = {row.unit for row in rows.quantities}
    assert units == {hashing.unit_hash("urn:iso:std:iso:4217", "EUR"), hashing.unit_hash(None, "EUR")}


def test_a_value_that_stands_twice_is_indexed_once() -> None:
    rows = index("Patient", name=[{"family": "A"}, {"family": "A"}])
    assert len([row for row in rows.strings if row.parameter == number("Patient", "family")]) == 1


def test_an_unknown_type_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        index("Nothing")
