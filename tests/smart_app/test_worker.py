"""The app's worker: finds finished stays in the store and opens each transition once.

Covers: domain 2.2 (eligible discharges), 4.3 (EpisodeOfCare, outreach Task), 4.5 (conditional create).
"""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest

from smart_app.fhir_client import Unavailable
from smart_app.joining import join_worker, outside
from smart_app.worker import CURSOR_FILE, Found, run

STAY = "urn:baton:transition"


def asked(ehr: Any) -> list[str]:
    return [str(r.url) for r in ehr.requests if "/Encounter?" in str(r.url)]


def test_a_discharge_opens_an_episode_and_an_outreach(watch: Any, ehr: Any) -> None:
    assert watch.look() == Found(seen=1, opened=1, refused=0)
    (episode,), (task,) = ehr.all("EpisodeOfCare"), ehr.all("Task")
    assert episode["identifier"] == [{"system": STAY, "value": "episode/stay"}]
    assert (episode["status"], episode["period"]) == ("active", {"start": "2026-11-25"})
    assert task["identifier"] == [{"system": STAY, "value": "outreach/stay"}]
    assert task["basedOn"] == [{"reference": f"EpisodeOfCare/{episode['id']}"}]
    assert task["for"] == {"reference": "Patient/p1"}
    assert task["encounter"] == {"reference": "Encounter/stay"}
    assert task["restriction"]["period"]["end"] == "2026-12-01T04:59:59.000Z"
    due = {row["type"]["coding"][0]["code"]: row["valueDateTime"] for row in task["input"]}
    assert due["service-due"] == "2026-11-27T19:00:00.000Z"


def test_looking_again_writes_nothing_more(watch: Any, ehr: Any, make_watch: Any) -> None:
    watch.look()
    watch.look()
    make_watch().look()
    assert (len(ehr.all("EpisodeOfCare")), len(ehr.all("Task"))) == (1, 1)
    assert len(ehr.store["Task/" + ehr.all("Task")[0]["id"]]) == 1


def test_an_outreach_that_was_completed_is_not_opened_again(watch: Any, ehr: Any, make_watch: Any) -> None:
    watch.look()
    ehr.put({**ehr.all("Task")[0], "status": "completed"})
    make_watch().look()
    assert [task["status"] for task in ehr.all("Task")] == ["completed"]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "in-progress"},
        {"class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "EMER"}},
        {"class": {"system": "urn:other", "code": "IMP"}},
        {"period": {"start": "2026-11-20"}},
        {"period": {"end": "2026-10-01T10:00:00Z"}},
        {"period": {"end": "2027-10-01T10:00:00Z"}},
        {"period": {"end": "not a date"}},
        {
            "hospitalization": {
                "dischargeDisposition": {
                    "coding": [
                        {"system": "http://terminology.hl7.org/CodeSystem/discharge-disposition", "code": "snf"}
                    ]
                }
            }
        },
        {
            "hospitalization": {
                "dischargeDisposition": {
                    "coding": [{"system": "https://www.nubc.org/CodeSystem/PatDischargeStatus", "code": "20"}]
                }
            }
        },
        {"subject": None},
    ],
)
def test_what_is_no_recent_discharge_to_the_community_opens_nothing(
    watch: Any, ehr: Any, change: dict[str, Any]
) -> None:
    ehr.put({**ehr.store["Encounter/stay"][-1], **change})
    assert watch.look().opened == 0
    assert ehr.all("Task") == []


def test_a_discharge_ahead_of_our_clock_is_opened_when_its_time_comes(
    watch: Any, ehr: Any, clock: Any, make_watch: Any
) -> None:
    ehr.put({**ehr.store["Encounter/stay"][-1], "period": {"end": "2026-11-27T18:00:00Z"}})
    assert watch.look().opened == 0
    clock.move(hours=2)
    ehr.put({**ehr.store["Encounter/stay"][-1], "id": "other"})
    assert watch.look().opened == 0
    clock.move(hours=2)
    assert make_watch().look().opened == 2


def test_the_cursor_survives_a_restart_and_overlaps(
    watch: Any, ehr: Any, make_watch: Any, settings: Any
) -> None:
    watch.look()
    assert "_lastUpdated" not in asked(ehr)[0]
    make_watch().look()
    assert "_lastUpdated=ge2026-11-27T14%3A50%3A00.000Z" in asked(ehr)[-1]
    (settings.home / CURSOR_FILE).write_bytes(b"{broken")
    make_watch().look()
    assert "_lastUpdated" not in asked(ehr)[-1]


def test_the_search_names_the_classes_and_the_days(watch: Any, ehr: Any) -> None:
    watch.look()
    (url,) = asked(ehr)
    assert "status=finished" in url
    assert "v3-ActCode%7CIMP" in url
    assert "date=ge2026-10-27" in url


def test_a_store_that_is_away_keeps_the_cursor(watch: Any, ehr: Any, settings: Any) -> None:
    ehr.failing["Encounter"] = 503
    with pytest.raises(Unavailable):
        watch.look()
    assert not (settings.home / CURSOR_FILE).exists()
    ehr.failing.clear()
    assert watch.look().opened == 1


def test_the_token_is_asked_for_once_and_again_before_it_ends(watch: Any, ehr: Any, clock: Any) -> None:
    ehr.token_life = 300
    watch.look()
    watch.look()
    (form,) = ehr.token_requests
    assert form["grant_type"] == "client_credentials"
    assert "system/Task.crus" in form["scope"].split()
    clock.move(minutes=4, seconds=40)
    watch.look()
    assert len(ehr.token_requests) == 2


def test_without_a_token_the_worker_waits(watch: Any, ehr: Any) -> None:
    ehr.token_status, ehr.token_error = 401, "invalid_client"
    with pytest.raises(Unavailable, match="invalid_client"):
        watch.look()


def test_the_worker_goes_on_after_a_failure_with_growing_pauses() -> None:
    class Pauses(Event):
        def __init__(self) -> None:
            super().__init__()
            self.taken: list[float | None] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.taken.append(timeout)
            if len(self.taken) == 6:
                self.set()
            return self.is_set()

    answers = iter([Unavailable("away")] * 4 + [Found(0, 0, 0)] * 2)

    def look() -> Found:
        answer = next(answers)
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    stop = Pauses()
    purged: list[int] = []
    run(look, lambda: purged.append(1) or 0, stop, poll=5)
    assert stop.taken == [10, 20, 40, 60, 5, 5]
    assert len(purged) == 6


def test_sessions_that_are_over_are_removed_and_revoked(
    browser: Any, ehr: Any, clock: Any, settings: Any, keys: Any, drugs: Any, issuers: Any, http: Any
) -> None:
    browser.launch()
    given = outside(settings, clock=clock, keys=keys, issuers=issuers, terminology=drugs, http=http)
    _, purge = join_worker(settings, given)
    assert purge() == 0
    clock.move(minutes=16)
    assert purge() == 1
    assert [r for r in ehr.requests if str(r.url).endswith("/revoke")]
    assert purge() == 0
