"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396) on resources.

Covers server/fhir/json_patch.py and patch_rules.py.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import FhirError
from server.fhir.json_codec import encode
from server.fhir.json_patch import apply_json_patch, apply_merge_patch


def observation() -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": "o1",
        "meta": {"versionId": "3", "lastUpdated": "2024-05-17T12:00:00Z", "tag": [{"code": "a"}]},
        "status": "final",
        "code": {"coding": [{"system": "s", "code": "c"}]},
        "valueQuantity": {"value": Decimal("1.50"), "unit": "mg/dL"},
    }


def refused(*operations: Any) -> FhirError:
    with pytest.raises(FhirError) as refusal:
        apply_json_patch(observation(), list(operations))
    return refusal.value


class TestOperations:
    def test_all_six_of_them_are_applied_in_their_order(self) -> None:
        result = apply_json_patch(
            observation(),
            [
                {"op": "test", "path": "/status", "value": "final"},
                {"op": "add", "path": "/code/coding/-", "value": {"code": "second"}},
                {"op": "add", "path": "/code/coding/0", "value": {"code": "zeroth"}},
                {"op": "replace", "path": "/status", "value": "amended"},
                {
                    "op": "copy",
                    "from": "/valueQuantity",
                    "path": "/component",
                    "x": "members not known are ignored",
                },
                {"op": "move", "from": "/code/coding/1", "path": "/code/coding/2"},
                {"op": "remove", "path": "/valueQuantity/unit"},
            ],
        )
        assert [coding["code"] for coding in result["code"]["coding"]] == ["zeroth", "second", "c"]
        assert (result["status"], result["valueQuantity"]) == ("amended", {"value": Decimal("1.50")})
        assert result["component"] == {"value": Decimal("1.50"), "unit": "mg/dL"}

    def test_numbers_keep_their_digits(self) -> None:
        result = apply_json_patch(
            observation(), [{"op": "replace", "path": "/valueQuantity/value", "value": Decimal("2.500")}]
        )
        assert b'"value":2.500' in encode(result)

    def test_a_test_compares_numbers_by_value_and_true_with_true_alone(self) -> None:
        apply_json_patch(
            observation(), [{"op": "test", "path": "/valueQuantity/value", "value": Decimal("1.5")}]
        )
        error = refused({"op": "add", "path": "/x", "value": True}, {"op": "test", "path": "/x", "value": 1})
        assert (error.kind, error.issues[0].expression) == ("unprocessable", "patch[1]")

    def test_names_are_unescaped_as_json_pointers_are(self) -> None:
        result = apply_json_patch(
            {"resourceType": "X", "id": "1", "a/b": 1, "c~d": 2},
            [{"op": "remove", "path": "/a~1b"}, {"op": "replace", "path": "/c~0d", "value": 3}],
        )
        assert result == {"resourceType": "X", "id": "1", "c~d": 3}


class TestRefusals:
    @pytest.mark.parametrize(
        ("operation", "kind", "place"),
        [
            (3, "invalid-request", "patch[0]"),
            ({}, "invalid-request", "patch[0].op"),
            ({"op": "append", "path": "/a", "value": 1}, "invalid-request", "patch[0].op"),
            ({"op": ["add"], "path": "/a", "value": 1}, "invalid-request", "patch[0].op"),
            ({"op": "add", "value": 1}, "required", "patch[0]"),
            ({"op": "add", "path": "/a"}, "required", "patch[0]"),
            ({"op": "move", "path": "/a"}, "required", "patch[0]"),
            ({"op": "add", "path": 1, "value": 1}, "invalid-request", "patch[0].path"),
            ({"op": "add", "path": "a", "value": 1}, "invalid-request", "patch[0].path"),
            ({"op": "remove", "path": "/" + "a" * 1_000}, "invalid-request", "patch[0].path"),
        ],
    )
    def test_what_is_no_json_patch_is_named(self, operation: Any, kind: str, place: str) -> None:
        error = refused(operation)
        assert (error.kind, error.issues[0].expression) == (kind, place)

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "remove", "path": "/nothing"},
            {"op": "remove", "path": ""},
            {"op": "replace", "path": "/nothing", "value": 1},
            {"op": "replace", "path": "/code/coding/1", "value": 1},
            {"op": "replace", "path": "/code/coding/-", "value": 1},
            {"op": "add", "path": "/code/coding/2", "value": 1},
            {"op": "add", "path": "/code/coding/01", "value": 1},
            {"op": "add", "path": "/code/coding/-1", "value": 1},
            {"op": "add", "path": "/code/coding/" + "9" * 900, "value": 1},
            {"op": "add", "path": "/nothing/below", "value": 1},
            {"op": "add", "path": "/status/0", "value": "x"},
            {"op": "add", "path": "/valueQuantity/value/0", "value": "x"},
            {"op": "add", "path": "/a~2", "value": 1},
            {"op": "copy", "from": "/status/0", "path": "/language"},
            {"op": "copy", "from": "/code/coding/-", "path": "/x"},
            {"op": "copy", "from": "/nothing", "path": "/x"},
            {"op": "move", "from": "/code", "path": "/code/coding"},
            {"op": "move", "from": "", "path": "/x"},
            {"op": "test", "path": "/status", "value": "amended"},
            {"op": "test", "path": "/nothing", "value": None},
        ],
    )
    def test_what_cannot_be_applied_names_the_operation_and_no_value(self, operation: dict[str, Any]) -> None:
        error = refused({"op": "test", "path": "/status", "value": "final"}, operation)
        assert (error.kind, error.status) == ("unprocessable", 422)
        assert error.issues[0].expression == "patch[1]"
        assert not {"final", "amended", "mg/dL"} & set(error.issues[0].diagnostics.split())

    @pytest.mark.parametrize(
        ("operations", "element", "place"),
        [
            ([{"op": "replace", "path": "/id", "value": "o2"}], "id", "patch[0]"),
            ([{"op": "remove", "path": "/id"}], "id", "patch[0]"),
            ([{"op": "replace", "path": "/resourceType", "value": "Task"}], "resourceType", "patch[0]"),
            ([{"op": "replace", "path": "/meta/versionId", "value": "9"}], "meta.versionId", "patch[0]"),
            ([{"op": "replace", "path": "/meta/lastUpdated", "value": "2020"}], "meta.lastUpdated", "patch[0]"),
            ([{"op": "replace", "path": "", "value": []}], "resourceType", "patch[0]"),
            (
                [
                    {"op": "add", "path": "/language", "value": "en"},
                    {"op": "move", "from": "/id", "path": "/x"},
                    {"op": "remove", "path": "/x"},
                ],
                "id",
                "patch[1]",
            ),
        ],
    )
    def test_the_identity_cannot_change_and_the_operation_that_does_it_is_named(
        self, operations: list[Any], element: str, place: str
    ) -> None:
        error = refused(*operations)
        assert (error.kind, error.issues[0].expression) == ("unprocessable", place)
        assert error.issues[0].diagnostics == f"a patch cannot change {element}"

    def test_an_identity_that_is_put_back_has_not_changed(self) -> None:
        operations = [
            {"op": "remove", "path": "/id"},
            {"op": "add", "path": "/id", "value": "o1"},
            {"op": "remove", "path": "/meta"},
        ]
        assert apply_json_patch(observation(), operations)["id"] == "o1"


