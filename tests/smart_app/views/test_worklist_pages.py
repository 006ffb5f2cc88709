"""The worklist: what breaks first, logging a call with one press, opening a discharge (domain 2.1, 2.2)."""

from __future__ import annotations

import re
from typing import Any

TASK = "task-stay-1"


def fields(pages: Any, **given: str) -> dict[str, str]:
    html = pages.get(f"/worklist/{TASK}/contact").text
    found = dict(re.findall(r'name="(task_version|form_id)" value="([^"]+)"', html))
    return {"mode": "phone", "outcome": "no-answer", "note": "", **found, **given}


def test_the_clock_that_runs_out_next_is_on_top(pages: Any) -> None:
    html = pages.get("/worklist").text
    assert re.findall(r'class="pt">([^<]+)<', html) == [
        "Synthetic, Alan",
        "Synthetic, Thanh",
        "Synthetic, James",
        "Synthetic, Rosa",
    ]
    assert "Contact due, Mon 30 Nov" in html  # Thanksgiving lies between


def test_a_view_that_is_current_is_not_sent_again(pages: Any) -> None:
    first = pages.get("/worklist")
    again = pages.get("/worklist", **{"If-None-Match": first.headers["ETag"], "X-Baton-Poll": "1"})
    assert again.status_code == 304
    pages.post(f"/worklist/{TASK}/contact", fields(pages))
    later = pages.get("/worklist", **{"If-None-Match": first.headers["ETag"]})
    assert later.status_code == 200


def test_looking_writes_nothing(pages: Any) -> None:
    before = {name: len(history) for name, history in pages.fhir.versions.items()}
    pages.get("/worklist")
    pages.get(f"/worklist/{TASK}/contact")
    assert {name: len(history) for name, history in pages.fhir.versions.items()} == before


def test_a_failed_attempt_is_logged_once_however_often_it_is_sent(pages: Any) -> None:
    form = fields(pages, note="Mailbox full")
    for _ in range(2):
        assert pages.post(f"/worklist/{TASK}/contact", form).status_code == 303
    assert len(pages.fhir.current("Communication")) == 1
    assert "1 attempt, 14:02" in pages.get("/worklist").text


def test_a_contact_closes_the_call(pages: Any) -> None:
    answer = pages.post(
        f"/worklist/{TASK}/contact", fields(pages, outcome="reached-patient"), **{"HX-Request": "true"}
    )
    assert answer.status_code == 200
    assert 'id="worklist"' in answer.text
    assert "contact made" in answer.text
    assert f'id="log-{TASK}"' not in answer.text


def test_somebody_elses_call_in_between_is_a_conflict(pages: Any) -> None:
    mine = fields(pages)
    pages.post(f"/worklist/{TASK}/contact", fields(pages, outcome="voicemail", form_id="another-form"))
    answer = pages.post(f"/worklist/{TASK}/contact", mine | {"note": "Will call back"})
    assert answer.status_code == 409
    assert "Not logged" in answer.text
    assert "Will call back" in answer.text
    assert len(pages.fhir.current("Communication")) == 1


def test_a_choice_that_does_not_exist_is_refused(pages: Any) -> None:
    assert pages.post(f"/worklist/{TASK}/contact", fields(pages, outcome="telepathy")).status_code == 400
    assert pages.post("/worklist/nothing/contact", fields(pages)).status_code == 404
    assert pages.get("/worklist/nothing/contact").status_code == 404


def test_a_person_without_a_clinical_role_sees_no_way_to_log(pages: Any) -> None:
    pages.open(user="assistant", role="", name="Kim Day")
    assert "Log a call" not in pages.get("/worklist").text


def test_opening_a_discharge_makes_a_context_of_its_own(pages: Any) -> None:
    answer = pages.post("/open", {"patient": "synthetic-2", "encounter": "stay-of-synthetic-2"})
    assert answer.status_code == 303
    location = answer.headers["Location"]
    assert location.endswith("/reconciliation")
    assert pages.launch not in location
    assert "synthetic-2" not in location


def test_no_recent_discharge_is_said_plainly(pages: Any) -> None:
    for each in pages.fhir.current("Task"):
        del pages.fhir.versions[f"Task/{each['id']}"]
    assert re.search(r"No discharges in the last \d+ days", pages.get("/worklist").text)


def test_a_store_that_is_away_is_a_problem_page(pages: Any) -> None:
    pages.fhir.failing = {"Task"}
    answer = pages.get("/worklist")
    assert answer.status_code == 503
    assert "The store does not answer" in answer.text
