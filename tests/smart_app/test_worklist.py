"""The worklist over the store: what breaks first, contacts logged once, nothing written by looking.

Covers: domain 2.1, 2.2 (clocks), 4.3 (outreach Task), 1b (contact log).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smart_app.issuers import Issuer, Issuers
from smart_app.problems import ProblemError
from smart_app.view_records import ContactConflict, ContactLogged, WorklistRow
from smart_app.worklist import ContactForm, load_row, load_worklist, log_contact

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def stay(encounter_id: str, patient: str, end: datetime, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": encounter_id,
        "status": "finished",
        "class": {"system": ACT, "code": "IMP"},
        "subject": {"reference": f"Patient/{patient}"},
        "period": {"start": (end - timedelta(days=3)).isoformat(), "end": end.isoformat()},
    } | more


@pytest.fixture
def store(ehr: Any, watch: Any) -> Any:
    """p1 left on Wednesday 25 Nov, the day before Thanksgiving; p2 a week before that."""
    ehr.put(
        {"resourceType": "Patient", "id": "p2", "name": [{"family": "Zweitfall"}], "birthDate": "1941-01-01"}
    )
    ehr.put(stay("earlier", "p2", datetime(2026, 11, 18, 16, tzinfo=UTC)))
    watch.look()
    return ehr


def rows(context: Any) -> dict[str, WorklistRow]:
    return {row.encounter_id: row for row in load_worklist(context).rows}


def form(row: WorklistRow, outcome: str = "voicemail", **more: str) -> ContactForm:
    fields = {"mode": "phone", "note": "", "form_id": row.form_id, "task_version": row.task_version}
    return ContactForm(task_id=row.task_id, outcome=outcome, **{**fields, **more})


def test_the_list_is_sorted_by_what_runs_out_next(desk: Any, store: Any) -> None:
    seen = load_worklist(desk.context())
    assert [row.encounter_id for row in seen.rows] == ["earlier", "stay"]
    late, open_row = seen.rows
    assert late.next_clock is not None
    assert open_row.next_clock is not None
    assert (late.next_clock.kind, late.next_clock.state) == ("contact", "late")
    assert late.next_step == "Call today: the contact is late"
    assert (open_row.next_clock.kind, open_row.next_clock.state) == ("service", "due-today")
    clocks = {clock.kind: clock for clock in open_row.clocks}
    assert clocks["contact"].due is not None
    assert clocks["contact"].due.isoformat() == "2026-11-30T23:59:59-05:00"
    assert (open_row.name, open_row.place, open_row.stay_days) == ("Testfall, Anna", "Mercy General", 5)
    assert [(tile.label, tile.count, tile.total) for tile in seen.tiles] == [
        ("Contact due today", 0, 2),
        ("Contact late", 1, 2),
        ("Contact made in time", 0, 1),
        ("Lists signed", 0, 2),
    ]


def test_looking_writes_nothing_and_looks_the_same_twice(desk: Any, store: Any, clock: Any) -> None:
    context = desk.context()
    store.requests.clear()
    first = load_worklist(context)
    clock.move(seconds=5)
    assert load_worklist(context).etag == first.etag
    assert {request.method for request in store.requests} == {"GET"}


def test_an_attempt_is_a_communication_and_keeps_the_outreach_open(desk: Any, store: Any, clock: Any) -> None:
    context = desk.context()
    before = load_worklist(context)
    assert log_contact(context, form(rows(context)["stay"], note="call at nine")) == ContactLogged(False)
    (sent,) = store.all("Communication")
    assert sent["topic"]["coding"][0]["code"] == "voicemail"
    assert sent["note"][0]["text"] == "call at nine"
    row = rows(context)["stay"]
    assert (row.task_status, row.owner, len(row.attempts)) == ("in-progress", "Nurse", 1)
    assert row.next_step == "Call again"
    assert row.clocks[1].state == "met"
    assert load_worklist(context).etag != before.etag


def test_two_attempts_in_good_faith_are_said(desk: Any, store: Any, clock: Any) -> None:
    context = desk.context()
    for _ in range(2):
        log_contact(context, form(rows(context)["stay"]))
        clock.move(hours=4)
    contact = rows(context)["stay"].clocks[0]
    assert (contact.words, contact.values) == ("%(count)s attempts documented; keep trying", {"count": "2"})


def test_a_contact_is_an_encounter_and_completes_the_outreach(desk: Any, store: Any) -> None:
    context = desk.context()
    logged = log_contact(context, form(rows(context)["stay"], "reached-patient", note="well"))
    assert logged == ContactLogged(True)
    (contact,) = [each for each in store.all("Encounter") if each["class"]["code"] == "VR"]
    assert contact["type"][0]["coding"][0]["code"] == "185317003"
    assert contact["participant"][0]["individual"]["reference"] == "Practitioner/nurse"
    assert contact["episodeOfCare"][0]["reference"].startswith("EpisodeOfCare/")
    row = rows(context)["stay"]
    assert row.task_status == "completed"
    assert row.clocks[0].state == "met"
    assert row.next_step == "Reconcile the medications"
    (task,) = [each for each in store.all("Task") if each["id"] == row.task_id]
    assert task["output"][0]["valueReference"]["reference"] == f"Encounter/{contact['id']}"
    assert [note["text"] for note in task["note"]][-1] == "well"


@pytest.mark.parametrize("outcome", ["voicemail", "reached-patient"])
def test_the_same_form_twice_writes_once(desk: Any, store: Any, outcome: str) -> None:
    context = desk.context()
    sent = form(rows(context)["stay"], outcome)
    log_contact(context, sent)
    count = len(store.all("Communication")) + len(store.all("Encounter"))
    assert log_contact(context, sent) == ContactLogged(outcome == "reached-patient", again=True)
    assert len(store.all("Communication")) + len(store.all("Encounter")) == count


def test_whoever_is_second_is_told(desk: Any, store: Any) -> None:
    nurse, pharmacist = desk.context(), desk.context("pharmacist", "pharmacist")
    mine, theirs = rows(nurse)["stay"], rows(pharmacist)["stay"]
    assert mine.form_id != theirs.form_id
    log_contact(nurse, form(mine))
    conflict = log_contact(pharmacist, form(theirs))
    assert isinstance(conflict, ContactConflict)
    assert conflict.by == "Nurse"
    assert len(store.all("Communication")) == 1


def test_a_closed_outreach_takes_no_more_contacts(desk: Any, store: Any) -> None:
    context = desk.context()
    log_contact(context, form(rows(context)["stay"], "reached-caregiver"))
    again = rows(context)["stay"]
    assert isinstance(log_contact(context, form(again)), ContactConflict)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"outcome": "nothing"}, "bad-request"),
        ({"mode": "pigeon"}, "bad-request"),
        ({"form_id": "../x"}, "bad-request"),
        ({"note": "x" * 2000}, "too-large"),
    ],
)
def test_a_form_that_is_none_of_ours_is_refused(
    desk: Any, store: Any, change: dict[str, str], kind: str
) -> None:
    context = desk.context()
    row = rows(context)["stay"]
    with pytest.raises(ProblemError) as raised:
        log_contact(context, form(row, **change) if "outcome" not in change else form(row, change["outcome"]))
    assert raised.value.problem.kind == kind
    assert store.all("Communication") == []


def test_a_person_without_a_clinical_role_logs_nothing(desk: Any, store: Any) -> None:
    context = desk.context("engineer", "")
    with pytest.raises(ProblemError) as raised:
        log_contact(context, form(rows(context)["stay"]))
    assert raised.value.problem.kind == "forbidden"


def test_an_unknown_row_is_not_found(desk: Any, store: Any) -> None:
    for task in ("nothing", "../Patient", ""):
        with pytest.raises(ProblemError) as raised:
            load_row(desk.context(), task)
        assert raised.value.problem.kind == "not-found"
    row = rows(desk.context())["stay"]
    assert load_row(desk.context(), row.task_id) == row


def test_a_visit_after_the_day_of_discharge_meets_its_clock(desk: Any, store: Any, clock: Any) -> None:
    visit = {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": ACT, "code": "AMB"},
        "subject": {"reference": "Patient/p1"},
    }
    store.put({**visit, "id": "same-day", "period": {"start": "2026-11-25T20:00:00-05:00"}})
    assert {c.kind: c.state for c in rows(desk.context())["stay"].clocks}["visit-7"] == "open"
    store.put({**visit, "id": "visit", "period": {"start": "2026-11-27T09:00:00-05:00"}})
    states = {c.kind: c.state for c in rows(desk.context())["stay"].clocks}
    assert (states["visit-7"], states["visit-14"]) == ("met", "met")
    assert {c.kind: c.state for c in rows(desk.context())["earlier"].clocks}["visit-7"] == "late"


def test_a_patient_who_died_is_not_to_be_called(desk: Any, store: Any) -> None:
    store.put({"resourceType": "Patient", "id": "p2", "deceasedDateTime": "2026-11-20T10:00:00Z"})
    row = rows(desk.context())["earlier"]
    assert (row.next_clock, row.clocks, row.next_step) == (None, (), "The patient has died")


def test_what_the_store_does_not_tell_is_said(desk: Any, store: Any) -> None:
    store.failing["List"] = 503
    seen = load_worklist(desk.context())
    assert len(seen.rows) == 2
    assert [notice.values["what"] for notice in seen.notices] == ["medication lists"]
    store.failing["Task"] = 503
    with pytest.raises(ProblemError) as raised:
        load_worklist(desk.context())
    assert raised.value.problem.kind == "store-unavailable"


def test_the_list_looks_back_thirty_days(desk: Any, store: Any, clock: Any) -> None:
    clock.move(days=22)
    assert set(rows(desk.context())) == {"stay"}
    clock.move(days=10)
    seen = load_worklist(desk.context())
    assert seen.rows == ()
    assert seen.days == 30


def test_a_foreign_chart_has_no_worklist(desk: Any, store: Any, issuers: Issuers) -> None:
    issuers.add(Issuer("https://ehr.example/r4", "app-there", "Mercy EHR"))
    with pytest.raises(ProblemError) as raised:
        load_worklist(desk.context())
    assert raised.value.problem.kind == "store-not-connected"
