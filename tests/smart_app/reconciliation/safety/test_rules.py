"""Every rule about medicines and patients, with real products: it fires, and it stays silent for a near miss.

Covers domain 3.5 (interactions, older adults, kidneys, high-alert medicines, families of allergens). The
cases stand in the TSV files beside this module; their RxCUIs and names are checked against the vocabulary.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from smart_app.reconciliation.records import AlertKind
from smart_app.reconciliation.safety.data_files import table
from smart_app.reconciliation.safety.rule_engine import shipped_rules


def cases(name: str) -> list[dict[str, str]]:
    text = (Path(__file__).parent / name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t"))


RULES = cases("rule_cases.tsv")
ALLERGIES = cases("allergy_cases.tsv")
HIGH_ALERTS = cases("high_alert_cases.tsv")


def rule_of(identity: str) -> Any:
    kinds = (AlertKind.INTERACTION, AlertKind.OLDER_ADULT, AlertKind.RENAL)
    return next(rule for kind in kinds for rule in shipped_rules(kind) if rule.id == identity)


def spoken(charts: Any, codes: str, case: dict[str, str], **patient: Any) -> set[str]:
    """Everything that is said, the rules that another outranks by their source included."""
    lines = [charts.take(code, identity=f"l{n}") for n, code in enumerate(codes.split("+"))]
    given = {
        "born": case["born"],
        "egfr": case["egfr"] or None,
        "conditions": tuple(case["conditions"].split()),
    } | patient
    found = charts.alerts(lines, **given)
    rule = rule_of(case["rule"])
    said = {alert.rule for alert in found}
    if any(rule.effect in " ".join((a.words, *a.also)) for a in found if a.kind is rule.kind):
        said.add(rule.id)
    return said


def test_every_rule_has_a_case_and_every_case_a_rule() -> None:
    kinds = (AlertKind.INTERACTION, AlertKind.OLDER_ADULT, AlertKind.RENAL)
    assert [case["rule"] for case in RULES] == [rule.id for kind in kinds for rule in shipped_rules(kind)]
    assert [c["rule"] for c in HIGH_ALERTS] == [rule["id"] for rule in table("high_alert.toml")["rule"]]
    families = table("allergy_families.toml")["family"]
    expected = [
        f"allergy-{'cross' if number else 'family'}-{family['id']}"
        for family in families
        for number in range(1 + len(family.get("cross", ())))
    ]
    assert [case["rule"] for case in ALLERGIES] == expected


@pytest.mark.parametrize("case", RULES, ids=lambda case: case["rule"])
def test_a_rule_fires_for_its_medicines_and_patient(charts: Any, case: dict[str, str]) -> None:
    said = spoken(charts, case["fires"], case)
    graver = {other.id for other in shipped_rules(AlertKind.RENAL)} if case["kind"] == "renal" else set()
    assert case["rule"] in said or said & graver, said


@pytest.mark.parametrize("case", RULES, ids=lambda case: case["rule"])
def test_a_rule_is_silent_when_one_of_its_medicines_is_another(charts: Any, case: dict[str, str]) -> None:
    for codes in case["silent"].split("|"):
        assert case["rule"] not in spoken(charts, codes, case), codes


OF_PATIENTS = [case for case in RULES if case["kind"] != "interaction"]


@pytest.mark.parametrize("case", OF_PATIENTS, ids=lambda case: case["rule"])
def test_a_rule_about_patients_is_silent_for_another_patient(charts: Any, case: dict[str, str]) -> None:
    """Younger, with healthy kidneys, without the condition; and where nothing is known of the patient."""
    others: list[dict[str, Any]] = [{"born": None, "egfr": None, "conditions": ()}]
    if case["kind"] == "older-adult":
        others += [{"born": "1990-01-01"}, {"conditions": (*case["conditions"].split(), "end-of-life")}]
    if case["egfr"]:
        others += [{"egfr": "90"}, {"egfr": ">60"}]
    if case["conditions"] and not rule_of(case["rule"]).not_conditions:
        others.append({"conditions": ("migraine",)})
    for other in others:
        assert case["rule"] not in spoken(charts, case["fires"], case, **other), other


@pytest.mark.parametrize("case", HIGH_ALERTS, ids=lambda case: case["rule"])
def test_a_high_alert_medicine_is_marked_and_another_is_not(charts: Any, case: dict[str, str]) -> None:
    assert case["rule"] in charts.rules([charts.take(case["fires"])])
    assert case["rule"] not in charts.rules([charts.take("311372")])


def allergy_to(code: str, **more: Any) -> dict[str, Any]:
    coding = {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": code}
    return {
        "resourceType": "AllergyIntolerance",
        "id": "al",
        "code": {"coding": [coding]} if code.isdigit() else {"text": code},
        "patient": {"reference": "Patient/p"},
    } | more


@pytest.mark.parametrize("case", ALLERGIES, ids=lambda case: f"{case['rule']}-{case['fires_name']}")
def test_a_family_of_allergens_speaks_of_its_members_and_of_no_other(charts: Any, case: dict[str, str]) -> None:
    known = allergy_to(case["allergen"])
    said = charts.alerts([charts.take(case["fires"])], known)
    assert [alert.kind for alert in said if alert.kind is AlertKind.ALLERGY], case
    assert case["rule"] in {alert.rule for alert in said}
    silent = charts.alerts([charts.take(case["silent"])], known)
    assert not [alert for alert in silent if alert.kind is AlertKind.ALLERGY]


def test_every_code_of_the_cases_is_what_its_name_says(rxnorm: Any) -> None:
    pairs = [(c["fires"], c["name"]) for c in HIGH_ALERTS]
    for case in ALLERGIES:
        for key in ("allergen", "fires", "silent"):
            pairs.append((case[key], case[f"{key}_name"]))
    for case in RULES:
        for codes, names in zip(
            [case["fires"], *case["silent"].split("|")],
            [case["fires_names"], *case["silent_names"].split("|")],
            strict=True,
        ):
            pairs += zip(codes.split("+"), names.split(" + "), strict=True)
    for code, name in pairs:
        assert rxnorm.concept(code).name == name


def test_every_alert_says_lines_rule_source_year_and_what_to_do(charts: Any) -> None:
    for case in RULES[::7]:
        lines = [charts.take(code, identity=f"l{n}") for n, code in enumerate(case["fires"].split("+"))]
        for alert in charts.alerts(
            lines, born=case["born"], egfr=case["egfr"] or None, conditions=tuple(case["conditions"].split())
        ):
            assert alert.references
            assert alert.rule
            assert alert.action in alert.words
            assert alert.source.endswith(")")
            assert 1990 <= int(alert.source[-5:-1]) <= 2026
            assert alert.lists
