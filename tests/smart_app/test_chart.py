"""Reading a chart: parallel searches, honest gaps, nobody else's resources.

Covers: hl7.org/fhir/us/core (search by patient), DESIGN "partial results".
"""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from smart_app.chart import chart_overview, gather
from smart_app.chart_lines import age_on, identifiers_of, medication_lines, person_name
from smart_app.fhir_client import FhirFault, NotFound
from smart_app.issuers import Issuer, Issuers
from smart_app.problems import ProblemError
from smart_app.transitions.discharges import read_discharge

FUROSEMIDE = {"reference": "Medication/m1"}


@pytest.fixture
def chart(ehr: Any) -> Any:
    ehr.put(
        {
            "resourceType": "MedicationRequest",
            "id": "o1",
            "status": "active",
            "intent": "order",
            "subject": {"reference": "Patient/p1"},
            "medicationReference": FUROSEMIDE,
            "authoredOn": "2026-09-01",
            "requester": {"reference": "Practitioner/nurse"},
            "dosageInstruction": [{"text": "1 tablet daily"}],
        },
        {"resourceType": "Medication", "id": "m1", "code": {"text": "furosemide 40 MG Oral Tablet"}},
        {
            "resourceType": "MedicationRequest",
            "id": "wrong",
            "status": "entered-in-error",
            "intent": "order",
            "subject": {"reference": "Patient/p1"},
            "medicationCodeableConcept": {"text": "an error"},
        },
        {
            "resourceType": "AllergyIntolerance",
            "id": "a1",
            "patient": {"reference": "Patient/p1"},
            "code": {"text": "Penicillin"},
            "criticality": "high",
            "reaction": [{"manifestation": [{"text": "Hives"}]}],
        },
        {
            "resourceType": "AllergyIntolerance",
            "id": "a2",
            "patient": {"reference": "Patient/p1"},
            "code": {"text": "Refuted"},
            "verificationStatus": {"coding": [{"code": "refuted"}]},
        },
    )
    return ehr


def test_the_overview_shows_the_chart_in_words(desk: Any, chart: Any) -> None:
    seen = chart_overview(desk.context())
    assert (seen.banner.name, seen.banner.age, seen.banner.gender) == ("Testfall, Anna", 76, "female")
    (line,) = seen.medications
    assert (line.name, line.sig, line.by) == ("furosemide 40 MG Oral Tablet", "1 tablet daily", "Nora Example")
    (allergy,) = seen.allergies
    assert (allergy.name, allergy.reactions) == ("Penicillin", ("Hives",))
    (stay,) = seen.encounters
    assert (stay.place, stay.reason, stay.is_discharge) == ("Mercy General", "Heart failure", True)
    assert seen.notices == ()


@pytest.mark.parametrize(
    ("status", "words"), [(503, "did not answer"), (403, "does not let you see"), (500, "could not be asked")]
)
def test_what_cannot_be_read_is_said_and_the_rest_is_shown(
    desk: Any, chart: Any, status: int, words: str
) -> None:
    chart.failing["AllergyIntolerance"] = status
    found = gather(desk.context())
    (notice,) = found.notices
    assert notice.kind == "partial"
    assert words in notice.text
    assert notice.values == {"issuer": "Mercy EHR", "what": "allergies"}
    assert found.gaps == ("allergies",)
    assert found.of("MedicationRequest")


def test_without_fills_a_list_may_still_be_signed(desk: Any, chart: Any) -> None:
    chart.failing["MedicationDispense"] = 503
    found = gather(desk.context())
    assert len(found.notices) == 1
    assert found.gaps == ()


def test_a_server_that_ignores_the_patient_does_not_mix_charts(desk: Any, chart: Any) -> None:
    chart.put(
        {
            "resourceType": "AllergyIntolerance",
            "id": "x",
            "patient": {"reference": "Patient/p11"},
            "code": {"text": "Somebody else's"},
        }
    )
    chart.ignore_parameters = True
    assert [line.name for line in chart_overview(desk.context()).allergies] == ["Penicillin"]


def test_without_the_patient_there_is_no_page(desk: Any, chart: Any) -> None:
    with pytest.raises(NotFound):
        gather(desk.context(patient="nobody"))
    chart.failing["Patient"] = 503
    with pytest.raises(FhirFault):
        gather(desk.context())
    with pytest.raises(ProblemError) as raised:
        gather(desk.context(patient=None))
    assert raised.value.problem.kind == "no-patient"


def test_a_foreign_chart_says_that_nothing_can_be_saved(desk: Any, chart: Any, issuers: Issuers) -> None:
    issuers.add(Issuer("https://ehr.example/r4", "app-there", "Mercy EHR"))
    (notice,) = chart_overview(desk.context()).notices
    assert notice.kind == "not-connected"


def test_permissions_that_were_cut_are_said(desk: Any, chart: Any) -> None:
    context = desk.context(shortfall=("fills", "conditions"))
    assert context.notices[0].values["what"] == "fills, conditions"


@pytest.mark.parametrize(
    ("born", "today", "age"),
    [
        ("1950-03-02", date(2026, 3, 1), 75),
        ("1950-03-02", date(2026, 3, 2), 76),
        ("2024-02-29", date(2026, 2, 28), 1),
        ("1950", date(2026, 1, 1), None),
        ("no date", date(2026, 1, 1), None),
    ],
)
def test_age_is_counted_in_whole_years(born: str, today: date, age: int | None) -> None:
    assert age_on({"birthDate": born}, today) == age


def test_the_banner_shows_the_record_number_first_and_no_social_security_number() -> None:
    patient = {
        "identifier": [
            {"value": "999-00-1111", "type": {"coding": [{"code": "SS"}]}},
            {"value": "X", "type": {"text": "Insurance"}},
            {"value": "A-1", "type": {"text": "Record", "coding": [{"code": "MR"}]}},
            {"type": {"text": "no value"}},
            None,
        ]
    }
    assert identifiers_of(patient) == (("Record", "A-1"), ("Insurance", "X"))


def test_the_official_name_is_preferred() -> None:
    names = [{"use": "old", "family": "Alt"}, {"use": "official", "family": "Neu", "given": ["Anna"]}]
    assert person_name({"name": names}) == "Neu, Anna"
    assert person_name({"name": [{"text": "Only Text"}]}) == "Only Text"
    assert person_name({}) == ""


@pytest.mark.parametrize("broken", [None, 3, "x", [], [None], {"coding": 3}, {"text": 4}])
def test_malformed_elements_are_blank_never_an_error(broken: Any) -> None:
    resource = {
        "resourceType": "MedicationRequest",
        "id": "x",
        "status": broken,
        "medicationCodeableConcept": broken,
        "medicationReference": broken,
        "requester": broken,
        "dosageInstruction": broken,
        "authoredOn": broken,
    }
    (line,) = medication_lines([resource], {})
    assert line.reference == "MedicationRequest/x"
    encounter = {
        "class": broken,
        "period": broken,
        "subject": broken,
        "status": broken,
        "hospitalization": broken,
    }
    assert read_discharge(encounter, ZoneInfo("UTC")) is None
