"""The demonstration's visiting nurse is related to some patients, and not to all.

Covers server/demo_data/home_health.py, server/demo_data/fill.py (told).
"""

from __future__ import annotations

from datetime import UTC, datetime

from server.demo_accounts import _PEOPLE
from server.demo_data.charts import bundles, demo_chart
from server.demo_data.fill import told
from server.fhir.hashing import reference_hash
from server.fhir.index_values import index_values
from server.fhir.validation import validate
from server.policy.roles import role

NOW = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)


def test_some_of_those_who_came_from_hospital_are_visited_and_some_are_not() -> None:
    visited = unvisited = 0
    for bundle in bundles():
        chart = demo_chart(bundle, NOW)
        teams = [r for r in told(chart, NOW, ()) if r["id"].startswith("home-health-")]
        for team in teams:
            assert validate(team) == ()
            relations = index_values(team).relations
            assert relations is not None
            assert [row.patient for row in relations.relationships] == [
                reference_hash(f"Patient/{chart.patient['id']}")
            ]
        visited += bool(teams)
        unvisited += not teams
        assert chart.discharge is not None or not teams
    assert visited >= 3
    assert unvisited >= 3


def test_the_nurse_who_visits_is_one_of_the_logins_and_reaches_related_charts() -> None:
    (nurse,) = [person for person in _PEOPLE if person.practitioner_id == "demo-visiting"]
    assert role(nurse.role).reach == "related"
    assert role(nurse.role).emergency_minutes > 0
