"""What a contact writes, and when a clock is met: the pure rules.

Covers: domain 1b (contact log), 2.2 (attempts), 4.3 (outreach Task).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from fhir.resources.R4B.communication import Communication
from fhir.resources.R4B.encounter import Encounter
from fhir.resources.R4B.episodeofcare import EpisodeOfCare
from fhir.resources.R4B.task import Task
from hypothesis import given
from hypothesis import strategies as st

from smart_app.transitions.calendar import federal_calendar
from smart_app.transitions.clocks import clocks_of, next_clock
from smart_app.transitions.contact import (
    Caller,
    contact_bundle,
    find_mode,
    find_outcome,
    modes,
    outcomes,
    record_id,
)
from smart_app.transitions.discharges import Discharge, class_search, destination
from smart_app.transitions.outreach import opening
from smart_app.transitions.tcm import deadlines, rule_on
from smart_app.view_records import Clock

ZONE = ZoneInfo("America/New_York")
END = datetime(2026, 11, 25, 19, tzinfo=UTC)
DISCHARGE = Discharge("stay", "Patient/p1", END - timedelta(days=5), END, "community", True)
LIMITS = deadlines(END, ZONE, federal_calendar())
RULE = rule_on(LIMITS.discharge_date)
CALLER = Caller("Practitioner/nurse", "Nora Example")


def task(**more: object) -> dict[str, object]:
    made = opening(DISCHARGE, LIMITS, RULE, now=END)["entry"][1]["resource"]
    return {**made, "id": "t1", "meta": {"versionId": "3"}, **more}


def clocks(now: datetime, **more: object) -> dict[str, Clock]:
    given: dict[str, object] = {"first_outreach": None, "contact": None, "attempts": 0, "visit": None} | more
    found = clocks_of(DISCHARGE, LIMITS, RULE, now=now, zone=ZONE, **given)  # type: ignore[arg-type]
    return {clock.kind: clock for clock in found}


def test_what_a_discharge_opens_is_valid_fhir() -> None:
    entries = opening(DISCHARGE, LIMITS, RULE, now=END)["entry"]
    EpisodeOfCare.model_validate(entries[0]["resource"])
    Task.model_validate(entries[1]["resource"])
    conditions = [entry["request"]["ifNoneExist"] for entry in entries]
    assert conditions == [
        "identifier=urn%3Abaton%3Atransition%7Cepisode%2Fstay",
        "identifier=urn%3Abaton%3Atransition%7Coutreach%2Fstay",
    ]


def test_opening_twice_says_the_same() -> None:
    first, second = (opening(DISCHARGE, LIMITS, RULE, now=END) for _ in range(2))
    assert json.dumps(first) == json.dumps(second)


@pytest.mark.parametrize("outcome", [outcome.code for outcome in outcomes()])
@pytest.mark.parametrize("mode", [mode.code for mode in modes()])
def test_every_contact_is_valid_fhir_under_if_match(outcome: str, mode: str) -> None:
    how, by = find_outcome(outcome), find_mode(mode)
    assert how is not None
    assert by is not None
    bundle = contact_bundle(task(), CALLER, how, by, note="a note", form_id="f1", now=END)
    record, update = bundle["entry"]
    (Encounter if how.reached else Communication).model_validate(record["resource"])
    Task.model_validate({name: value for name, value in update["resource"].items() if name != "meta"})
    assert record["request"]["url"].endswith(record_id("f1"))
    assert update["request"]["ifMatch"] == 'W/"3"'
    assert update["resource"]["status"] == ("completed" if how.reached else "in-progress")
    assert "a note" in json.dumps(bundle)


def test_a_contact_keeps_the_owner_and_the_first_attempt() -> None:
    how, by = find_outcome("reached-patient"), find_mode("phone")
    assert how is not None
    assert by is not None
    before = task(owner={"reference": "Practitioner/first"}, executionPeriod={"start": "2026-11-25T20:00:00Z"})
    after = contact_bundle(before, CALLER, how, by, note="", form_id="f", now=END)["entry"][1]["resource"]
    assert after["owner"] == {"reference": "Practitioner/first"}
    assert after["executionPeriod"]["start"] == "2026-11-25T20:00:00Z"
    assert after["executionPeriod"]["end"] == "2026-11-25T19:00:00.000Z"


@pytest.mark.parametrize("change", [{"status": "completed"}, {"status": "cancelled"}, {"meta": {}}])
def test_a_closed_outreach_takes_no_contact(change: dict[str, object]) -> None:
    how, by = outcomes()[0], modes()[0]
    with pytest.raises(ValueError, match="closed"):
        contact_bundle(task(**change), CALLER, how, by, note="", form_id="f", now=END)


def test_the_clocks_of_a_discharge_run_one_after_the_other() -> None:
    hours = timedelta(hours=1)
    assert clocks(END)["contact"].state == "open"
    first = next_clock(tuple(clocks(END + 2 * hours).values()))
    assert first is not None
    assert first.kind == "service"
    after_service = next_clock(tuple(clocks(END + 60 * hours).values()))
    assert after_service is not None
    assert (after_service.kind, after_service.state) == ("contact", "open")
    on_monday = clocks(datetime(2026, 11, 30, 15, tzinfo=UTC))
    assert on_monday["contact"].state == "due-today"
    late = next_clock(tuple(clocks(datetime(2026, 12, 1, 15, tzinfo=UTC)).values()))
    assert late is not None
    assert (late.kind, late.state) == ("contact", "late")


def test_a_contact_in_time_is_met_and_a_late_one_is_said_to_be_late() -> None:
    now = datetime(2026, 12, 5, 15, tzinfo=UTC)
    assert clocks(now, contact=datetime(2026, 12, 1, 4, 59, 59, tzinfo=UTC))["contact"].state == "met"
    assert clocks(now, contact=datetime(2026, 12, 1, 5, tzinfo=UTC))["contact"].state == "met-late"


def test_without_a_calendar_the_contact_is_unknown_and_not_late() -> None:
    cut = type(federal_calendar())(LIMITS.discharge_date, LIMITS.discharge_date, {}, "", "")
    limits = deadlines(END, ZONE, cut)
    found = clocks_of(
        DISCHARGE,
        limits,
        RULE,
        first_outreach=None,
        contact=None,
        attempts=3,
        visit=None,
        now=END + timedelta(days=20),
        zone=ZONE,
    )
    assert (found[0].state, found[0].due) == ("unknown", None)


@given(st.integers(0, 40 * 24), st.integers(0, 5))
def test_a_clock_uses_up_its_time_and_the_next_one_is_open_or_late(hours: int, attempts: int) -> None:
    found = clocks(END + timedelta(hours=hours), attempts=attempts)
    assert all(0.0 <= clock.share <= 1.0 for clock in found.values())
    chosen = next_clock(tuple(found.values()))
    assert chosen is not None
    assert chosen.state in ("open", "due-today", "late")


@pytest.mark.parametrize(
    ("system", "code", "kind"),
    [
        ("http://terminology.hl7.org/CodeSystem/discharge-disposition", "home", "community"),
        ("http://terminology.hl7.org/CodeSystem/discharge-disposition", "snf", "facility"),
        ("http://terminology.hl7.org/CodeSystem/discharge-disposition", "exp", "died"),
        ("https://www.nubc.org/CodeSystem/PatDischargeStatus", "06", "community"),
        ("https://www.nubc.org/CodeSystem/PatDischargeStatus", "03", "facility"),
        ("urn:other", "home", ""),
    ],
)
def test_the_destination_is_read_from_known_codes_only(system: str, code: str, kind: str) -> None:
    coding = [{"system": system, "code": code}]
    assert destination({"hospitalization": {"dischargeDisposition": {"coding": coding}}}) == kind


def test_the_search_for_stays_names_every_class_with_its_system() -> None:
    system = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    assert class_search() == f"{system}|IMP,{system}|ACUTE,{system}|NONAC,{system}|OBSENC"
