"""`baton reconcile explain`. Covers: the command's contract; golden bytes; refusals."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from smart_app.cli import reconcile
from smart_app.discharge_cases.cases import discharge_case

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def run(rxnorm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "terminology").symlink_to(rxnorm._store.path.parent)
    monkeypatch.setenv("BATON_HOME", str(tmp_path))
    return lambda bundle, *options: CliRunner().invoke(
        reconcile, ["explain", "-", *options], input=bundle if isinstance(bundle, str) else json.dumps(bundle)
    )


def test_the_same_input_gives_the_same_bytes(run: Any) -> None:
    """Golden: a generated case. Delete the file to write it anew, with a new ALGORITHM_VERSION."""
    answer = run(discharge_case(20261121).bundle, "--json")
    assert answer.exit_code == 0, answer.output
    golden = GOLDEN / "explain.json"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(answer.output, encoding="utf-8")
    assert answer.output == golden.read_text(encoding="utf-8")


def test_the_shape_is_exactly_that_of_the_contract(run: Any) -> None:
    found = json.loads(run(discharge_case(7).bundle, "--json").output)
    assert list(found) == ["groups", "alerts", "burden", "notChecked", "versions"]
    assert list(found["versions"]) == ["algorithm", "terminology", "rules"]
    for group in found["groups"]:
        assert list(group) == ["kind", "before", "after", "differences", "reason"]
    for alert in found["alerts"]:
        assert list(alert)[:5] == ["kind", "severity", "references", "rule", "source"]
        assert list(alert)[5:] == ["lists", "code", "words", "action", "also"]


def test_in_words_it_says_what_was_not_checked(run: Any) -> None:
    answer = run(discharge_case(7).bundle)
    assert answer.exit_code == 0
    assert "Not checked: Interactions: tables of 2014 and 2016" in answer.output


def without(bundle: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in bundle.items() if key != name}


DATED = {"resourceType": "Bundle", "type": "collection", "timestamp": "2026-03-10"}

BROKEN = [
    ("{", "not JSON"),
    ("[" * 100_000, "not JSON"),
    ([], "must be a FHIR Bundle"),
    ({"resourceType": "Patient"}, "must be a FHIR Bundle"),
    ({"resourceType": "Bundle", "type": "batch"}, "type collection"),
    ({"resourceType": "Bundle", "type": "collection"}, "timestamp"),
    ({"resourceType": "Bundle", "type": "collection", "timestamp": "soon"}, "timestamp"),
    ({"resourceType": "Bundle", "type": "collection", "timestamp": "2026-03-10"}, "one Patient, not 0"),
    ({"resourceType": "Bundle", "type": "collection", "timestamp": "2026-03-10", "entry": [7]}, "entry[0]"),
    (
        {"resourceType": "Bundle", "type": "collection", "timestamp": "2026-03-10", "entry": {}},
        "must be a list",
    ),
]


@pytest.mark.parametrize(("bundle", "words"), BROKEN)
def test_what_is_not_such_a_bundle_is_refused_in_words(run: Any, bundle: Any, words: str) -> None:
    answer = run(bundle, "--json")
    assert answer.exit_code == 2
    assert words in answer.output
    assert "Traceback" not in answer.output


def test_a_missing_list_and_a_dangling_entry_are_named(run: Any, lists: Any) -> None:
    bundle = lists.bundle([lists.line("b", "314076")], [])
    lost = {**bundle, "entry": [e for e in bundle["entry"] if e["resource"].get("id") != "b"]}
    assert "points at “MedicationRequest/b”" in run(lost).output
    half = {**bundle, "entry": [e for e in bundle["entry"] if e["resource"].get("id") != "after"]}
    assert "no List whose code.text is “after”" in run(half).output


@pytest.mark.parametrize(
    "broken",
    [
        {"medicationCodeableConcept": "lisinopril"},
        {"medicationCodeableConcept": {"coding": "314076"}},
        {"dosageInstruction": "daily"},
        {"dosageInstruction": [{"timing": {"repeat": "daily"}}]},
        {"dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": "one"}}]}]},
        {"dosageInstruction": [{"timing": {"repeat": {"when": 7}}}]},
        {"identifier": "x"},
        {"identifier": [7]},
        {"meta": 7},
        {"status": 7},
        {"basedOn": "x"},
        {"contained": "x"},
        {"reasonCode": [{"coding": 7}]},
    ],
)
def test_an_element_of_the_wrong_shape_breaks_nothing(run: Any, lists: Any, broken: dict[str, Any]) -> None:
    line = {**lists.line("b", "314076", "1 tablet", "1/d"), **broken}
    answer = run(lists.bundle([line], []), "--json")
    assert answer.exit_code in (0, 2), answer.exception
    assert answer.exception is None or isinstance(answer.exception, SystemExit)
