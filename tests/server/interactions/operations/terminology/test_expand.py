"""$expand: the codes of a value set, all or a page, and what the expansion says of itself.

Covers hl7.org/fhir/R4/valueset-operation-expand.html. What a composition means is tested with the composer.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

COLOURS, SHAPES = "urn:example:colours", "urn:example:shapes"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ALL = "urn:example:colours:all"
EVERY = ["red", "crimson", "pink", "blue", "mauve", "metal", "gold"]


def parameters(answer: Any) -> list[tuple[str, Any]]:
    return [
        (row["name"], next(value for key, value in row.items() if key != "name"))
        for row in answer.json["expansion"].get("parameter", ())
    ]


def is_closed(answer: Any) -> bool:
    return "extension" not in answer.json["expansion"]


def expanded(fhir: Any, value_set: dict[str, Any], query: str = "") -> Any:
    return fhir.post(f"ValueSet/$expand{query}", value_set)


def test_a_value_set_is_expanded_in_the_order_of_its_definition(
    stored: Any, ask: Any, codes: Any, clock: Any
) -> None:
    answer = ask("ValueSet/$expand", url="urn:example:reds")
    assert codes(answer) == ["red", "pink", "x"]
    body = answer.json
    assert (body["resourceType"], body["url"], body["status"]) == ("ValueSet", "urn:example:reds", "active")
    expansion = body["expansion"]
    assert expansion["total"] == 3
    assert expansion["timestamp"].startswith(clock().isoformat()[:19])
    assert expansion["identifier"].startswith("urn:uuid:")
    assert expansion["contains"][0] == {"system": COLOURS, "code": "red", "display": "Red"}
    assert expansion["contains"][2] == {"system": "urn:example:unknown", "code": "x", "display": "Ex"}
    assert is_closed(answer)


def test_the_systems_it_rests_on_are_named_with_their_versions(stored: Any, ask: Any) -> None:
    assert ("used-codesystem", f"{COLOURS}|2") in parameters(ask("ValueSet/$expand", url="urn:example:reds"))


def test_all_codes_of_a_system_are_a_value_set(
    stored: Any, ask: Any, codes: Any, definitions: Any, fhir: Any
) -> None:
    every = definitions["value_set"]("every", {"system": COLOURS})
    assert codes(expanded(fhir, every)) == EVERY
    assert codes(ask("ValueSet/$expand", url="http://hl7.org/fhir/ValueSet/administrative-gender")) == [
        "male",
        "female",
        "other",
        "unknown",
    ]


def test_an_instance_is_expanded_by_its_id(stored: Any, ask: Any, codes: Any) -> None:
    assert codes(ask("ValueSet/reds/$expand")) == ["red", "pink", "x"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pa", ["pink"]),
        ("red", ["red", "pink"]),
        ("RED pale", ["pink"]),
        ("rot", ["red"]),
        ("noir rou", ["red"]),
        ("ex", ["x"]),
        ("iks", ["x"]),
        ("crimson", []),
        ("ale", []),
    ],
)
def test_a_filter_finds_beginnings_of_words_in_displays_and_designations(
    stored: Any, ask: Any, codes: Any, text: str, found: list[str]
) -> None:
    answer = ask("ValueSet/$expand", url="urn:example:reds", filter=text)
    assert codes(answer) == found
    assert answer.json["expansion"]["total"] == len(found)
    assert ("filter", text) in parameters(answer)


def test_pages_together_are_the_whole(stored: Any, fhir: Any, codes: Any, definitions: Any) -> None:
    every = definitions["value_set"]("every", {"system": COLOURS})
    pages = [expanded(fhir, every, f"?count=3&offset={offset}") for offset in (0, 3, 6, 9)]
    assert [code for page in pages for code in codes(page)] == EVERY
    assert {page.json["expansion"]["total"] for page in pages} == {7}
    assert [page.json["expansion"]["offset"] for page in pages] == [0, 3, 6, 9]
    only_number = expanded(fhir, every, "?count=0")
    assert (codes(only_number), only_number.json["expansion"]["total"]) == ([], 7)


def test_concepts_out_of_use_and_such_that_only_group_are_marked_and_may_be_left_out(
    stored: Any, fhir: Any, codes: Any, definitions: Any
) -> None:
    every = definitions["value_set"]("every", {"system": COLOURS})
    by_code = {row["code"]: row for row in expanded(fhir, every).json["expansion"]["contains"]}
    assert by_code["mauve"]["inactive"] is True
    assert by_code["metal"]["abstract"] is True
    assert "inactive" not in by_code["red"]
    assert "mauve" not in codes(expanded(fhir, every, "?activeOnly=true"))
    assert "metal" not in codes(expanded(fhir, every, "?excludeNotForUI=true"))
    assert len(codes(expanded(fhir, every, "?activeOnly=true&excludeNotForUI=true&count=2&offset=3"))) == 2


def test_designations_come_where_they_are_asked_for(stored: Any, ask: Any) -> None:
    plain = ask("ValueSet/$expand", url="urn:example:reds").json["expansion"]["contains"]
    assert all("designation" not in row for row in plain)
    answer = ask("ValueSet/$expand", url="urn:example:reds", includeDesignations="true")
    red, _, x = answer.json["expansion"]["contains"]
    assert red["designation"][0] == {"language": "de", "value": "Rot"}
    assert x["designation"] == [{"language": "de", "value": "Iks"}]
    german = ask("ValueSet/$expand", url="urn:example:reds", displayLanguage="de").json["expansion"]["contains"]
    assert [row["display"] for row in german] == ["Rot", "Pale Red", "Iks"]


def test_the_definition_comes_where_it_is_asked_for_and_the_copyright_always(
    fhir: Any, ask: Any, definitions: Any
) -> None:
    sent = definitions["reds"] | {"copyright": "(c) Example", "text": {"status": "generated", "div": "<div/>"}}
    sent["compose"] = {"include": [{"system": "urn:example:unknown", "concept": [{"code": "x"}]}]}
    plain = expanded(fhir, {name: value for name, value in sent.items() if name != "text"}).json
    assert plain["copyright"] == "(c) Example"
    assert "compose" not in plain
    body = {name: value for name, value in sent.items() if name != "text"}
    assert expanded(fhir, body, "?includeDefinition=true").json["compose"] == sent["compose"]


def test_of_a_system_that_is_known_in_part_the_known_codes_are_listed_and_it_is_not_closed(
    stored: Any, fhir: Any, codes: Any, definitions: Any
) -> None:
    shapes = definitions["value_set"]("shapes", {"system": SHAPES})
    answer = expanded(fhir, shapes)
    assert codes(answer) == ["Round", "oval"]
    assert answer.json["expansion"]["extension"] == [
        {"url": "http://hl7.org/fhir/StructureDefinition/valueset-unclosed", "valueBoolean": True}
    ]


def test_value_sets_of_the_terminologys_file_are_expanded_and_filtered(file: Any, ask: Any, codes: Any) -> None:
    answer = ask("ValueSet/$expand", url=f"{RXNORM}?fhir_vs=tty/SCD")
    assert codes(answer) == ["313988", "314076"]
    assert not is_closed(answer)
    assert ("used-codesystem", f"{RXNORM}|2025-11") in parameters(answer)
    assert codes(ask("ValueSet/$expand", url=f"{RXNORM}?fhir_vs=tty/SCD", filter="lisin tab")) == ["314076"]
    assert codes(ask("ValueSet/$expand", url=f"{RXNORM}?fhir_vs", count=2, offset=1)) == ["29046", "313988"]


def test_icd_10_cm_is_closed_and_has_a_hierarchy(file: Any, fhir: Any, codes: Any, definitions: Any) -> None:
    def below(op: str) -> Any:
        asked = {"property": "concept", "op": op, "value": "E11"}
        return expanded(
            fhir,
            definitions["value_set"]("d", {"system": "http://hl7.org/fhir/sid/icd-10-cm", "filter": [asked]}),
        )

    assert codes(below("is-a")) == ["E11", "E11.9"]
    assert codes(below("descendent-of")) == ["E11.9"]
    assert is_closed(below("is-a"))


@pytest.mark.parametrize(
    ("name", "op", "value", "found"),
    [
        ("TTY", "=", "IN", ["29046"]),
        ("TTY", "in", "IN,SBD", ["104377", "29046"]),
        ("has_ingredient", "=", "29046", ["314076"]),
        ("has_ingredient", "exists", "true", ["314076"]),
        ("code", "regex", "3.*", ["313988", "314076"]),
        ("display", "=", "lisinopril", ["29046"]),
    ],
)
def test_properties_and_relations_of_the_file_filter(
    file: Any, fhir: Any, codes: Any, definitions: Any, name: str, op: str, value: str, found: list[str]
) -> None:
    asked = {"property": name, "op": op, "value": value}
    answer = expanded(fhir, definitions["value_set"]("f", {"system": RXNORM, "filter": [asked]}))
    assert codes(answer) == found


def test_value_sets_that_it_includes_are_named(stored: Any, fhir: Any, codes: Any, definitions: Any) -> None:
    asked = {"valueSet": ["urn:example:reds"], "system": COLOURS}
    answer = expanded(fhir, definitions["value_set"]("some", asked))
    assert codes(answer) == ["red", "pink"]
    assert ("used-valueset", "urn:example:reds") in parameters(answer)


def test_a_value_set_that_only_states_its_expansion_is_taken_at_its_word(fhir: Any, codes: Any) -> None:
    said: dict[str, Any] = {
        "resourceType": "ValueSet",
        "url": "urn:example:said",
        "status": "active",
        "expansion": {
            "timestamp": "2024-01-01",
            "total": 2,
            "contains": [
                {"system": "urn:x", "code": "a", "display": "A", "contains": [{"system": "urn:x", "code": "b"}]}
            ],
        },
    }
    assert codes(expanded(fhir, said)) == ["a", "b"]
    said["expansion"]["total"] = 3
    answer = expanded(fhir, said)
    assert (answer.status, answer.codes) == (422, ["not-supported"])


def test_too_many_codes_are_refused_with_the_number_and_a_first_page_is_not(
    fhir: Any, codes: Any, definitions: Any
) -> None:
    many = {"system": "urn:many", "concept": [{"code": str(n)} for n in range(10_001)]}
    sent = definitions["value_set"]("many", many)
    answer = expanded(fhir, sent)
    assert (answer.status, answer.codes) == (422, ["too-costly"])
    assert "10000" in answer.text
    page = expanded(fhir, sent, "?count=2&offset=9998")
    assert codes(page) == ["9998", "9999"]
    assert "total" not in page.json["expansion"]
    assert expanded(fhir, sent, "?count=2&offset=9999").status == 422


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("url=urn:example:nothing", 404, "not-found"),
        (f"url={quote('urn:example:reds|9')}", 404, "not-found"),
        ("", 400, "required"),
        ("url=urn:example:reds&count=-1", 400, "value"),
        ("url=urn:example:reds&offset=x", 400, "value"),
        ("url=urn:example:reds&filter=", 400, "value"),
        ("url=urn:example:reds&date=2020", 400, "not-supported"),
        ("url=http://snomed.info/sct?fhir_vs", 422, "not-supported"),
        ("url=http://unitsofmeasure.org/vs", 422, "not-supported"),
        ("url=http://hl7.org/fhir/ValueSet/body-site", 422, "not-supported"),
    ],
)
def test_what_cannot_be_expanded_is_refused(stored: Any, fhir: Any, query: str, status: int, code: str) -> None:
    answer = fhir.get(f"ValueSet/$expand?{query}")
    assert (answer.status, answer.codes) == (status, [code])


def test_value_sets_that_include_each_other_in_a_long_row_are_too_costly(
    fhir: Any, build: Any, definitions: Any
) -> None:
    def linked(number: int) -> dict[str, Any]:
        return definitions["value_set"](f"v{number}", {"valueSet": [f"urn:example:v{number + 1}"]})

    entries = [build.entry("PUT", f"ValueSet/v{number}", linked(number)) for number in range(60)]
    assert fhir.post("", build.bundle("transaction", *entries)).status == 200
    answer = fhir.get("ValueSet/v0/$expand")
    assert (answer.status, answer.codes) == (422, ["too-costly"])
