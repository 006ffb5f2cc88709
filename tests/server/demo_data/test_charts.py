"""Synthetic charts of the demonstration: cut at the newest adult discharge, moved by whole weeks to now.

Covers server/demo_data/charts.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from server.demo_data.charts import (
    as_of,
    bundles,
    demo_chart,
    newest_adult_discharge,
    shift,
    with_local_references,
)

NOW = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def charts() -> list[Any]:
    return [demo_chart(bundle, NOW) for bundle in bundles()]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_shipped_bundle_makes_a_chart(charts: list[Any]) -> None:
    assert len(charts) == 24
    assert sum(chart.discharge is not None for chart in charts) == 20


def test_discharges_lie_within_the_last_seven_days(charts: list[Any]) -> None:
    for chart in charts:
        if chart.discharge:
            age = NOW - datetime.fromisoformat(chart.discharge["period"]["end"])
            assert timedelta(0) <= age < timedelta(days=7)


def test_a_chart_with_a_discharge_is_of_a_living_adult(charts: list[Any]) -> None:
    for chart in charts:
        if chart.discharge:
            assert "deceasedDateTime" not in chart.patient
            born = date.fromisoformat(chart.patient["birthDate"])
            assert (NOW.date() - born).days > 18 * 365


def test_nothing_in_a_chart_refers_to_what_was_left_out(charts: list[Any]) -> None:
    for chart in charts:
        present = {f"{r['resourceType']}/{r['id']}" for r in chart.resources}
        for resource in chart.resources:
            for reference in references(resource):
                if re.fullmatch(r"[A-Z]\w+/[\w.-]+", reference):
                    assert reference in present, (resource["resourceType"], reference)
                assert not reference.startswith("urn:uuid:")


def test_record_numbers_are_short_and_no_two_patients_share_one(charts: list[Any]) -> None:
    numbers = [
        identifier["value"]
        for chart in charts
        for identifier in chart.patient["identifier"]
        if identifier.get("type", {}).get("text") == "Medical Record Number"
    ]
    assert len(set(numbers)) == 24
    assert all(re.fullmatch(r"\d{7}", number) for number in numbers)


def test_weekdays_and_times_of_day_stay() -> None:
    moved = shift({"period": {"start": "2013-05-31T16:34:40+00:00", "end": "2013-06-01"}}, timedelta(weeks=700))
    assert moved["period"]["start"].endswith("T16:34:40+00:00")
    before, after = date(2013, 5, 31), date.fromisoformat(moved["period"]["start"][:10])
    assert after.weekday() == before.weekday()
    assert (date.fromisoformat(moved["period"]["end"]) - after).days == 1


def test_only_whole_dates_move_not_text_that_mentions_them() -> None:
    said = {"text": "seen on 2013-05-31 by phone", "code": "2013-05", "value": "12345-6"}
    assert shift(said, timedelta(weeks=1)) == said


def test_what_came_after_the_stay_is_left_out_with_all_that_refers_to_it() -> None:
    def encounter(id: str, end: str) -> dict[str, Any]:
        return {
            "resourceType": "Encounter",
            "id": id,
            "status": "finished",
            "class": {"code": "IMP"},
            "period": {"start": end, "end": end},
        }

    patient = {
        "resourceType": "Patient",
        "id": "p",
        "birthDate": "1950-01-01",
        "deceasedDateTime": "2011-01-01",
    }
    stay, later = encounter("stay", "2010-01-01T00:00:00Z"), encounter("later", "2010-06-01T00:00:00Z")
    later["class"]["code"] = "AMB"
    report = {"resourceType": "DiagnosticReport", "id": "r", "encounter": {"reference": "Encounter/later"}}
    media = {"resourceType": "Media", "id": "m", "partOf": [{"reference": "DiagnosticReport/r"}]}
    chart = [patient, stay, later, report, media]
    assert newest_adult_discharge(chart) is stay
    kept = as_of(chart, stay)
    assert [r["id"] for r in kept] == ["p", "stay"]
    assert "deceasedDateTime" not in kept[0]


def test_urn_references_become_local_ones() -> None:
    bundle = {
        "entry": [
            {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "1"}},
            {
                "fullUrl": "urn:uuid:2",
                "resource": {"resourceType": "Goal", "id": "2", "subject": {"reference": "urn:uuid:1"}},
            },
        ]
    }
    assert with_local_references(bundle)[1]["subject"] == {"reference": "Patient/1"}
