"""What differs between two versions of a resource, told by element and place by place.

Covers the answer to an If-Match that does not hold (changed elements are named, their values are not) and the
comparison of versions in the console.
"""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fhir.changed_elements import Change, canonical, changed_elements, changes

TASK: dict[str, Any] = {
    "resourceType": "Task",
    "id": "t1",
    "meta": {"versionId": "1", "lastUpdated": "2026-01-01T00:00:00Z"},
    "status": "requested",
    "note": [{"text": "first"}, {"text": "second"}],
    "code": {"text": "Call"},
}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([Decimal("1.5"), Decimal("1.50")])
    | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=12,
)
resources = st.dictionaries(st.sampled_from(["status", "note", "code", "output"]), values).map(
    lambda elements: {"resourceType": "Task", "id": "t1"} | elements
)


def test_the_elements_that_differ_are_named_in_order() -> None:
    after = TASK | {"status": "accepted", "note": [{"text": "first"}], "owner": {"reference": "Practitioner/1"}}
    del after["code"]
    assert changed_elements(TASK, after) == ("Task.status", "Task.note", "Task.code", "Task.owner")


def test_what_differs_between_any_two_versions_is_not_spoken_of() -> None:
    later = TASK | {"meta": {"versionId": "2", "lastUpdated": "2026-02-01T00:00:00Z"}}
    assert changed_elements(TASK, later) == ()
    labelled = later | {"meta": later["meta"] | {"tag": [{"code": "x"}]}}
    assert changed_elements(TASK, labelled) == ("Task.meta",)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"valueDecimal": Decimal("1.50")}, {"valueDecimal": Decimal("1.5")}),
        ({"valueInteger": 1}, {"valueBoolean": True}),
        ({"value": 1}, {"value": True}),
        ({"value": "1"}, {"value": 1}),
        ({"status": "a"}, {"status": "a", "_status": {"id": "x"}}),
        ({"status": "a", "_status": {"id": "y"}}, {"status": "a", "_status": {"id": "x"}}),
    ],
)
def test_digits_types_and_what_stands_beside_a_primitive_count(before: dict, after: dict) -> None:
    names = changed_elements({"resourceType": "Basic"} | before, {"resourceType": "Basic"} | after)
    assert names
    assert not any("_" in name for name in names)


def test_places_are_told_as_deep_as_can_be() -> None:
    after = copy.deepcopy(TASK) | {"priority": "urgent"}
    after["note"][1] = {"text": "second, corrected"}
    after["note"].append({"text": "third"})
    del after["code"]
    assert changes(TASK, after) == (
        Change("Task.note[1].text", "changed", "second", "second, corrected"),
        Change("Task.note[2]", "added", None, {"text": "third"}),
        Change("Task.code", "removed", {"text": "Call"}, None),
        Change("Task.priority", "added", None, "urgent"),
    )


def test_an_item_that_is_gone_does_not_make_those_behind_it_differ() -> None:
    after = TASK | {"note": [{"text": "second"}]}
    assert changes(TASK, after) == (Change("Task.note[0]", "removed", {"text": "first"}, None),)


def test_long_lists_are_compared_by_position() -> None:
    before = {"resourceType": "Group", "member": [{"id": str(number)} for number in range(3000)]}
    after = before | {"member": [{"id": "new"}, *before["member"]]}
    found = changes(before, after)
    assert len(found) == 3001
    assert (found[0].path, found[-1].kind) == ("Group.member[0].id", "added")


@given(before=resources, after=resources)
def test_nothing_differs_exactly_where_the_content_is_the_same(before: dict, after: dict) -> None:
    same = canonical(before) == canonical(after)
    assert (changed_elements(before, after) == ()) == same
    assert (changes(before, after) == ()) == same


@given(before=resources, after=resources)
def test_places_lie_in_the_elements_that_are_named(before: dict, after: dict) -> None:
    places = {".".join(change.path.partition("[")[0].split(".")[:2]) for change in changes(before, after)}
    assert places == set(changed_elements(before, after))


@given(before=resources, after=resources)
def test_the_other_way_round_what_was_added_is_removed(before: dict, after: dict) -> None:
    assert set(changed_elements(before, after)) == set(changed_elements(after, before))


@given(before=resources, after=resources)
def test_what_was_added_or_changed_stands_in_the_later_version_at_its_place(before: dict, after: dict) -> None:
    for change in changes(before, after):
        if change.kind != "removed":
            assert canonical(_at(after, change.path)) == canonical(change.after)


def _at(resource: dict[str, Any], path: str) -> Any:
    value: Any = resource
    for step in path.replace("[", ".[").split(".")[1:]:
        value = value[int(step[1:-1])] if step.startswith("[") else value[step]
    return value
