"""The audit row of an interaction: whose records, for which purpose, for which partner.

Covers server/interactions/audit.py.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from server.auth.principal import Principal
from server.interactions.audit import PATIENTS_MAXIMUM, audit_row
from server.interactions.request import InteractionRequest, InteractionResponse

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CONTEXT: Any = SimpleNamespace(clock=lambda: NOW)
NURSE = Principal("app", (), user="Practitioner/p")
READ = InteractionRequest("read", "Observation", "o")


def row(principal: Principal = NURSE, request: InteractionRequest = READ, **answer: Any) -> Any:
    return audit_row(CONTEXT, principal, request, InteractionResponse(**{"status": 200, **answer}))


def test_whose_resources_went_out_is_named_once_and_in_order() -> None:
    assert row(patients=("b", "a")).patient == "a b"


@pytest.mark.parametrize(
    ("request_", "patient"),
    [
        (InteractionRequest("read", "Patient", "p"), "p"),
        (InteractionRequest("search-type", "Observation", compartment="Patient/p"), "p"),
        (InteractionRequest("search-type", "Observation", compartment="Encounter/p"), ""),
        (InteractionRequest("read", "Patient", "not an id"), ""),
        (READ, ""),
    ],
)
def test_the_patient_that_the_path_names_is_named_though_nothing_went_out(
    request_: InteractionRequest, patient: str
) -> None:
    assert row(request=request_, status=403).patient == patient


def test_a_patient_who_acts_is_named() -> None:
    assert row(Principal("app", (), user="Patient/me"), status=404).patient == "me"


def test_the_patient_of_the_token_is_named_where_there_is_no_other() -> None:
    token = replace(NURSE, patient="launch")
    assert row(token, status=404).patient == "launch"
    assert row(token, patients=("a",)).patient == "a"


def test_more_patients_than_a_row_holds_are_counted() -> None:
    found = row(patients=tuple(f"p{number:06}" for number in range(PATIENTS_MAXIMUM + 3)))
    assert len(found.patient.split()) == PATIENTS_MAXIMUM
    assert found.detail == f"patients={PATIENTS_MAXIMUM + 3}"


def test_the_partner_and_its_purpose_are_named() -> None:
    found = row(replace(NURSE, organization="Organization/q", purpose="PUBHLTH"))
    assert (found.organization, found.purpose) == ("Organization/q", "PUBHLTH")
    assert (row().organization, row().purpose) == ("", "")


def test_what_touches_a_chart_that_was_opened_in_an_emergency_says_so_while_it_is_open() -> None:
    nurse = replace(NURSE, purpose="TREAT", emergencies=(("a", NOW + timedelta(minutes=1)), ("b", NOW)))
    assert row(nurse, patients=("a", "c")).purpose == "BTG"
    assert row(nurse, patients=("b",)).purpose == "TREAT"
    assert row(nurse, request=InteractionRequest("read", "Patient", "a"), status=404).purpose == "BTG"
