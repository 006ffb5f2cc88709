"""What a message says, joined with what is stored: element by element, list by list.

Covers server/hl7v2/joining.py and retirement.py.
"""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.result import Intent
from server.fhir.validation import validate
from server.hl7v2.joining import content, date_time, joined, same, united, value_at
from server.hl7v2.retirement import can_retire, retired

NOON = 1_772_366_400_000_000  # 2026-03-01T12:00:00Z


def join(
    stored: dict[str, Any], said: dict[str, Any], resource_type: str = "Patient", **rules: Any
) -> dict[str, Any]:
    """The result without its type."""
    kind = {"resourceType": resource_type}
    result = joined(kind | stored, kind | said, Intent("key", kind | said, **rules), NOON)
    return {name: value for name, value in result.items() if name != "resourceType"}


@pytest.mark.parametrize(
    ("stored", "said", "result"),
    [
        ({"gender": "male"}, {}, {"gender": "male"}),
        ({"gender": "male"}, {"gender": "female"}, {"gender": "female"}),
        ({"deceasedBoolean": True}, {"deceasedDateTime": "2026"}, {"deceasedDateTime": "2026"}),
        (
            {"birthDate": "1970", "_birthDate": {"extension": [{"url": "x", "valueString": "y"}]}},
            {"birthDate": "1971"},
            {"birthDate": "1971"},
        ),
        ({"maritalStatus": {"text": "a"}}, {"maritalStatus": {"coding": [{"code": "M"}]}},
         {"maritalStatus": {"coding": [{"code": "M"}]}}),
        ({"name": [{"text": "a"}, {"text": "b"}]}, {"name": [{"text": "c"}]}, {"name": [{"text": "c"}]}),
        (
            {"extension": [{"url": "a", "valueCode": "1"}, {"url": "b", "valueCode": "2"}]},
            {"extension": [{"url": "a", "valueCode": "3"}]},
            {"extension": [{"url": "a", "valueCode": "3"}, {"url": "b", "valueCode": "2"}]},
        ),
        (
            {"meta": {"tag": [{"system": "s", "code": "own"}], "profile": ["p"]}},
            {"meta": {"tag": [{"system": "s", "code": "T"}]}},
            {"meta": {"tag": [{"system": "s", "code": "own"}, {"system": "s", "code": "T"}], "profile": ["p"]}},
        ),
    ],
)  # fmt: skip
def test_what_is_said_replaces_what_is_stored_and_the_rest_stays(
    stored: dict[str, Any], said: dict[str, Any], result: dict[str, Any]
) -> None:
    assert join(stored, said) == result


@pytest.mark.parametrize(
    ("said", "is_news"),
    [
        ({}, False),
        ({"birthDate": "1970", "_birthDate": {"id": "b"}}, False),
        ({"name": [{"text": "a"}]}, False),
        ({"birthDate": "1970"}, True),  # and no more what belonged to it
        ({"_birthDate": {"id": "b"}}, True),
        ({"extension": [{"url": "x", "valueDecimal": Decimal("1.5")}]}, True),
        ({"gender": "male"}, True),
    ],
)
@pytest.mark.parametrize("lists", [{}, {"name": "union"}, {"name": "transfer"}])
def test_what_is_said_just_as_it_is_stored_changes_nothing(
    said: dict[str, Any], is_news: bool, lists: dict[str, str]
) -> None:
    kind = {"resourceType": "Patient"}
    stored = kind | {
        "birthDate": "1970",
        "_birthDate": {"id": "b"},
        "name": [{"text": "a"}],
        "extension": [{"url": "x", "valueDecimal": Decimal("1.50")}],
    }
    before = copy.deepcopy(stored)
    result = joined(stored, kind | said, Intent("key", kind | said, lists=lists), NOON)
    assert (result is not stored) == is_news
    assert same(stored, result) != is_news
    assert stored == before
    emptied = joined(stored, kind | said, Intent("key", kind | said, cleared=("Patient.name",)), NOON)
    assert "name" not in emptied


