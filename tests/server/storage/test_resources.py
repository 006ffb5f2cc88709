"""Versions, deletions and histories as the store keeps them.

Covers hl7.org/fhir/R4/http.html#read, #vread, #delete, #history as far as they are the store's.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.hashing import reference_hash
from server.fhir.index_values import index_values
from server.fhir.search_query import TokenValue
from server.fhir.visibility import EVERYTHING, NOTHING, Rule, Visibility
from server.storage.answers import HistoryPage
from server.storage.dialect import SQLITE
from server.storage.index_tables import TABLES
from server.storage.versions import VersionConflict

PATIENT = {"resourceType": "Patient", "id": "a", "name": [{"family": "Lovelace", "given": ["Ada"]}]}
OBSERVATION = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
    "subject": {"reference": "Patient/a"},
    "effectiveDateTime": "2026-02-03",
    "valueQuantity": {"value": 72, "system": "http://unitsofmeasure.org", "code": "/min"},
}
OF_A = Visibility({"*": (Rule(patients=frozenset({"a"})),)})
OF_B = Visibility({"*": (Rule(patients=frozenset({"b"})),)})


def history(chart: Any, *where: str | None, visible: Visibility = EVERYTHING, **more: Any) -> HistoryPage:
    resource_type, id = (*where, None, None)[:2]
    arguments = {"since": None, "at": None, "count": 100, "after": None, **more}
    page: HistoryPage = chart.reading(lambda r: r.history(resource_type, id, visible, **arguments))
    return page


def test_a_version_reads_back_byte_for_byte(chart: Any) -> None:
    chart.put(PATIENT)
    read = chart.reading(lambda r: r.read("Patient", "a", EVERYTHING))
    assert json.loads(read.body)["name"] == PATIENT["name"]
    assert (read.version_id, read.method, read.deleted, read.last_updated) == (1, "PUT", False, chart.now)
    assert chart.reading(lambda r: r.vread("Patient", "a", 1, EVERYTHING)) == read


def test_what_is_absent_or_hidden_is_none(chart: Any) -> None:
    chart.put(PATIENT)
    for resource_type, id, visible in (
        ("Patient", "b", EVERYTHING),
        ("Group", "a", EVERYTHING),
        ("Patient", "a", NOTHING),
        ("Patient", "a", OF_B),
    ):
        assert chart.reading(lambda r, t=resource_type, i=id, v=visible: r.read(t, i, v)) is None
        assert chart.reading(lambda r, t=resource_type, i=id, v=visible: r.vread(t, i, 1, v)) is None
    assert chart.reading(lambda r: r.vread("Patient", "a", 2, EVERYTHING)) is None
    assert chart.reading(lambda r: r.vread("Patient", "a", 10**40, EVERYTHING)) is None


def test_old_versions_stay_readable(chart: Any) -> None:
    chart.put(PATIENT)
    chart.put({**PATIENT, "gender": "female"})
    first, second = (
        chart.reading(lambda r, n=number: r.vread("Patient", "a", n, EVERYTHING)) for number in (1, 2)
    )
    assert "gender" not in json.loads(first.body)
    assert json.loads(second.body)["gender"] == "female"


@pytest.mark.parametrize("expected", [0, 2, 3])
def test_a_write_over_another_version_conflicts_and_changes_nothing(chart: Any, expected: int) -> None:
    chart.put(PATIENT)
    with pytest.raises(VersionConflict):
        chart.write(chart.version(OBSERVATION, 0, chart.now), chart.version(PATIENT, expected, chart.now))
    assert chart.reading(lambda r: r.read("Observation", "o", EVERYTHING)) is None
    assert history(chart).total == 1


@pytest.mark.parametrize("expected", [2, 3])
def test_whoever_handles_a_conflict_can_write_meanwhile(chart: Any, expected: int) -> None:
    chart.put(PATIENT)
    try:
        chart.write(chart.version(PATIENT, expected, chart.now))
    except VersionConflict:  # whose traceback still holds what was being done
        thread = threading.Thread(target=lambda: chart.put({**PATIENT, "gender": "female"}))
        thread.start()
        thread.join(30)
        chart.put(OBSERVATION)
    assert history(chart).total == 3


def test_a_create_that_expects_a_version_conflicts(chart: Any) -> None:
    with pytest.raises(VersionConflict):
        chart.write(chart.version(PATIENT, 1, chart.now))


def test_a_deletion_is_a_version_and_leaves_no_index_rows(chart: Any) -> None:
    chart.put(PATIENT, OBSERVATION)
    chart.delete("Observation", "o")
    deleted = chart.reading(lambda r: r.read("Observation", "o", EVERYTHING))
    assert (deleted.deleted, deleted.version_id, deleted.body, deleted.method) == (True, 2, b"", "DELETE")
    before = chart.reading(lambda r: r.vread("Observation", "o", 1, EVERYTHING))
    assert json.loads(before.body)["status"] == "final"
    assert [v.deleted for v in history(chart, "Observation", "o").versions] == [True, False]
    with chart.store.database.reading() as connection:
        (rid,) = connection.execute("SELECT rid FROM resource WHERE id = 'o'").fetchone()
        for table in ("token", *(table.name for table in TABLES)):
            sql = f"SELECT count(*) FROM {table} WHERE rid = :rid"
            assert connection.execute(sql, {"rid": rid}).fetchone() == (0,), table


def test_a_deletion_is_shown_only_to_who_saw_the_resource(chart: Any) -> None:
    chart.put(PATIENT, OBSERVATION)
    chart.delete("Observation", "o")
    assert chart.reading(lambda r: r.read("Observation", "o", OF_A)).deleted
    assert chart.reading(lambda r: r.read("Observation", "o", OF_B)) is None


def test_a_deleted_resource_can_be_written_again(chart: Any) -> None:
    chart.put(PATIENT)
    chart.delete("Patient", "a")
    chart.put(PATIENT)
    read = chart.reading(lambda r: r.read("Patient", "a", EVERYTHING))
    assert (read.version_id, read.deleted) == (3, False)
    assert [v.method for v in history(chart, "Patient", "a").versions] == ["PUT", "DELETE", "PUT"]


def test_versions_from_another_chart_stay_hidden_after_a_move(chart: Any) -> None:
    """The first version belongs to a's chart; moving the resource to b's must not carry it along."""
    chart.put(PATIENT, {**PATIENT, "id": "b"}, OBSERVATION)
    chart.put({**OBSERVATION, "subject": {"reference": "Patient/b"}})
    assert chart.reading(lambda r: r.vread("Observation", "o", 1, OF_B)) is None
    assert chart.reading(lambda r: r.vread("Observation", "o", 2, OF_B)).version_id == 2
    assert chart.reading(lambda r: r.vread("Observation", "o", 2, OF_A)) is None
    assert [v.version_id for v in history(chart, "Observation", "o", visible=OF_B).versions] == [2]
    assert history(chart, "Observation", "o", visible=OF_A).versions == ()


def test_a_rule_with_criteria_shows_only_the_version_it_can_be_judged_on(chart: Any) -> None:
    final = chart.clause("Observation", "status", TokenValue(None, "final"))
    visible = Visibility({"Observation": (Rule(patients=frozenset({"a"}), criteria=(final,)),)})
    chart.put({**OBSERVATION, "status": "preliminary"})
    assert chart.reading(lambda r: r.read("Observation", "o", visible)) is None
    chart.put(OBSERVATION)
    assert chart.reading(lambda r: r.read("Observation", "o", visible)).version_id == 2
    assert chart.reading(lambda r: r.vread("Observation", "o", 1, visible)) is None
    assert [v.version_id for v in history(chart, "Observation", visible=visible).versions] == [2]
    chart.delete("Observation", "o")
    assert chart.reading(lambda r: r.read("Observation", "o", visible)) is None


def test_histories_are_newest_first_and_page_without_gap_or_repetition(chart: Any) -> None:
    for number in range(5):
        chart.put({**PATIENT, "active": bool(number % 2)}, {**OBSERVATION, "id": f"o{number}"})
    for where in ((), ("Patient",), ("Observation",), ("Patient", "a")):
        whole = history(chart, *where)
        assert whole.total == len(whole.versions) > 0
        times = [version.last_updated for version in whole.versions]
        assert times == sorted(times, reverse=True)
        pages, after = [], None
        while True:
            page = history(chart, *where, count=2, after=after)
            assert page.total == whole.total
            pages += page.versions
            after = page.next_after
            if after is None:
                break
        assert tuple(pages) == whole.versions


def test_since_and_at_cut_a_history_by_time(chart: Any) -> None:
    chart.put(PATIENT)
    first = chart.now
    chart.put({**PATIENT, "gender": "female"})
    second = chart.now
    chart.delete("Patient", "a")

    def numbers(**more: Any) -> list[int]:
        return [version.version_id for version in history(chart, "Patient", "a", **more).versions]

    assert numbers(since=second) == [3, 2]
    instant = timedelta(milliseconds=500)
    assert numbers(at=(first - instant, first - instant)) == []
    assert numbers(at=(first, first)) == [1]
    assert numbers(at=(first + instant, second)) == [2, 1]
    assert numbers(at=(second + instant, second + instant)) == [2]


def test_after_any_update_the_index_is_that_of_the_new_content(chart: Any) -> None:
    """Only the difference is written; the result must not show it."""
    other = {
        **OBSERVATION,
        "status": "amended",
        "subject": {"reference": "Patient/b"},
        "performer": [{"reference": "Practitioner/x"}],
        "note": [{"text": "again"}],
    }
    del other["valueQuantity"]
    for content in (OBSERVATION, other, OBSERVATION, {**other, "id": "o", "effectiveDateTime": "2025"}):
        chart.put(content)
        stored = json.loads(chart.reading(lambda r: r.read("Observation", "o", EVERYTHING)).body)
        _check_index(chart, stored)


def _check_index(chart: Any, resource: dict[str, Any]) -> None:
    index = index_values(resource)
    with chart.store.database.reading() as connection:
        rid, tokens, patient, main_date = connection.execute(
            "SELECT rid, tokens, patient, main_date FROM resource WHERE self_hash = :self",
            {"self": reference_hash(f"{resource['resourceType']}/{resource['id']}")},
        ).fetchone()
        rows = connection.execute("SELECT hash FROM token WHERE rid = :rid", {"rid": rid}).fetchall()
        assert {row[0] for row in rows} == index.tokens == SQLITE.unpack(tokens)
        for table in TABLES:
            columns = ", ".join(table.columns)
            stored = connection.execute(
                f"SELECT {columns} FROM {table.name} WHERE rid = :rid", {"rid": rid}
            ).fetchall()
            assert sorted(stored) == sorted(table.rows(index)), table.name
        sql = "SELECT patient FROM compartment WHERE rid = :rid"
        compartments = connection.execute(sql, {"rid": rid}).fetchall()
        expected = {reference_hash(f"Patient/{id}") for id in index.compartments}
        assert {row[0] for row in compartments} == expected
        assert patient == (reference_hash(f"Patient/{index.patient}") if index.patient else None)
        assert main_date == index.main_date


def test_a_resource_whose_identity_hash_is_taken_is_refused(
    chart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has such a pair of ids; the store must still not confuse them."""
    chart.put(PATIENT)
    taken = reference_hash("Patient/a")
    monkeypatch.setattr("server.storage.resources.reference_hash", lambda text: taken)
    assert chart.reading(lambda r: r.read("Patient", "b", EVERYTHING)) is None
    with pytest.raises(FhirError) as refused:
        chart.write(replace(chart.version(PATIENT, 0, chart.now), id="b"))
    assert refused.value.status == 409


def test_audit_and_outbox_rows_share_the_fate_of_the_write(chart: Any) -> None:
    chart.put(PATIENT)
    with pytest.raises(ZeroDivisionError):
        chart.write(chart.version(OBSERVATION, 0, chart.now), then=ZeroDivisionError())
    assert chart.store.outbox.waiting() == {"new": 1}


def test_a_failed_part_of_a_transaction_leaves_the_rest(chart: Any) -> None:
    with chart.store.writing() as writer:
        writer.put(chart.version(PATIENT, 0, chart.now))
        with pytest.raises(VersionConflict):
            chart.write(*[chart.version(OBSERVATION, 0, chart.now)] * 2)
        assert writer.read("Observation", "o", EVERYTHING) is None
        with chart.store.reading() as reader:  # sees what its own transaction wrote
            assert reader.read("Patient", "a", EVERYTHING) is not None
    assert history(chart).total == 1


@pytest.mark.sqlite("a file of ours")
def test_the_file_is_sound(chart: Any) -> None:
    chart.put(PATIENT, OBSERVATION)
    connection = sqlite3.connect(chart.store.database.path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert chart.store.database.path.stat().st_mode & 0o077 == 0
    connection.close()
