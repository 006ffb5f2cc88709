"""$validate-code: is this a code, is it in the value set, is it called so? The answer says why not.

Covers hl7.org/fhir/R4/codesystem-operation-validate-code.html, valueset-operation-validate-code.html. What is
expected is in the spirit of the tests of the FHIR terminology ecosystem, written anew.
"""

from __future__ import annotations

from typing import Any

import pytest

COLOURS, SHAPES = "urn:example:colours", "urn:example:shapes"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def issues(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (issue["severity"], issue["code"], issue.get("expression", [""])[0])
        for issue in found.get("issues", {}).get("issue", ())
    ]


def post(fhir: Any, path: str, **values: dict[str, Any]) -> Any:
    rows = [{"name": name, **value} for name, value in values.items()]
    return fhir.post(path, {"resourceType": "Parameters", "parameter": rows})


# -- of a code system


def test_a_code_of_the_system_is_valid_and_told_as_it_should_be(stored: Any, ask: Any, answered: Any) -> None:
    found = answered(ask("CodeSystem/$validate-code", url=COLOURS, code="red"))
    assert found == {"result": True, "display": "Red", "code": "red", "system": COLOURS, "version": "2"}
    at_instance = answered(ask("CodeSystem/colours/$validate-code", code="red"))
    assert at_instance == found


@pytest.mark.parametrize(
    ("given", "result", "said"),
    [
        ({"code": "green"}, False, [("error", "code-invalid", "code")]),
        ({"code": "Red"}, False, [("error", "code-invalid", "code")]),
        ({"code": "red", "display": "Red"}, True, []),
        ({"code": "red", "display": "  rOt "}, True, []),
        ({"code": "red", "display": "Green"}, False, [("error", "invalid", "display")]),
        ({"code": "red", "version": "2"}, True, []),
        ({"code": "red", "version": "3"}, False, [("error", "not-found", "version")]),
        ({"code": "mauve"}, True, [("warning", "business-rule", "code")]),
        ({"code": "metal"}, True, []),
        ({"code": "metal", "abstract": "true"}, True, []),
        ({"code": "metal", "abstract": "false"}, False, [("error", "business-rule", "code")]),
        ({"code": "gold", "abstract": "false"}, True, []),
    ],
)
def test_what_is_wrong_with_a_code_is_said(
    stored: Any, ask: Any, answered: Any, given: dict[str, str], result: bool, said: list[Any]
) -> None:
    found = answered(ask("CodeSystem/$validate-code", url=COLOURS, **given))
    assert (found["result"], issues(found)) == (result, said)
    assert ("message" in found) is bool(said)


def test_a_wrong_display_is_answered_with_the_right_one(stored: Any, ask: Any, answered: Any) -> None:
    found = answered(ask("CodeSystem/$validate-code", url=COLOURS, code="pink", display="Rosy"))
    assert (found["result"], found["display"]) == (False, "Pale Red")
    assert "Rosy" not in str(found)


def test_a_concept_out_of_use_is_valid_and_flagged(stored: Any, ask: Any, answered: Any) -> None:
    found = answered(ask("CodeSystem/$validate-code", url=COLOURS, code="mauve"))
    assert (found["result"], found["inactive"]) == (True, True)


def test_a_code_that_a_fragment_lacks_is_a_warning_and_no_error(
    stored: Any, file: Any, ask: Any, answered: Any
) -> None:
    for url, code in ((SHAPES, "square"), (RXNORM, "999999999")):
        found = answered(ask("CodeSystem/$validate-code", url=url, code=code))
        assert (found["result"], issues(found)) == (True, [("warning", "code-invalid", "code")])
        assert "may be valid" in found["message"]
    icd = answered(ask("CodeSystem/$validate-code", url="http://hl7.org/fhir/sid/icd-10-cm", code="E99"))
    assert (icd["result"], issues(icd)) == (False, [("error", "code-invalid", "code")])


def test_where_case_does_not_count_the_right_one_is_told(stored: Any, ask: Any, answered: Any) -> None:
    found = answered(ask("CodeSystem/$validate-code", url=SHAPES, code="OVAL"))
    assert (found["result"], found["code"]) == (True, "oval")
    assert issues(found) == [("information", "code-invalid", "code")]


def test_units_are_judged_by_their_grammar(ask: Any, answered: Any) -> None:
    for code, valid in (("mg/dL", True), ("10*3/uL", True), ("mm[Hg]", True), ("mgs", False), ("MG/DL", False)):
        found = answered(ask("CodeSystem/$validate-code", url="http://unitsofmeasure.org", code=code))
        assert found["result"] is valid, code