def test_elements_made_of_elements_are_joined_member_by_member() -> None:
    stored = {"period": {"start": "2026-03-01"}, "hospitalization": {"admitSource": {"text": "x"}}}
    said = {"period": {"end": "2026-03-08"}, "hospitalization": {"dischargeDisposition": {"text": "home"}}}
    assert join(stored, said, "Encounter") == {
        "period": {"start": "2026-03-01", "end": "2026-03-08"},
        "hospitalization": {"admitSource": {"text": "x"}, "dischargeDisposition": {"text": "home"}},
    }


def test_all_that_a_message_says_of_a_url_takes_the_place_of_what_is_stored_of_it() -> None:
    def of(url: str, *codes: str) -> list[dict[str, Any]]:
        return [{"url": url, "valueCode": code} for code in codes]

    stored = {"extension": [*of("citizenship", "US"), *of("birthPlace", "X"), *of("citizenship", "CA")]}
    said = {"extension": of("citizenship", "US", "MX")}
    once = join(stored, said)
    assert once["extension"] == [*of("citizenship", "US", "MX"), *of("birthPlace", "X")]
    assert join(once, said) == once


def test_a_retired_identifier_stays_retired() -> None:
    stored = {"identifier": [{"system": "s", "value": "1"}, {"system": "s", "value": "2", "use": "old"}]}
    said = {"identifier": [{"system": "s", "value": "2", "use": "usual"}, {"system": "s", "value": "3"}]}
    assert join(stored, said, lists={"identifier": "union:system,value"})["identifier"] == [
        {"system": "s", "value": "1"},
        {"system": "s", "value": "2", "use": "old"},
        {"system": "s", "value": "3"},
    ]


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("gender", {"gender": None}),
        ("Patient.name.given", {"name": [{"family": "a"}]}),
        ("deceased", {"deceasedBoolean": None}),
        ("contact.gender", {"contact": None}),
        ("nowhere.at.all", {}),
    ],
)
def test_what_is_emptied_is_gone_with_what_it_leaves_empty(path: str, changed: dict[str, Any]) -> None:
    stored = {
        "gender": "male",
        "name": [{"family": "a", "given": ["b"]}],
        "deceasedBoolean": True,
        "contact": [{"gender": "male"}],
    }
    before = json.loads(json.dumps(stored))
    left = {name: value for name, value in (stored | changed).items() if value is not None}
    assert join(stored, {}, cleared=(path,)) == left
    assert stored == before


def test_what_is_only_kept_counts_every_form_of_a_choice() -> None:
    assert join({"deceasedBoolean": True}, {"deceasedDateTime": "2026"}, keep=("deceased",)) == {
        "deceasedBoolean": True
    }


def test_a_transfer_closes_what_is_open_at_the_moment_of_the_event() -> None:
    def at(ward: str, **more: Any) -> dict[str, Any]:
        return {"location": {"display": ward}, **more}

    stored = {"location": [at("A", status="active"), at("B", status="planned")]}
    said = {"location": [at("C", status="active", period={"start": "2026-03-01T12:00:00Z"})]}
    closed = join(stored, said, "Encounter", lists={"location": "transfer"})["location"]
    assert closed == [
        at("A", status="completed", period={"end": "2026-03-01T12:00:00Z"}),
        at("B", status="planned", period={"end": "2026-03-01T12:00:00Z"}),
        at("C", status="active", period={"start": "2026-03-01T12:00:00Z"}),
    ]
    back = {"location": [at("A", status="active")]}
    assert join({"location": closed}, back, "Encounter", lists={"location": "transfer"})["location"][-1] == at(
        "A", status="active"
    )


