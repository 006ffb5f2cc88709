"""$lookup: what a code system says of a code, wherever the system comes from.

Covers hl7.org/fhir/R4/codesystem-operation-lookup.html.
"""

from __future__ import annotations

from typing import Any

import pytest

COLOURS = "urn:example:colours"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def properties(found: dict[str, Any]) -> dict[str, list[Any]]:
    by_code: dict[str, list[Any]] = {}
    for row in found.get("property", ()):
        by_code.setdefault(row["code"], []).append(row["value"])
    return by_code


def test_a_code_of_a_stored_system_is_told_with_all_that_is_known(stored: Any, ask: Any, answered: Any) -> None:
    found = answered(ask("CodeSystem/$lookup", system=COLOURS, code="red"))
    assert (found["name"], found["version"], found["display"]) == ("Colours", "2", "Red")
    assert [row["value"] for row in found["designation"]] == ["Rot", "Rouge et noir"]
    assert found["designation"][0]["language"] == "de"
    assert found["designation"][1]["use"]["code"] == "poetic"
    assert properties(found) == {"inactive": [False], "child": ["crimson", "pink"], "warm": [True]}
    assert properties(answered(ask("CodeSystem/$lookup", system=COLOURS, code="pink")))["parent"] == ["red"]


def test_what_is_wanted_may_be_named(stored: Any, ask: Any, answered: Any) -> None:
    found = answered(ask("CodeSystem/$lookup", system=COLOURS, code="red", property=["warm", "child"]))
    assert set(properties(found)) == {"warm", "child"}
    assert "designation" not in found
    found = answered(ask("CodeSystem/$lookup", system=COLOURS, code="red", property="designation"))
    assert len(found["designation"]) == 2
    assert "property" not in found


def test_the_display_is_in_the_language_that_is_asked_for_where_there_is_one(
    stored: Any, ask: Any, answered: Any
) -> None:
    for language, display in (("de", "Rot"), ("de-AT", "Rot"), ("fr", "Red")):
        found = ask("CodeSystem/$lookup", system=COLOURS, code="red", displayLanguage=language)
        assert answered(found, "display") == display


def test_a_concept_that_is_out_of_use_says_so(stored: Any, ask: Any, answered: Any) -> None:
    assert properties(answered(ask("CodeSystem/$lookup", system=COLOURS, code="mauve")))["inactive"] == [True]


def test_a_coding_does_as_well_as_code_and_system(stored: Any, fhir: Any, answered: Any) -> None:
    coding = {"name": "coding", "valueCoding": {"system": COLOURS, "code": "blue"}}
    answer = fhir.post("CodeSystem/$lookup", {"resourceType": "Parameters", "parameter": [coding]})
    assert answered(answer, "display") == "Blue"


def test_r4s_own_systems_and_units_are_known_without_anything_stored(ask: Any, answered: Any) -> None:
    gender = answered(
        ask("CodeSystem/$lookup", system="http://hl7.org/fhir/administrative-gender", code="female")
    )
    assert (gender["name"], gender["display"]) == ("AdministrativeGender", "Female")
    assert gender["version"] == "4.0.1"
    assert (
        answered(ask("CodeSystem/$lookup", system="http://unitsofmeasure.org", code="mg/dL"), "display")
        == "mg/dL"
    )


def test_the_terminologys_file_is_asked_like_any_other(file: Any, ask: Any, answered: Any) -> None:
    found = answered(ask("CodeSystem/$lookup", system=RXNORM, code="314076"))
    assert (found["name"], found["version"]) == ("RxNorm", "2025-11")
    assert found["display"] == "lisinopril 10 MG Oral Tablet"
    told = properties(found)
    assert (told["TTY"], told["has_ingredient"]) == (["SCD"], ["29046"])
    icd = answered(ask("CodeSystem/$lookup", system="http://hl7.org/fhir/sid/icd-10-cm", code="E11"))
    assert properties(icd)["child"] == ["E11.9"]
    assert properties(icd)["billable"] == [False]


def test_a_new_edition_of_the_file_is_taken_up_at_once(file: Any, ask: Any, tmp_path: Any) -> None:
    assert ask("CodeSystem/$lookup", system=RXNORM, code="314076").status == 200
    aside = tmp_path / "aside"
    file.rename(aside)
    assert ask("CodeSystem/$lookup", system=RXNORM, code="314076").status == 404
    aside.rename(file)
    assert ask("CodeSystem/$lookup", system=RXNORM, code="314076").status == 200


@pytest.mark.parametrize(
    ("given", "status", "code", "said"),
    [
        ({"system": COLOURS, "code": "green"}, 404, "not-found", "no such code"),
        ({"system": COLOURS, "code": "Red"}, 404, "not-found", "no such code"),
        ({"system": "urn:example:shapes", "code": "square"}, 404, "not-found", "not all"),
        ({"system": "urn:example:nothing", "code": "red"}, 404, "not-found", "not known"),
        ({"system": COLOURS, "version": "1", "code": "red"}, 404, "not-found", "not known"),
        ({"code": "red"}, 400, "required", "system"),
        ({"system": COLOURS}, 400, "required", "code"),
        ({"system": COLOURS, "code": "red", "date": "2024"}, 400, "not-supported", "date"),
    ],
)
def test_what_cannot_be_told_is_refused(
    stored: Any, ask: Any, given: dict[str, str], status: int, code: str, said: str
) -> None:
    answer = ask("CodeSystem/$lookup", **given)
    assert (answer.status, answer.codes) == (status, [code])
    assert said in answer.text


def test_a_system_without_regard_to_case_is_asked_so(stored: Any, ask: Any, answered: Any) -> None:
    assert answered(ask("CodeSystem/$lookup", system="urn:example:shapes", code="ROUND"), "display") == "Round"


def test_the_version_that_is_asked_for_counts_else_the_latest_in_use(
    stored: Any, fhir: Any, ask: Any, answered: Any, definitions: Any
) -> None:
    newer = definitions["colours"] | {
        "id": "colours3",
        "version": "10",
        "concept": [{"code": "green", "display": "G"}],
    }
    assert fhir.put("CodeSystem/colours3", newer).status == 201
    assert answered(ask("CodeSystem/$lookup", system=COLOURS, code="green"), "version") == "10"
    assert answered(ask("CodeSystem/$lookup", system=COLOURS, code="red", version="2"), "version") == "2"
    assert ask("CodeSystem/$lookup", system=COLOURS, code="red").status == 404
