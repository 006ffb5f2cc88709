"""Searches along hierarchies of resources, on a real database.

Covers hl7.org/fhir/R4/search.html#recursive. Resources are synthetic.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.errors import FhirError
from server.fhir.search_parsing import parse_search
from server.fhir.visibility import Rule, Visibility
from server.storage import trees


def location(id: str, part_of: str | None = None, **more: Any) -> dict[str, Any]:
    parent = {"partOf": {"reference": f"Location/{part_of}"}} if part_of else {}
    return {"resourceType": "Location", "id": id, "status": "active", **parent, **more}


def procedure(id: str, at: str) -> dict[str, Any]:
    return {
        "resourceType": "Procedure",
        "id": id,
        "status": "completed",
        "subject": {"reference": "Patient/p1"},
        "location": {"reference": f"Location/{at}"},
    }


@pytest.mark.requirement("U2")
def test_below_a_location_are_the_locations_that_are_parts_of_it(chart: Any, search: Any) -> None:
    chart.put(
        location("42"),
        location("floor", "42"),
        location("room", "floor"),
        location("elsewhere"),
        *(procedure(f"at-{at}", at) for at in ("42", "floor", "room", "elsewhere")),
    )
    assert search("Procedure", **{"location:below": "42"}) == ["at-42", "at-floor", "at-room"]
    assert search("Procedure", **{"location:below": "Location/floor"}) == ["at-floor", "at-room"]
    assert search("Procedure", **{"location:above": "room"}) == ["at-42", "at-floor", "at-room"]
    assert search("Procedure", **{"location:above": "42"}) == ["at-42"]
    assert search("Procedure", **{"location:below": "unknown"}) == []
    assert search("Location", **{"partof:below": "floor"}) == ["room"]


@pytest.mark.requirement("U2")
def test_above_an_encounter_are_those_it_is_a_part_of(chart: Any, search: Any) -> None:
    def encounter(id: str, **more: Any) -> dict[str, Any]:
        return {"resourceType": "Encounter", "id": id, "status": "finished", "class": {"code": "IMP"}, **more}

    def dose(id: str, during: str) -> dict[str, Any]:
        reference = {"reference": f"Encounter/{during}"}
        return {
            "resourceType": "MedicationAdministration",
            "id": id,
            "status": "completed",
            "context": reference,
        }

    chart.put(
        encounter("stay"),
        encounter("21", partOf={"reference": "Encounter/stay"}),
        encounter("22", partOf={"reference": "Encounter/stay"}),
    )
    chart.put(dose("in-stay", "stay"), dose("in-21", "21"), dose("in-22", "22"))
    assert search("MedicationAdministration", **{"context:above": "Encounter/21"}) == ["in-21", "in-stay"]


def test_a_hierarchy_is_followed_through_what_the_caller_may_see(chart: Any, search: Any) -> None:
    chart.put(
        location("1"),
        location("2", "1", name="hidden"),
        location("3", "2"),
        *(procedure(f"at-{n}", n) for n in "123"),
    )
    (unnamed,) = parse_search("Location", [("name:missing", "true")]).conditions
    sees = Visibility({"Procedure": (Rule(),), "Location": (Rule(criteria=(unnamed,)),)})  # type: ignore[arg-type]
    assert search("Procedure", sees, **{"location:below": "1"}) == ["at-1"]
    assert search("Procedure", sees, **{"location:above": "3"}) == ["at-3"]
    assert search("Procedure", Visibility({"Procedure": (Rule(),)}), **{"location:below": "1"}) == ["at-1"]


def test_a_hierarchy_that_bites_its_tail_ends(chart: Any, search: Any) -> None:
    chart.put(location("1", "2"), location("2", "1"), procedure("at-2", "2"))
    assert search("Procedure", **{"location:below": "1"}) == ["at-2"]
    assert search("Procedure", **{"location:above": "1"}) == ["at-2"]


def test_hierarchies_are_followed_so_far_and_no_further(chart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chart.put(location("0"), *(location(str(n), str(n - 1)) for n in range(1, 6)))
    asked = parse_search("Procedure", [("location:below", "0")])
    monkeypatch.setattr(trees, "LEVELS_MAXIMUM", 3)
    with pytest.raises(FhirError) as error:
        chart.found(asked)
    assert error.value.issues[0].code == "too-costly"
    monkeypatch.setattr(trees, "LEVELS_MAXIMUM", 100)
    monkeypatch.setattr(trees, "RESOURCES_MAXIMUM", 3)
    with pytest.raises(FhirError) as error:
        chart.found(asked)
    assert (error.value.status, error.value.issues[0].expression) == (422, "http.location")


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(0, 6)), min_size=7, max_size=7), st.integers(0, 6), st.booleans()
)
def test_any_hierarchy_is_followed_to_its_ends(
    chart: Any, parents: list[int | None], start: int, up: bool
) -> None:
    def above(number: int) -> set[int]:
        seen: set[int] = set()
        at: int | None = number
        while at is not None and at not in seen:
            seen.add(at)
            at = parents[at]
        return seen

    chart.put(*(location(str(n), None if parent is None else str(parent)) for n, parent in enumerate(parents)))
    chart.put(*(procedure(f"at-{n}", str(n)) for n in range(7)))
    expected = above(start) if up else {n for n in range(7) if start in above(n)}
    asked = parse_search("Procedure", [(f"location:{'above' if up else 'below'}", str(start))])
    assert sorted(chart.found(asked)) == [f"at-{n}" for n in sorted(expected)]
