"""Emergency accesses as supervisors see them: the notice, what was looked at, the review.

Covers server/emergencies.py, server/console/emergency_views.py, server/workers/emergency_notices.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.api.scope_words import scope_sentences
from server.app import make_context
from server.auth.context import AuthContext
from server.console.views import blueprint
from server.emergencies import announce, conclude, state_of
from server.fhir.validation import validate
from server.hl7v2.current_maps import CurrentMaps, overlays_of
from server.settings import Settings
from server.storage.audit_values import AuditRow
from server.storage.emergency_access import EmergencyAccess, EmergencyAccesses
from server.workers.emergency_notices import EmergencyNotices

BASE = "http://127.0.0.1:8000"


@pytest.fixture
def kept(store: Any, clock: Any) -> Any:
    """Three accesses of one chart: one that ended, one that is open, one that waits for too long."""
    accesses: EmergencyAccesses = store.emergency_access
    for username, began, ends in (("rn", -120, -60), ("supervisor", -5, 55), ("rn", -7200, -5760)):
        opened, until = (clock() + timedelta(minutes=minutes) for minutes in (began, ends))
        open_one(accesses, username, opened, until)
    return accesses


def open_one(accesses: EmergencyAccesses, username: str, opened: datetime, until: datetime) -> EmergencyAccess:
    who, why = f"Practitioner/demo-{username}", "unconscious at the door"
    return accesses.open(username, who, "one", "ETREAT", why, opened=opened, until=until)


@pytest.fixture
def context(settings: Settings, store: Any, clock: Any) -> Any:
    return make_context(settings, store, clock=clock)


@pytest.fixture
def demo_app(
    settings: Settings,
    store: Any,
    clock: Any,
    context: Any,
    authorization: AuthContext,
    kept: Any,
) -> Flask:
    """A server with the console alone, and these accesses."""
    app = Flask("server")
    pages = blueprint(
        context,
        authorization,
        login_url="/oauth2/login",
        demo=False,
        scope_words=scope_sentences,
        emergencies=kept,
        maps=CurrentMaps(overlays_of(settings.home), lambda name, error: pytest.fail(f"{name}: {error}")),
    )
    app.register_blueprint(pages)
    return app


def csrf(page: str) -> str:
    return page.partition('name="csrf_token" value="')[2].partition('"')[0]


def test_the_list_tells_open_overdue_and_due_ones_apart(
    sign_in: Callable[[str], FlaskClient], kept: Any
) -> None:
    page = sign_in("supervisor").get("/console/emergencies", base_url=BASE)
    assert page.status_code == 200
    assert "3 to review" in page.text
    assert page.text.count("<b>overdue</b>") == 1
    assert page.text.count("open until") == 1
    assert 'aria-current="page">Emergency accesses' in page.text


def test_what_was_done_in_the_chart_meanwhile_is_shown(
    sign_in: Callable[[str], FlaskClient], kept: Any, store: Any, seal_trail: Callable[[], None]
) -> None:
    access = kept.one(1)
    row = AuditRow(
        access.opened, access.actor, "app", "read", "Observation", "o-1", 1, "one", 200, "r", purpose="BTG"
    )
    with store.writing() as writer:
        writer.audit(row)
        writer.audit(replace(row, id="o-2", recorded=access.opened + timedelta(minutes=30), outcome=404))
        writer.audit(replace(row, id="late", recorded=access.until))
        writer.audit(replace(row, id="early", recorded=access.opened - timedelta(milliseconds=1)))
        writer.audit(replace(row, id="other", principal="Practitioner/other"))
        writer.audit(replace(row, id="two", patient="two"))
    seal_trail()
    page = sign_in("supervisor").get("/console/emergencies/1", base_url=BASE).text
    assert "2 events in the chart while it was open" in page
    assert page.index("Observation/o-1") < page.index("Observation/o-2")
    assert "unconscious at the door" in page
    for hidden in ("late", "early", "other", "/two"):
        assert f"Observation/{hidden}" not in page


def test_a_supervisor_reviews_and_the_task_is_completed(
    sign_in: Callable[[str], FlaskClient],
    kept: Any,
    store: Any,
    context: Any,
    fhir: Any,
    clock: Any,
) -> None:
    assert announce(context, kept.one(1))
    browser = sign_in("supervisor")
    token = csrf(browser.get("/console/emergencies/1", base_url=BASE).text)
    answer = browser.post(
        "/console/emergencies/1",
        data={"csrf_token": token, "finding": "Justified:  seen in the ED."},
        base_url=BASE,
    )
    assert answer.status_code == 303
    row = kept.one(1)
    assert (row.reviewed_by, row.finding) == ("supervisor", "Justified: seen in the ED.")
    assert abs(row.reviewed - clock()) < timedelta(milliseconds=1)  # which are what is stored
    assert fhir.get("Task/emergency-access-1").json["status"] == "completed"
    (noted,) = [row for row in store.audit_rows(limit=20) if row.interaction == "emergency-review"]
    assert (noted.username, noted.patient, noted.detail) == ("supervisor", "one", "access 1")
    again = browser.post(
        "/console/emergencies/1", data={"csrf_token": token, "finding": "again"}, base_url=BASE
    )
    assert again.status_code == 409
    listed = browser.get("/console/emergencies", base_url=BASE).text
    assert "1 reviewed" in listed
    assert "by supervisor" in listed


@pytest.mark.parametrize("number", ["0", "99", "-1", "x", "9" * 30, "9" * 5_000, "\u0661"])
def test_what_is_no_number_of_an_access_is_not_found(
    sign_in: Callable[[str], FlaskClient], number: str
) -> None:
    assert sign_in("supervisor").get(f"/console/emergencies/{number}", base_url=BASE).status_code == 404


@pytest.mark.parametrize(
    ("role", "number", "finding", "status"),
    [
        ("supervisor", 2, "my own", 403),
        ("engineer", 1, "not my task", 403),
        ("rn", 1, "not mine to see", 403),
        ("supervisor", 1, "", 400),
        ("supervisor", 1, "x" * 1_001, 400),
        ("supervisor", 99, "no such", 404),
    ],
)
def test_who_may_not_review_and_what_says_nothing_is_refused(
    sign_in: Callable[[str], FlaskClient],
    kept: Any,
    role: str,
    number: int,
    finding: str,
    status: int,
) -> None:
    browser = sign_in(role)
    if role == "rn":
        assert browser.get("/console/emergencies", base_url=BASE).status_code == 403
        return
    token = csrf(browser.get("/console/emergencies", base_url=BASE).text)
    data = {"csrf_token": token, "finding": finding}
    answer = browser.post(f"/console/emergencies/{number}", data=data, base_url=BASE)
    assert answer.status_code == status
    assert all(row.reviewed is None for row in kept.list())


def test_a_form_of_another_site_reviews_nothing(sign_in: Callable[[str], FlaskClient], kept: Any) -> None:
    answer = sign_in("supervisor").post("/console/emergencies/1", data={"finding": "forged"}, base_url=BASE)
    assert answer.status_code == 403
    assert kept.one(1).reviewed is None


def test_each_access_is_announced_once_by_a_task_that_names_no_patient(
    context: Any, kept: Any, fhir: Any, store: Any
) -> None:
    notices = EmergencyNotices(context, kept)
    assert notices.run() == 3
    assert notices.run() == 0
    assert EmergencyNotices(context, kept).run() == 0  # a worker that was started again
    task = fhir.get("Task/emergency-access-1").json
    assert (task["status"], task["priority"], task["requester"]) == (
        "requested", "urgent", {"reference": "Practitioner/demo-rn"},
    )  # fmt: skip
    assert task["meta"]["versionId"] == "1"
    assert "Patient" not in str(task)
    assert "unconscious" not in str(task)
    assert [issue for issue in validate(task) if issue.severity == "error"] == []
    open_one(kept, "rn", kept.one(1).opened, kept.one(1).until)
    assert notices.run() == 1


def test_a_task_that_somebody_ended_is_left_alone(context: Any, kept: Any, fhir: Any) -> None:
    announce(context, kept.one(1))
    task = fhir.get("Task/emergency-access-1").json
    fhir.put("Task/emergency-access-1", {**task, "status": "cancelled"}, If_Match='W/"1"')
    conclude(context, kept.one(1))
    assert fhir.get("Task/emergency-access-1").json["status"] == "cancelled"
    conclude(context, kept.one(2))  # never announced


def test_an_access_ends_by_itself_or_before(clock: Any, kept: Any) -> None:
    access = kept.one(2)
    assert state_of(access, clock()).is_open
    assert not state_of(replace(access, ended=clock()), clock()).is_open
    assert not state_of(access, access.until).is_open
    assert state_of(kept.one(3), clock()).is_overdue
    assert not state_of(replace(kept.one(3), reviewed=clock()), clock()).is_overdue