def test_a_system_that_is_not_known_makes_no_code_valid(ask: Any, answered: Any) -> None:
    found = answered(ask("CodeSystem/$validate-code", url="urn:example:nothing", code="x"))
    assert (found["result"], issues(found)) == (False, [("error", "not-found", "system")])


def test_a_system_may_be_sent_along(fhir: Any, answered: Any, definitions: Any) -> None:
    sent = {"codeSystem": {"resource": definitions["colours"]}}
    found = answered(post(fhir, "CodeSystem/$validate-code", **sent, code={"valueCode": "gold"}))
    assert (found["result"], found["display"]) == (True, "Gold")
    assert fhir.get("CodeSystem/colours").status == 404
    broken = {"codeSystem": {"resource": {"resourceType": "CodeSystem", "concept": "none"}}}
    assert post(fhir, "CodeSystem/$validate-code", **broken, code={"valueCode": "gold"}).status == 400


def test_a_coding_is_of_its_own_system(stored: Any, fhir: Any, answered: Any) -> None:
    coding = {"valueCoding": {"system": COLOURS, "code": "red", "display": "Blue"}}
    found = answered(post(fhir, "CodeSystem/$validate-code", coding=coding))
    assert issues(found) == [("error", "invalid", "Coding.display")]
    other = post(fhir, "CodeSystem/$validate-code", coding=coding, url={"valueUri": SHAPES})
    assert (other.status, other.codes) == (400, ["value"])


def test_of_a_concept_coded_several_times_one_valid_code_will_do(stored: Any, fhir: Any, answered: Any) -> None:
    def judged(*codes: str) -> Any:
        codings = [{"system": COLOURS, "code": code} for code in codes]
        return answered(
            post(
                fhir, "CodeSystem/$validate-code", codeableConcept={"valueCodeableConcept": {"coding": codings}}
            )
        )

    found = judged("green", "red")
    assert (found["result"], found["code"]) == (True, "red")
    assert issues(found) == [("warning", "code-invalid", "CodeableConcept.coding[0].code")]
    assert judged("green", "yellow")["result"] is False


# -- of a value set


@pytest.mark.parametrize(
    ("system", "code", "result"),
    [
        (COLOURS, "red", True),
        (COLOURS, "pink", True),
        (COLOURS, "crimson", False),
        (COLOURS, "blue", False),
        (COLOURS, "green", False),
        ("urn:example:unknown", "x", True),
        ("urn:example:unknown", "y", False),
        ("urn:example:other", "red", False),
    ],
)
def test_a_code_is_valid_where_the_value_set_has_it(
    stored: Any, ask: Any, answered: Any, system: str, code: str, result: bool
) -> None:
    for path, given in (
        ("ValueSet/$validate-code", {"url": "urn:example:reds"}),
        ("ValueSet/reds/$validate-code", {}),
    ):
        found = answered(ask(path, system=system, code=code, **given))
        assert found["result"] is result
        assert result or "not in the value set" in found["message"]


def test_a_listed_code_of_a_system_that_is_not_known_is_valid_with_a_warning(
    stored: Any, ask: Any, answered: Any
) -> None:
    given = {"url": "urn:example:reds", "system": "urn:example:unknown", "code": "x"}
    found = answered(ask("ValueSet/$validate-code", **given))
    assert (found["result"], found["display"]) == (True, "Ex")
    assert issues(found) == [("warning", "not-found", "system")]
    assert answered(ask("ValueSet/$validate-code", **given, display="iks"), "result") is True
    assert answered(ask("ValueSet/$validate-code", **given, display="ypsilon"), "result") is False


def test_the_system_of_a_code_alone_is_told_by_the_value_set(stored: Any, ask: Any, answered: Any) -> None:
    found = answered(ask("ValueSet/$validate-code", url="urn:example:reds", code="pink"))
    assert (found["result"], found["system"]) == (True, COLOURS)
    found = answered(ask("ValueSet/$validate-code", url="urn:example:reds", code="blue"))
    assert (found["result"], issues(found)) == (False, [("error", "code-invalid", "code")])


def test_a_code_in_two_systems_of_a_value_set_needs_its_system(
    fhir: Any, answered: Any, definitions: Any
) -> None:
    one = {"system": "urn:example:one", "concept": [{"code": "x"}]}
    two = {"system": "urn:example:two", "concept": [{"code": "x"}]}
    both = {"valueSet": {"resource": definitions["value_set"]("both", one, two)}}
    found = answered(post(fhir, "ValueSet/$validate-code", **both, code={"valueCode": "x"}))
    assert found["result"] is False
    assert "several" in found["message"]


