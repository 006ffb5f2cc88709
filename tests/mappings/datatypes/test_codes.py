"""Section 2.1, CWE/CE -> CodeableConcept, Coding, code; coding systems by name; codes that no table knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mappings.result import Source

Ask = Callable[..., Any]
LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
V2 = "http://terminology.hl7.org/CodeSystem/v2-"


def test_cwe_has_up_to_three_codings(ask: Ask) -> None:
    answer = ask("cwe", "2345-7^Glucose^LN^GLU^Glucose local^99LAB^2.77^1^Blood sugar^33747003^Sugar^SCT^^2024")
    assert answer.result == {
        "coding": [
            {"system": LOINC, "version": "2.77", "code": "2345-7", "display": "Glucose"},
            {"system": "urn:id:test:99LAB", "version": "1", "code": "GLU", "display": "Glucose local"},
            {"system": SNOMED, "code": "33747003", "display": "Sugar"},
        ],
        "text": "Blood sugar",
    }
    assert answer.used["1.1"] == ["coding[0].code"]
    assert answer.used["10.1"] == ["coding[2].code"]
    assert answer.unread == {"14.1"}
    assert answer.findings == []


def test_cwe_text_without_a_code_is_text(ask: Ask) -> None:
    answer = ask("cwe", "^Glucose^LN")
    assert answer.result == {"text": "Glucose"}
    assert answer.used == {"2.1": ["text"]}


@pytest.mark.parametrize("content", ["^^^^Words", "^^^^^^^^^^Words"])
def test_cwe_text_of_another_code_is_text_too(content: str, ask: Ask) -> None:
    assert ask("cwe", content).result == {"text": "Words"}


def test_cwe_original_text_wins(ask: Ask) -> None:
    assert ask("cwe", "^Glucose^^^^^^^As written").result == {"text": "As written"}


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("LN", LOINC),
        ("SCT", SNOMED),
        ("I9", "http://hl7.org/fhir/sid/icd-9"),
        ("I9C", "http://hl7.org/fhir/sid/icd-9-cm"),
        ("I10", "http://hl7.org/fhir/sid/icd-10"),
        ("I10C", "http://hl7.org/fhir/sid/icd-10-cm"),
        ("RXNORM", "http://www.nlm.nih.gov/research/umls/rxnorm"),
        ("NDC", "http://hl7.org/fhir/sid/ndc"),
        ("CVX", "http://hl7.org/fhir/sid/cvx"),
        ("UCUM", "http://unitsofmeasure.org"),
        ("HL70063", f"{V2}0063"),
        ("L", "urn:id:test:L"),
        ("99WEST", "urn:id:test:99WEST"),
        ("http://site.example/codes", "http://site.example/codes"),
        ("1.2.840.99", "urn:oid:1.2.840.99"),
    ],
)
def test_a_coding_system_is_known_by_its_name(name: str, system: str, ask: Ask) -> None:
    answer = ask("cwe", f"X^Words^{name}")
    assert answer.result["coding"][0]["system"] == system
    assert answer.findings == []


def test_a_coding_system_that_is_configured_for_the_source_wins(ask: Ask) -> None:
    source = Source("x", systems={"L": "https://site.example/lab"})
    assert ask("cwe", "X^Words^L", source=source).result["coding"][0]["system"] == "https://site.example/lab"


def test_a_coding_system_that_nobody_knows_is_the_senders_with_a_finding(ask: Ask) -> None:
    answer = ask("cwe", "X^Words^MYSTERY")
    assert answer.result["coding"][0]["system"] == "urn:id:test:MYSTERY"
    assert answer.findings == ["coding-system-unknown"]


def test_the_oid_of_a_coding_system_helps_where_its_name_does_not(ask: Ask) -> None:
    answer = ask("cwe", f"X^Words^MYSTERY{'^' * 11}1.2.3")
    assert (answer.result["coding"][0]["system"], answer.findings) == ("urn:oid:1.2.3", [])


def test_a_code_without_a_coding_system_is_kept_with_a_finding(ask: Ask) -> None:
    answer = ask("cwe", "X^Words")
    assert answer.result == {"coding": [{"code": "X", "display": "Words"}]}
    assert answer.findings == ["coding-system-missing"]


def test_a_translated_code_is_followed_by_the_one_that_was_sent(ask: Ask) -> None:
    answer = ask("cwe", "SPO^Spouse^HL70063", table="0063")
    assert answer.result["coding"] == [
        {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "SPS", "display": "spouse"},
        {"system": f"{V2}0063", "code": "SPO", "display": "Spouse"},
    ]
    assert answer.used["1.1"] == ["coding[0].code", "coding[1].code"]
    assert answer.tables == {"0063:SPO"}


def test_a_code_that_stays_what_it_is_is_one_coding(ask: Ask) -> None:
    answer = ask("cwe", "A", table="0007")
    assert answer.result["coding"] == [{"system": f"{V2}0007", "code": "A", "display": "Accident"}]


def test_a_code_that_the_table_does_not_know_is_kept_as_sent(ask: Ask) -> None:
    answer = ask("cwe", "ZZ", table="0063")
    assert answer.result == {"coding": [{"system": f"{V2}0063", "code": "ZZ"}]}
    assert answer.findings == ["code-unknown"]


def test_a_code_of_a_required_set_is_only_what_the_table_gives(ask: Ask) -> None:
    assert ask("code", "F", table="0001").result == "female"
    unknown = ask("code", "X", table="0001")
    assert (unknown.result, unknown.findings, unknown.unread) == (None, ["code-unknown"], {"1.1"})


def test_a_code_that_fhir_has_nothing_for_is_no_gap(ask: Ask) -> None:
    answer = ask("code", "N", table="0085")
    assert (answer.result, answer.findings) == (None, [])


def test_a_code_is_found_in_another_case(ask: Ask) -> None:
    assert ask("code", "booked", table="0278").result == "booked"


def test_a_coding_is_the_translated_one_or_the_one_that_was_sent(ask: Ask) -> None:
    assert ask("cwe_coding", "I", table="0004").result["code"] == "IMP"
    assert ask("cwe_coding", "R", table="0004").result["system"] == f"{V2}0004"
    assert ask("cwe_coding", "X^Words^LN").result == {"system": LOINC, "code": "X", "display": "Words"}
    assert ask("cwe_coding", "^Words").result == {"display": "Words"}


def test_the_text_of_a_code_is_its_best_words(ask: Ask) -> None:
    assert ask("cwe_text", "X^Words^L^^^^^^Original").result == "Original"
    assert ask("cwe_text", "X^Words").result == "Words"
    assert ask("cwe_text", "X^^L^Y^Other words").result == "Other words"
    assert ask("cwe_text", "X").result == "X"


@pytest.mark.parametrize(("sent", "result"), [("S", "stat"), ("A^ASAP^HL70485", "asap"), ("R", "routine")])
def test_a_priority_is_one_of_fhirs(sent: str, result: str, ask: Ask) -> None:
    assert ask("priority", sent).result == result


@pytest.mark.parametrize("sent", ["TM30", "TH2", "T", "PRN"])
def test_a_timing_is_no_priority_and_no_gap(sent: str, ask: Ask) -> None:
    answer = ask("priority", sent)
    assert (answer.result, answer.findings) == (None, [])


@pytest.mark.parametrize(
    ("sent", "result"), [("Y", True), ("N", False), ("y", True), ("1", True), ("0", False)]
)
def test_yes_and_no_are_true_and_false(sent: str, result: bool, ask: Ask) -> None:
    assert ask("yes_no", sent).result is result


def test_neither_yes_nor_no_is_nothing_with_a_finding(ask: Ask) -> None:
    answer = ask("yes_no", "maybe")
    assert (answer.result, answer.findings) == (None, ["code-unknown"])


@pytest.mark.parametrize(
    ("sent", "tag"),
    [
        ("en", "en"),
        ("ENG", "en"),
        ("Spanish", "es"),
        ("ger", "de"),
        ("deu", "de"),
        ("en-us", "en-US"),
        ("pt_BR", "pt-BR"),
    ],
)
def test_a_language_is_a_tag_of_bcp_47(sent: str, tag: str, ask: Ask) -> None:
    answer = ask("language", sent)
    assert answer.result["coding"][0] | {"display": ""} == {
        "system": "urn:ietf:bcp:47",
        "code": tag,
        "display": "",
    }


def test_a_language_that_is_not_known_is_kept(ask: Ask) -> None:
    answer = ask("language", "tlh^Klingon")
    assert answer.result["coding"][0]["code"] == "tlh"
    assert answer.findings == ["code-unknown"]


def test_a_source_may_say_what_its_codes_are(ask: Ask) -> None:
    from mappings.tables import overlaid, read, tables

    text = "code,system,target,display,equivalence,note,source\nW,http://hl7.org/fhir/administrative-gender,female,,equivalent,,site\n"
    over = overlaid(tables(), {"0001": read("0001", text)})
    assert ask("code", "W", table="0001", tables=over).result == "female"
    assert ask("code", "M", table="0001", tables=over).result == "male"
