"""What is read of the chart for the rules: age, kidney function, conditions.

Covers domain 3.5 (older adult, renal: latest eGFR of twelve months).
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_app.reconciliation.safety.context import KidneyFunction, PatientContext, read_context
from smart_app.reconciliation.safety.data_files import table

DAY = date(2026, 3, 10)


def read(*resources: dict[str, Any]) -> PatientContext:
    return read_context([(f"{r['resourceType']}/{r.get('id')}", r) for r in resources], DAY)


@pytest.mark.parametrize(
    ("born", "age"),
    [
        ("1960-03-10", 66),
        ("1960-03-11", 65),
        ("1961", 64),
        ("1961-03", 64),
        ("2027-01-01", None),
        ("19xx", None),
        (None, None),
        ("1961-02-31", None),
    ],
)
def test_the_age_is_the_least_that_the_birth_date_allows(born: str | None, age: int | None) -> None:
    assert read({"resourceType": "Patient", "id": "p", "birthDate": born}).age == age


def test_the_newest_filtration_rate_of_twelve_months_counts(make_kidney: Any) -> None:
    old = make_kidney(20, "2025-01-01", id="old")
    first, last = make_kidney(50, "2025-12-01", id="first"), make_kidney(40, "2026-02-01", id="last")
    assert read(old).kidney is None
    kidney = read(old, last, first).kidney
    assert kidney == KidneyFunction(Decimal("40.0"), "", date(2026, 2, 1), "Observation/last")


@pytest.mark.parametrize(
    "broken",
    [
        {"status": "entered-in-error"},
        {"status": "preliminary"},
        {"valueQuantity": {"value": 20, "unit": "mg/dL"}},
        {"valueQuantity": {"unit": "mL/min/{1.73_m2}"}},
        {"valueQuantity": {"value": "NaN", "unit": "mL/min/{1.73_m2}"}},
        {"valueQuantity": "20"},
        {"effectiveDateTime": None},
        {"code": {"coding": [{"system": "http://loinc.org", "code": "2160-0"}]}},
        {"code": {"coding": [{"system": "urn:local", "code": "98979-8"}]}},
    ],
)
def test_a_value_that_is_none_is_not_read(make_kidney: Any, broken: dict[str, Any]) -> None:
    assert read(make_kidney(20) | broken).kidney is None


@pytest.mark.parametrize(
    ("value", "below_30", "below_60"),
    [("29", True, True), ("30", False, True), ("<30", True, True), ("<31", False, True), (">60", False, False)],
)
def test_a_bound_is_below_only_what_it_says(
    make_kidney: Any, value: str, below_30: bool, below_60: bool
) -> None:
    kidney = read(make_kidney(value)).kidney
    assert kidney is not None
    assert (kidney.is_below(Decimal(30)), kidney.is_below(Decimal(60))) == (below_30, below_60)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ({"text": "Congestive heart failure"}, {"heart-failure"}),
        ({"coding": [{"system": "http://snomed.info/sct", "code": "84114007"}]}, {"heart-failure"}),
        ({"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "I50.22"}]}, {"heart-failure"}),
        ({"text": "Family history of heart failure"}, set()),
        ({"text": "Wolff-Parkinson-White pattern"}, set()),
        ({"text": "Cardiac asthma"}, set()),
        ({"text": "Ocular hypertension"}, set()),
        ({"text": "Pulmonary hypertension"}, set()),
        ({"text": "Heat stroke"}, set()),
        ({"text": "Hallucinations"}, set()),
        ({"text": "Hospice care (regime/therapy)"}, {"end-of-life"}),
    ],
)
def test_a_condition_is_known_by_code_or_words(code: dict[str, Any], expected: set[str]) -> None:
    assert read({"resourceType": "Condition", "id": "c", "code": code}).conditions == expected


@pytest.mark.parametrize("gone", ["clinicalStatus", "verificationStatus"])
def test_a_condition_that_is_gone_or_refuted_does_not_count(gone: str) -> None:
    code = {"clinicalStatus": "resolved", "verificationStatus": "refuted"}[gone]
    resource = {
        "resourceType": "Condition",
        "id": "c",
        "code": {"text": "asthma"},
        gone: {"coding": [{"code": code}]},
    }
    found = read(resource)
    assert found.conditions == frozenset()
    assert found.conditions_read


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
NAMES = (
    "birthDate",
    "status",
    "code",
    "valueQuantity",
    "effectiveDateTime",
    "clinicalStatus",
    "verificationStatus",
)


@given(
    st.sampled_from(["Patient", "Observation", "Condition"]),
    st.dictionaries(st.sampled_from(NAMES), json_values),
)
def test_no_resource_of_any_shape_stops_the_reading(kind: str, body: dict[str, Any]) -> None:
    assert isinstance(read({"resourceType": kind, "id": "x"} | body), PatientContext)


def test_what_is_not_known_of_the_patient_is_said(charts: Any) -> None:
    said = charts.check([charts.take("861007")]).not_checked
    assert "Rules for older adults and doses by age: the birth date is not known" in said
    assert "Rules that depend on conditions: the chart names none" in said
    assert "Kidney function: no eGFR of the last 12 months; it matters for metformin" in said
    said = charts.check([charts.take("861007")], born="1950-01-01", egfr=80, conditions=("asthma",)).not_checked
    assert not any(statement.startswith(("Rules ", "Kidney function: no")) for statement in said)


def test_the_kidney_alert_names_value_day_and_observation(charts: Any) -> None:
    found = charts.alerts([charts.take("861007", identity="a")], egfr=28)
    (alert,) = [a for a in found if a.kind.value == "renal"]
    assert alert.rule == "renal-metformin"
    assert "eGFR 28 of 2026-02-01" in alert.words
    assert alert.references == ("MedicationRequest/a", "Observation/egfr")
    (alert,) = [a for a in charts.alerts([charts.take("861007")], egfr=40) if a.kind.value == "renal"]
    assert alert.rule == "renal-metformin-start"


def test_every_condition_that_a_rule_asks_for_is_defined() -> None:
    from smart_app.reconciliation.records import AlertKind
    from smart_app.reconciliation.safety.rule_engine import END_OF_LIFE, shipped_rules

    known = table("conditions.toml").keys()
    for kind in (AlertKind.INTERACTION, AlertKind.OLDER_ADULT, AlertKind.RENAL):
        for rule in shipped_rules(kind):
            assert rule.conditions | rule.not_conditions <= known, rule.id
    assert END_OF_LIFE in known