class TestBounds:
    def test_a_patch_has_a_thousand_operations_at_most(self) -> None:
        operation = {"op": "test", "path": "/status", "value": "final"}
        apply_json_patch(observation(), [operation] * 1_000)
        assert refused(*[operation] * 1_001).kind == "too-costly"

    def test_copies_of_copies_end_soon(self) -> None:
        started = time.process_time()
        error = refused(*[{"op": "copy", "from": "", "path": "/x"}] * 1_000)
        assert error.kind == "too-costly"
        assert error.issues[0].expression.startswith("patch[")
        assert time.process_time() - started < 5

    def test_what_nests_deeper_than_python_goes_is_refused(self) -> None:
        operations: list[Any] = [{"op": "add", "path": "/a", "value": {}}]
        operations += [{"op": "add", "path": "/a" * depth, "value": {}} for depth in range(2, 400)]
        operations += [{"op": "copy", "from": "/a", "path": "/a" * 400}] * 3
        assert refused(*operations).kind in ("unprocessable", "too-costly")


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_pointers = st.lists(
    st.sampled_from(["", "a", "b", "0", "1", "-", "id", "meta", "coding", "code"]), max_size=4
).map(lambda parts: "".join(f"/{part}" for part in parts))
_operations = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": _pointers,
        "from": _pointers,
        "value": _json,
    }
)


@given(st.lists(_operations | _json, max_size=6))
def test_any_operations_give_a_resource_or_a_refusal_of_ours(operations: list[Any]) -> None:
    try:
        result = apply_json_patch(observation(), operations)
    except FhirError as refusal:
        result, status = observation(), refusal.status
    else:
        status = 200
    assert status in (200, 400, 422)
    assert (result["resourceType"], result["id"]) == ("Observation", "o1")


class TestMergePatch:
    def test_null_removes_objects_merge_and_all_else_replaces(self) -> None:
        result = apply_merge_patch(
            observation(),
            {
                "status": None,
                "code": {"text": "x"},
                "valueQuantity": {"unit": None},
                "meta": {"tag": []},
                "note": [1],
            },
        )
        assert "status" not in result
        assert result["code"] == {"coding": [{"system": "s", "code": "c"}], "text": "x"}
        assert result["valueQuantity"] == {"value": Decimal("1.50")}
        assert (result["meta"]["tag"], result["meta"]["versionId"], result["note"]) == ([], "3", [1])

    @pytest.mark.parametrize(
        "changes", [{"id": "o2"}, {"id": None}, {"resourceType": "Task"}, {"meta": {"versionId": "4"}}]
    )
    def test_the_identity_cannot_change(self, changes: dict[str, Any]) -> None:
        with pytest.raises(FhirError) as refusal:
            apply_merge_patch(observation(), changes)
        assert refusal.value.kind == "unprocessable"

    @given(st.dictionaries(st.sampled_from("abc"), _json, max_size=3))
    def test_merging_twice_changes_nothing_more(self, changes: dict[str, Any]) -> None:
        once = apply_merge_patch(observation(), changes)
        assert apply_merge_patch(once, changes) == once