_ITEMS = st.lists(
    st.fixed_dictionaries(
        {"system": st.sampled_from("ab"), "value": st.sampled_from("12")},
        optional={"use": st.sampled_from(["usual", "old"])},
    ),
    max_size=5,
)
_PLACES = st.lists(
    st.fixed_dictionaries(
        {"location": st.sampled_from([{"display": "A"}, {"display": "B"}])},
        optional={
            "status": st.sampled_from(["active", "planned", "completed"]),
            "period": st.sampled_from([{"start": "2026-02-01"}, {"start": "2026-02-01", "end": "2026-02-02"}]),
        },
    ),
    max_size=4,
)
_PATIENTS = st.fixed_dictionaries(
    {},
    optional={
        "gender": st.sampled_from(["male", "female"]),
        "birthDate": st.sampled_from(["1970", "1971-02"]),
        "deceasedBoolean": st.booleans(),
        "identifier": _ITEMS.filter(bool),
        "maritalStatus": st.sampled_from([{"text": "a"}, {"text": "b"}]),
    },
)
_RULES = st.sampled_from([{}, {"identifier": "union"}, {"identifier": "union:system,value"}])


@given(_PATIENTS, _PATIENTS, _RULES)
def test_saying_the_same_again_changes_nothing(
    stored: dict[str, Any], said: dict[str, Any], lists: dict[str, str]
) -> None:
    once = join(stored, said, lists=lists)
    assert same(join(once, said, lists=lists), once)


@given(_PLACES, _PLACES)
def test_a_transfer_that_is_told_again_changes_nothing(stored: list[Any], said: list[Any]) -> None:
    rule = {"location": "transfer"}
    message = {"location": said}
    once = join({"location": stored}, message, "Encounter", lists=rule)
    assert same(join(once, message, "Encounter", lists=rule), once)


def test_an_identifier_that_a_message_tells_twice_is_retired_if_one_of_them_is() -> None:
    said = {"identifier": [{"system": "s", "value": "1", "use": "old"}, {"system": "s", "value": "1"}]}
    once = join({}, said, lists={"identifier": "union:system,value"})
    assert once["identifier"] == [{"system": "s", "value": "1", "use": "old"}]


@given(_PATIENTS, _PATIENTS)
def test_what_a_message_does_not_speak_of_stays_as_it_is(stored: dict[str, Any], said: dict[str, Any]) -> None:
    result = join(stored, said)
    assert {name: value for name, value in result.items() if name not in said} == {
        name: value for name, value in stored.items() if name not in said
    }
    assert all(result[name] == value for name, value in said.items())


@given(_ITEMS, _ITEMS)
def test_a_union_has_each_item_once_and_forgets_none(stored: list[Any], said: list[Any]) -> None:
    result = united(stored, said, "system,value")
    keys = [(item["system"], item["value"]) for item in result]
    assert set(keys) == {(item["system"], item["value"]) for item in [*stored, *said]}
    assert keys[: len(stored)] == [(item["system"], item["value"]) for item in stored]


def test_content_is_a_resource_without_its_number_and_time() -> None:
    stored = {"resourceType": "Patient", "meta": {"versionId": "3", "lastUpdated": "x", "tag": [{"code": "t"}]}}
    assert content(stored) == {"resourceType": "Patient", "meta": {"tag": [{"code": "t"}]}}
    assert content({"resourceType": "Patient", "meta": {"versionId": "3"}}) == {"resourceType": "Patient"}


def test_paths_read_the_first_item_of_lists() -> None:
    assert value_at({"a": [{"b": {"c": 1}}, {"b": 2}]}, "a.b.c") == 1
    assert value_at({"a": []}, "a.b") is None
    assert date_time(NOON) == "2026-03-01T12:00:00Z"


MARKED = json.loads(files("server.hl7v2").joinpath("retirement.json").read_text("utf-8"))["types"]


@pytest.mark.parametrize("resource_type", sorted(MARKED))
def test_every_mark_is_of_elements_and_codes_that_the_type_has(resource_type: str) -> None:
    assert can_retire(resource_type)
    marked = retired({"resourceType": resource_type, "clinicalStatus": {"text": "gone"}})
    faults = [
        issue
        for issue in validate({name: value for name, value in marked.items() if name != "clinicalStatus"})
        if any(issue.expression.startswith(f"{resource_type}.{name}") for name in MARKED[resource_type]["set"])
    ]
    assert faults == []
    assert ("clinicalStatus" in marked) == ("removed" not in MARKED[resource_type])