def test_a_value_set_without_concepts_out_of_use_has_none(
    stored: Any, fhir: Any, answered: Any, definitions: Any
) -> None:
    for inactive, result in ((True, True), (False, False)):
        sent = definitions["value_set"]("every", {"system": COLOURS}, inactive=inactive)
        found = answered(
            post(
                fhir,
                "ValueSet/$validate-code",
                valueSet={"resource": sent},
                coding={"valueCoding": {"system": COLOURS, "code": "mauve"}},
            )
        )
        assert found["result"] is result


def test_implicit_value_sets_are_known_by_their_url(file: Any, ask: Any, answered: Any) -> None:
    for url, code, result in (
        (f"{RXNORM}?fhir_vs=tty/SCD,SBD", "104377", True),
        (f"{RXNORM}?fhir_vs=tty/SCD", "104377", False),
        (f"{RXNORM}?fhir_vs", "29046", True),
        ("http://snomed.info/sct?fhir_vs", "44054006", True),
        ("http://unitsofmeasure.org/vs", "mg", True),
        ("http://unitsofmeasure.org/vs", "mgs", False),
    ):
        found = answered(
            ask("ValueSet/$validate-code", url=url, system=url.partition("?")[0].removesuffix("/vs"), code=code)
        )
        assert found["result"] is result, (url, code)


def test_what_is_below_a_concept_of_a_flat_fragment_cannot_be_told(file: Any, ask: Any) -> None:
    url = "http://snomed.info/sct?fhir_vs=isa/44054006"
    answer = ask("ValueSet/$validate-code", url=url, system="http://snomed.info/sct", code="44054006")
    assert (answer.status, answer.codes) == (422, ["not-supported"])
    assert "hierarchy" in answer.text


def test_a_code_of_one_include_is_valid_whatever_is_not_known_of_another(
    stored: Any, fhir: Any, answered: Any, definitions: Any
) -> None:
    unknown = {
        "system": "http://snomed.info/sct",
        "filter": [{"property": "concept", "op": "is-a", "value": "44054006"}],
    }
    sent = definitions["value_set"]("some", unknown, {"valueSet": ["urn:example:nothing"]}, {"system": COLOURS})

    def judged(system: str, code: str, value_set: Any = sent) -> Any:
        coding = {"valueCoding": {"system": system, "code": code}}
        return post(fhir, "ValueSet/$validate-code", valueSet={"resource": value_set}, coding=coding)

    assert answered(judged(COLOURS, "red"), "result") is True
    for system, code in ((COLOURS, "green"), ("http://snomed.info/sct", "44054006")):
        answer = judged(system, code)
        assert (answer.status, answer.codes) == (422, ["not-supported"])
    listed = definitions["value_set"]("some", unknown, {"system": COLOURS})
    assert answered(judged(COLOURS, "green", listed), "result") is False
    assert (
        judged(COLOURS, "red", definitions["value_set"]("n", {"system": COLOURS}, exclude=[unknown])).status
        == 200
    )
    both = definitions["value_set"]("n", {"system": COLOURS}, exclude=[{"valueSet": ["urn:example:nothing"]}])
    assert judged(COLOURS, "red", both).status == 422


@pytest.mark.parametrize(
    ("path", "given", "status", "code"),
    [
        ("ValueSet/$validate-code", {"url": "urn:example:nothing", "code": "x"}, 404, "not-found"),
        ("ValueSet/$validate-code", {"code": "x"}, 400, "required"),
        ("ValueSet/$validate-code", {"url": "urn:example:reds"}, 400, "required"),
        ("ValueSet/nothing/$validate-code", {"code": "x"}, 404, "not-found"),
        ("ValueSet/reds/$validate-code", {"url": "urn:example:reds", "code": "x"}, 400, "value"),
        (
            "ValueSet/$validate-code",
            {"url": "http://hl7.org/fhir/ValueSet/body-site", "code": "x"},
            422,
            "not-supported",
        ),
        ("CodeSystem/$validate-code", {"code": "x"}, 400, "required"),
        ("CodeSystem/$validate-code", {"url": COLOURS}, 400, "required"),
    ],
)
def test_a_question_that_cannot_be_judged_is_refused(
    stored: Any, ask: Any, path: str, given: dict[str, str], status: int, code: str
) -> None:
    answer = ask(path, **given)
    assert (answer.status, answer.codes) == (status, [code])


def test_a_deleted_value_set_is_gone(stored: Any, ask: Any) -> None:
    assert stored.delete("ValueSet/reds").status in (200, 204)
    assert ask("ValueSet/reds/$validate-code", code="x").status == 410
    assert ask("ValueSet/$validate-code", url="urn:example:reds", code="x").status == 404
