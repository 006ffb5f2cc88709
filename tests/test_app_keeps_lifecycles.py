"""What the app writes is what the server's lifecycles allow; neither of the two imports the other.

Covers: outreach Tasks (server/policy/lifecycles/task-outreach.json) and the Tasks that ask about a medication.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from server.policy.if_match_required import if_match_required
from server.policy.lifecycle import judge, machine_of
from smart_app.reconciliation.follow_up import CLARIFY
from smart_app.transitions import contact
from smart_app.transitions.outreach import OUTREACH
from terminology.systems import BATON

NOW = datetime(2026, 11, 27, 15, 0, tzinfo=UTC)


def task(code: str, status: str) -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "id": "t1",
        "meta": {"versionId": "3"},
        "status": status,
        "code": {"coding": [{"system": BATON, "code": code}]},
        "for": {"reference": "Patient/p1"},
    }


@pytest.mark.parametrize("status", sorted(contact.OPEN_STATUS))
@pytest.mark.parametrize("outcome", contact.outcomes(), ids=lambda outcome: outcome.code)
def test_logging_a_contact_moves_an_open_outreach_legally(status: str, outcome: contact.Outcome) -> None:
    before = task(OUTREACH, status)
    caller, mode = contact.Caller("Practitioner/rn", "A nurse"), contact.modes()[0]
    bundle = contact.contact_bundle(before, caller, outcome, mode, note="said", form_id="form", now=NOW)
    (entry,) = [entry for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Task"]
    machine = machine_of(before)
    assert machine is not None
    assert machine.id == "task-outreach"
    assert judge(before, entry["resource"], lambda reference: False) == ()
    assert "Task" in if_match_required()
    assert entry["request"]["ifMatch"] == 'W/"3"'


def test_an_outreach_that_is_closed_stays_closed_for_both() -> None:
    machine = machine_of(task(OUTREACH, "requested"))
    assert machine is not None
    for status in set(machine.moves) - contact.OPEN_STATUS - {"draft"}:
        assert set(machine.moves[status]) <= {"entered-in-error"}


def test_a_question_about_a_medication_is_one_for_the_server_too() -> None:
    machine = machine_of(task(CLARIFY, "requested"))
    assert machine is not None
    assert machine.id == "task-clarify"
