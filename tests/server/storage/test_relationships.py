"""Relationships as rows: written with their resource, as a difference, and read by every row source.

Covers server/storage/index_tables.py (relations), relationship_sql.py, relationships.py, visibility_sql.py
(limits), reindex.py (relations).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.dates import microseconds
from server.fhir.hashing import reference_hash
from server.fhir.search_query import SearchQuery
from server.fhir.visibility import Limit, Rule, Visibility
from server.interactions.reindex import index_again
from server.storage import reindex
from server.storage.database_store import DatabaseStore

Json = dict[str, Any]
AGAIN = partial(index_again, base_url="", time_zone="UTC")
NURSE = "Practitioner/nurse"
OWN, HOUSE = Limit(), Limit(organizations=True)


def team(id: str, *members: str, patient: str = "", **more: Any) -> Json:
    made: Json = {
        "resourceType": "CareTeam",
        "id": id,
        "status": "active",
        "participant": [{"member": {"reference": member}} for member in members],
    }
    return made | ({"subject": {"reference": f"Patient/{patient}"}} if patient else {}) | more


def role(id: str, organization: str = "", **more: Any) -> Json:
    made: Json = {"resourceType": "PractitionerRole", "id": id, "practitioner": {"reference": NURSE}}
    return made | ({"organization": {"reference": organization}} if organization else {}) | more


def observation(id: str, patient: str) -> Json:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{patient}"},
    }


def seen_by(*limits: Limit, at: int | None = 1_000, caller: str | None = NURSE, **more: Any) -> Visibility:
    rule = Rule(limits=limits or (OWN,), **more)
    return Visibility(
        {"Observation": (rule,), "Patient": (rule,)}, None if caller is None else reference_hash(caller), at
    )


@pytest.fixture
def charts(chart: Any) -> Any:
    """Patients a, b and c with an Observation each."""
    for id in "abc":
        chart.put({"resourceType": "Patient", "id": id}, observation(f"o-{id}", id))
    return chart


def found(chart: Any, visible: Visibility) -> list[str]:
    return sorted(chart.found(SearchQuery("Observation"), visible))


def table(store: DatabaseStore, name: str) -> set[Any]:
    with store.database.reading() as connection:
        return {tuple(row) for row in connection.execute(f"SELECT * FROM {name}").fetchall()}


def test_who_is_related_finds_the_chart_and_nobody_else(charts: Any) -> None:
    charts.put(team("t", NURSE, patient="a"), team("u", "Practitioner/other", patient="b"))
    assert found(charts, seen_by()) == ["o-a"]
    assert found(charts, seen_by(caller="Practitioner/other")) == ["o-b"]
    assert found(charts, seen_by(caller="Practitioner/nobody")) == []


def test_without_a_caller_or_a_moment_nothing_is_shown(charts: Any) -> None:
    charts.put(team("t", NURSE, patient="a"))
    assert found(charts, seen_by(caller=None)) == []
    assert found(charts, seen_by(at=None)) == []


def test_rows_follow_every_version_and_go_with_the_resource(charts: Any, store: DatabaseStore) -> None:
    charts.put(team("t", NURSE, "Practitioner/other", patient="a"))
    before = table(store, "relationship")
    charts.put(team("t", NURSE, "Practitioner/third", patient="a"))
    after = table(store, "relationship")
    assert len(before) == len(after) == 2
    assert len(before & after) == 1
    charts.put(team("t", NURSE, patient="b"))
    assert found(charts, seen_by()) == ["o-b"]
    charts.put(team("t", NURSE))
    assert table(store, "relationship") == set()
    assert len(table(store, "membership")) == 1
    charts.delete("CareTeam", "t")
    assert table(store, "membership") == set()
    charts.put(team("t", NURSE, patient="c"))
    assert found(charts, seen_by()) == ["o-c"]


def test_a_transaction_that_fails_leaves_no_rows(charts: Any, store: DatabaseStore) -> None:
    with pytest.raises(RuntimeError):
        charts.write(charts.version(team("t", NURSE, patient="a"), 0, charts.now), then=RuntimeError())
    assert table(store, "relationship") == set()


def test_the_clock_begins_and_ends_it(charts: Any) -> None:
    charts.put(team("t", NURSE, patient="a", period={"start": "2026-01-01", "end": "2026-01-31"}))
    first, behind = (microseconds(datetime(2026, month, 1, tzinfo=UTC)) for month in (1, 2))
    shown = {at: found(charts, seen_by(at=at)) for at in (first - 1, first, behind - 1, behind)}
    assert list(shown.values()) == [[], ["o-a"], ["o-a"], []]


def test_roles_and_standing_teams_count_as_the_person_and_organizations_where_they_may(charts: Any) -> None:
    charts.put(
        role("r", "Organization/house"),
        team("standing", "PractitionerRole/r"),
        team("of house", "Organization/house") | {"id": "of-house"},
        {
            "resourceType": "EpisodeOfCare",
            "id": "e",
            "status": "active",
            "patient": {"reference": "Patient/a"},
            "team": [{"reference": "CareTeam/standing"}],
        },
        {
            "resourceType": "EpisodeOfCare",
            "id": "f",
            "status": "active",
            "patient": {"reference": "Patient/b"},
            "managingOrganization": {"reference": "Organization/house"},
        },
        {
            "resourceType": "EpisodeOfCare",
            "id": "g",
            "status": "active",
            "patient": {"reference": "Patient/c"},
            "team": [{"reference": "CareTeam/of-house"}],
        },
    )
    assert found(charts, seen_by(OWN)) == ["o-a"]
    assert found(charts, seen_by(HOUSE)) == ["o-a", "o-b", "o-c"]
    charts.put(role("r", "Organization/house", active=False))
    assert found(charts, seen_by(HOUSE)) == []


def test_a_person_who_acts_in_a_role_is_that_person_and_works_there(charts: Any) -> None:
    charts.put(role("r", "Organization/house"), role("s", "Organization/other"))
    charts.put(team("t", NURSE, patient="a"), team("u", "Organization/other", patient="b"))
    as_role = "PractitionerRole/r"
    assert found(charts, seen_by(HOUSE, caller=as_role)) == ["o-a"]
    assert found(charts, seen_by(HOUSE)) == ["o-a", "o-b"]


def test_a_limit_for_the_staff_of_an_organization_is_none_for_others(charts: Any) -> None:
    charts.put(role("r", "Organization/house"), team("t", NURSE, patient="a"))
    narrowed = Limit(of=frozenset({reference_hash("Organization/house")}))
    assert found(charts, seen_by(narrowed)) == ["o-a"]
    assert found(charts, seen_by(narrowed, caller="Practitioner/other")) == ["o-a", "o-b", "o-c"]
    assert found(charts, seen_by(narrowed, caller=None)) == []
    charts.put(role("r"))
    assert found(charts, seen_by(narrowed)) == ["o-a", "o-b", "o-c"]


def test_a_limit_for_everybody_but_the_staff_of_an_organization(charts: Any) -> None:
    charts.put(role("r", "Organization/house", period={"end": "1970-06-30"}), team("t", NURSE, patient="a"))
    others = Limit(but=frozenset({reference_hash("Organization/house")}))
    assert found(charts, seen_by(others)) == ["o-a", "o-b", "o-c"]
    assert found(charts, seen_by(others, caller="Practitioner/other")) == []
    assert found(charts, seen_by(others, caller=None)) == []
    later = 200 * 86_400 * 1_000_000  # who has left is one of the others
    assert found(charts, seen_by(others, at=later)) == ["o-a"]


def test_limits_and_a_patient_must_be_kept_by_the_same_chart(charts: Any) -> None:
    charts.put(
        team("t", NURSE, patient="a"),
        observation("both", "b") | {"performer": [{"reference": "Patient/a"}]},
    )
    assert found(charts, seen_by()) == ["both", "o-a"]
    assert found(charts, seen_by(patients=frozenset("a"))) == ["both", "o-a"]
    assert found(charts, seen_by(patients=frozenset("b"))) == []


def test_an_earlier_version_is_shown_only_since_it_came_into_its_charts(charts: Any) -> None:
    charts.put(team("t", NURSE, patient="a"))
    charts.put(observation("o-b", "a"))

    def shown(number: int) -> bool:
        return charts.reading(lambda r: r.vread("Observation", "o-b", number, seen_by())) is not None

    assert [shown(1), shown(2)] == [False, True]


def test_what_a_chart_refers_to_needs_the_relationship_too(charts: Any) -> None:
    charts.put(
        {"resourceType": "Practitioner", "id": "doctor"},
        observation("o-a", "a") | {"performer": [{"reference": "Practitioner/doctor"}]},
    )
    rule = Rule(patients=frozenset("a"), limits=(OWN,))
    visible = Visibility(
        {"Observation": (rule,), "Practitioner": (Rule(referred=True),)}, reference_hash(NURSE), 1_000
    )

    def shown() -> bool:
        return charts.reading(lambda reader: reader.read("Practitioner", "doctor", visible)) is not None

    assert not shown()
    charts.put(team("t", NURSE, patient="a"))
    assert shown()


def test_the_caseload_drives_a_search_and_leaves_nothing_out(charts: Any) -> None:
    for number in range(30):
        charts.put(observation(f"more-{number}", "c"))
    charts.put(team("t", NURSE, patient="a"))
    page = charts.reading(lambda r: r.explain(SearchQuery("Observation"), seen_by()))
    (searched,) = page.types
    assert searched.way == "driven"
    assert [row.of for row in searched.lists if row.chosen] == ["what the caller may see"]
    assert charts.reading(lambda r: r.total(SearchQuery("Observation"), seen_by(), None)).value == 1


class TestWrites:
    """Reader.reaches: what a write is judged by."""

    def reaches(self, chart: Any, *patients: str, limits: tuple[Limit, ...] = (OWN,), **more: Any) -> bool:
        visible = seen_by(*limits, caller=more.pop("caller", NURSE))
        return bool(chart.reading(lambda reader: reader.reaches(visible, limits, patients, **more)))

    def test_every_chart_must_be_related(self, charts: Any) -> None:
        charts.put(team("t", NURSE, patient="a"), team("u", NURSE, patient="b"))
        assert self.reaches(charts, "a", "b")
        assert not self.reaches(charts, "a", "c")
        assert not self.reaches(charts)
        assert not self.reaches(charts, "a", caller="Practitioner/other")

    def test_a_limit_that_is_none_for_the_caller_asks_for_no_chart(self, charts: Any) -> None:
        limits = (Limit(of=frozenset({reference_hash("Organization/house")})),)
        assert self.reaches(charts, limits=limits)
        charts.put(role("r", "Organization/house"))
        assert not self.reaches(charts, "a", limits=limits)

    def test_a_chart_begins_with_its_first_resource_and_never_again(self, charts: Any) -> None:
        begins = charts.reading(lambda reader: [reader.begins_chart(id) for id in ("a", "new")])
        assert begins == [False, True]
        charts.put(observation("early", "new"))
        assert not charts.reading(lambda reader: reader.begins_chart("new"))
        charts.delete("Observation", "early")
        assert not charts.reading(lambda reader: reader.begins_chart("new"))

    def test_a_chart_that_a_transaction_began_is_in_reach_until_its_end(self, store: DatabaseStore) -> None:
        with store.writing() as writer:
            assert not writer.reaches(seen_by(), (OWN,), ("new",))
            assert writer.begins_chart("new")
            assert writer.reaches(seen_by(), (OWN,), ("new",))
            assert not writer.reaches(seen_by(), (OWN,), ("new", "other"))
        with store.writing() as writer:
            assert not writer.reaches(seen_by(), (OWN,), ("new",))


class TestUpgrade:
    """What was stored by a release that knew no relationships."""

    def forget(self, store: DatabaseStore) -> None:
        with store.database.writing() as connection:
            connection.execute("DELETE FROM relationship")
            connection.execute("DELETE FROM membership")
            for name in ("CareTeam", "PractitionerRole"):
                reindex.begin(connection, f"{reindex.RELATIONS}{name}", name)

    def test_all_rows_come_back_and_until_then_nobody_limited_is_answered(
        self, charts: Any, store: DatabaseStore
    ) -> None:
        charts.put(team("t", NURSE, patient="a"), team("s", NURSE), role("r", "Organization/house"))
        expected = table(store, "relationship"), table(store, "membership")
        charts.reading(lambda reader: reader.require_relations())
        self.forget(store)
        while waiting := store.reindexing():
            with pytest.raises(FhirError) as refused:
                charts.reading(lambda reader: reader.require_relations())
            assert refused.value.kind == "not-ready"
            reindex.step(store.database, waiting[0].what, AGAIN, count=1)
        charts.reading(lambda reader: reader.require_relations())
        assert (table(store, "relationship"), table(store, "membership")) == expected

    def test_other_indexing_keeps_nobody_out(self, charts: Any, store: DatabaseStore) -> None:
        with store.database.writing() as connection:
            reindex.begin(connection, reindex.SCHEMA_5)
        charts.reading(lambda reader: reader.require_relations())

    def test_what_was_written_meanwhile_is_not_overwritten(self, charts: Any, store: DatabaseStore) -> None:
        charts.put(team("t", NURSE, patient="a"))
        self.forget(store)
        charts.put(team("t", NURSE, patient="b"))
        while waiting := store.reindexing():
            reindex.step(store.database, waiting[0].what, AGAIN)
        assert found(charts, seen_by()) == ["o-b"]


class TestTold:
    """Relationships: what people are shown of the rows."""

    def test_a_relationship_names_the_resource_that_makes_it(self, charts: Any, store: DatabaseStore) -> None:
        charts.put(team("t", NURSE, patient="a"), role("r", "Organization/house"))
        (row,) = store.relationships.of_chart([reference_hash(NURSE)], "a")
        assert (row.resource, row.kind, row.right) == ("CareTeam/t", 0, reference_hash("Patient/a"))
        assert row.body
        assert {row.resource for row in store.relationships.memberships(NURSE)} == {"PractitionerRole/r"}
        assert store.relationships.of_chart([reference_hash(NURSE)], "b") == ()

    def test_teams_of_a_role_are_told_behind_it(self, charts: Any, store: DatabaseStore) -> None:
        charts.put(role("r"), team("s", "PractitionerRole/r"))
        assert [row.resource for row in store.relationships.memberships(NURSE)] == [
            "PractitionerRole/r",
            "CareTeam/s",
        ]
