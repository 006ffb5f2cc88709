"""Whatever is broken in a valid resource is found, at its own path.

Takes real examples, breaks one thing by a catalogue of faults, and expects an issue with that expression.
And whatever JSON stands in whatever place, the rules answer with issues, never with an exception.
Covers hl7.org/fhir/R4/validation.html.
"""

from __future__ import annotations

import copy
import gzip
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.fhir.json_codec import decode
from server.fhir.references import iter_references, rewrite_references
from server.fhir.validation import validate
from server.fhir.validation_tables import Element, Table, table

EXAMPLES = Path(__file__).parent / "examples_us_core"
Json = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A property of an object inside a resource. path: its expression, without an index."""

    owner: Json
    described: Table
    element: Element
    path: str

    @property
    def value(self) -> Any:
        return self.owner[self.element.name]

    @property
    def first(self) -> str:
        return f"{self.path}[0]" if self.element.is_list else self.path

    def put(self, value: Any) -> None:
        self.owner[self.element.name] = [value, *self.value[1:]] if self.element.is_list else value


def places(described: Table, value: Json, path: str) -> Iterator[Place]:
    for name, item in value.items():
        element = described.elements.get(name)
        if element is None:
            continue
        place = f"{path}.{element.fhirpath}"
        yield Place(value, described, element, place)
        for index, one in enumerate(item if isinstance(item, list) else [item]):
            if isinstance(one, dict):
                inner = one["resourceType"] if element.type == "Resource" else element.type
                yield from places(table(inner), one, f"{place}[{index}]" if element.is_list else place)


def unknown(place: Place) -> str:
    place.owner["unknownElement"] = 1
    return place.path.removesuffix(place.element.fhirpath) + "unknownElement"


def missing(place: Place) -> str | None:
    name = place.element.choice or place.element.name
    if name not in place.described.required:
        return None
    del place.owner[place.element.name]
    place.owner.pop("_" + place.element.name, None)
    if place.owner.keys() <= {"id"}:
        return place.path.removesuffix("." + place.element.fhirpath)  # now the object itself is the fault
    return place.path.removesuffix(place.element.fhirpath) + name


def empty_array(place: Place) -> str | None:
    if not place.element.is_list:
        return None
    place.owner[place.element.name] = []
    return place.path


def no_array(place: Place) -> str | None:
    if not place.element.is_list:
        return None
    place.owner[place.element.name] = place.value[0]
    return place.path


def an_array(place: Place) -> str | None:
    if place.element.is_list:
        return None
    place.owner[place.element.name] = [place.value]
    return place.path


def null(place: Place) -> str | None:
    if place.element.is_list:
        return None
    place.owner[place.element.name] = None
    return place.path


def empty_object(place: Place) -> str | None:
    if place.element.is_primitive or place.element.type == "Resource":
        return None
    place.put({})
    return place.first


def wrong_json_type(place: Place) -> str:
    place.put(["x"] if place.element.is_primitive and not place.element.is_list else [1])
    return place.first


def only_an_id(place: Place) -> str | None:
    if place.element.is_primitive or place.element.type == "Resource":
        return None
    place.put({"id": "x"})
    return place.first


def malformed(place: Place) -> str | None:
    bad = {
        "date": "2024-02-30",
        "dateTime": "2024-02-30",
        "instant": "2024-02-30T00:00:00Z",
        "id": "a b",
        "code": " a",
        "uri": "a b",
        "url": "a b",
        "canonical": "a b",
        "string": "",
        "markdown": "",
        "boolean": "true",
        "decimal": "1",
        "positiveInt": 0,
        "integer": 2**40,
        "base64Binary": "*",
        "xhtml": "<div>",
    }.get(place.element.type)
    if bad is None:
        return None
    place.put(bad)
    return place.first


def outside_the_value_set(place: Place) -> str | None:
    if not place.element.value_set:
        return None
    place.put("no-such-code" if place.element.is_primitive else {"text": "no code"})
    return place.first


def no_reference(place: Place) -> str | None:
    if place.element.type != "Reference":
        return None
    place.put({"reference": "no reference"})
    return place.first + ".reference"


def wrong_target(place: Place) -> str | None:
    if not place.element.targets or "Slot" in place.element.targets:
        return None
    place.put({"reference": "Slot/1"})
    return place.first


def second_choice(place: Place) -> str | None:
    others = [n for n in place.described.choices.get(place.element.choice, ()) if n != place.element.name]
    if not others:
        return None
    place.owner[sorted(others)[0]] = {"id": "x"}
    return place.path.removesuffix(place.element.fhirpath) + place.element.choice


FAULTS: list[Callable[[Place], str | None]] = [
    unknown,
    missing,
    empty_array,
    no_array,
    an_array,
    null,
    empty_object,
    wrong_json_type,
    only_an_id,
    malformed,
    outside_the_value_set,
    no_reference,
    wrong_target,
    second_choice,
]


@pytest.fixture(scope="module")
def resources() -> list[Json]:
    lines = [
        line
        for name in ("us_core_6_1_0", "us_core_7_0_0")
        for line in gzip.decompress((EXAMPLES / f"{name}.ndjson.gz").read_bytes()).splitlines()
    ]
    return [decode(line) for line in lines if len(line) < 20_000]


def broken(resource: Json, fault: Callable[[Place], str | None], seed: int) -> tuple[Json, str] | None:
    """A copy with one fault and the expression of the fault; None where this fault cannot be made."""
    result = copy.deepcopy(resource)
    name = result["resourceType"]
    everywhere = list(places(table(name), result, name))
    random.Random(seed).shuffle(everywhere)
    for place in everywhere:
        expression = fault(place)
        if expression is not None:
            return result, expression
    return None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_fault_is_found_at_its_path(resources: list[Json], data: st.DataObject) -> None:
    resource = resources[data.draw(st.integers(0, len(resources) - 1), label="example")]
    fault = data.draw(st.sampled_from(FAULTS), label="fault")
    made = broken(resource, fault, data.draw(st.integers(0, 10**6), label="seed"))
    if made is not None:
        mutated, expression = made
        assert expression in [issue.expression for issue in validate(mutated)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_every_fault_of_the_catalogue_is_found_in_many_resources(
    resources: list[Json], fault: Callable[[Place], str | None]
) -> None:
    tried = 0
    for index, resource in enumerate(resources[::4]):
        made = broken(resource, fault, index)
        if made is not None:
            mutated, expression = made
            assert expression in [issue.expression for issue in validate(mutated)], resource["id"]
            tried += 1
    assert tried > 20


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", " ", "#", "#a", "Patient/1", "2024-02-30", "urn:uuid:", "\x0b", "active", "<div>", "*"]
    )
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "extension", "url", "coding", "code", "reference", "type", "resourceType", "value", "x"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_value_anywhere_makes_validation_fail(resources: list[Json], data: st.DataObject) -> None:
    resource = copy.deepcopy(resources[data.draw(st.integers(0, len(resources) - 1), label="example")])
    name = resource["resourceType"]
    everywhere = list(places(table(name), resource, name))
    for _ in range(data.draw(st.integers(1, 4), label="faults")):
        place = everywhere[data.draw(st.integers(0, len(everywhere) - 1), label="place")]
        place.owner[data.draw(st.sampled_from(["", "_"])) + place.element.name] = data.draw(
            json_values, label="value"
        )
    for issue in validate(resource):
        assert issue.severity == "error"
        assert issue.expression.startswith(name)
    for path, _ in iter_references(resource):
        assert path.startswith(name)
    assert rewrite_references(resource, lambda link: None) is resource
