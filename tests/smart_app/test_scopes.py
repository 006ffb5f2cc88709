"""Scopes: asked, granted, compared.

Covers: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import pytest

from smart_app.scopes import app_scopes, compare, launch_scopes, permissions, worker_scopes


@pytest.mark.parametrize(
    ("scope", "letters"),
    [
        ("user/Patient.rs", "rs"),
        ("patient/Patient.read", "rs"),
        ("user/*.cruds", "cruds"),
        ("user/*.*", "cruds"),
        ("user/Patient.write", "cud"),
        ("user/Patient.rs?active=true", "rs"),
        ("user/Patient.r user/Patient.s", "rs"),
        ("user/Patients.rs launch openid user/.rs x/Patient.rs", ""),
        ("", ""),
    ],
)
def test_a_scope_string_grants_letters(scope: str, letters: str) -> None:
    assert permissions(scope, "Patient") == letters


def test_a_chart_that_is_no_store_is_asked_for_reading_only() -> None:
    asked = [scope for scope in app_scopes(store=False) if scope.startswith("user/")]
    assert asked
    assert all(scope.endswith(".rs") for scope in asked)
    assert not any("Task" in scope for scope in asked)


def test_a_store_is_asked_for_writing_as_well() -> None:
    assert {"user/List.crus", "user/MedicationStatement.crus", "user/Task.crus"} <= set(app_scopes(store=True))


def test_the_launch_decides_how_the_patient_is_found() -> None:
    assert "launch" in launch_scopes(store=True, ehr_launch=True)
    assert "launch/patient" in launch_scopes(store=False, ehr_launch=False)
    assert not any(s.startswith("launch") for s in launch_scopes(store=True, ehr_launch=False))


def test_the_worker_asks_for_what_it_writes_and_no_more() -> None:
    assert set(worker_scopes()) == {"system/Encounter.rs", "system/EpisodeOfCare.crus", "system/Task.crus"}


def test_what_is_missing_is_named() -> None:
    granted = compare("user/Patient.rs user/MedicationRequest.rs user/List.rs", store=True)
    assert granted.required_missing == ()
    assert "allergies" in granted.missing
    assert "List" in granted.unwritable
    assert compare("user/Patient.rs", store=False).required_missing == ("medication orders",)
    full = compare(" ".join(app_scopes(store=True)), store=True)
    assert (full.missing, full.required_missing, full.unwritable) == ((), (), ())
