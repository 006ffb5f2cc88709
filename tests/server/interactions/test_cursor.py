"""Paging cursors: what was sealed comes back, for the same question only. hl7.org/fhir/R4/http.html#paging"""

from __future__ import annotations

from decimal import Decimal
from math import inf

import pytest

from server.errors import FhirError
from server.interactions.cursor import open_cursor, seal_cursor

KEY = b"of tests alone"


@pytest.mark.parametrize(
    "position",
    [[["smith", 5], None], [[-inf, 0.5, 7], 3], [[inf, None, 2**62], None], [[-(2**63), "Zoë 李", 1], 10_000]],
)
def test_a_position_comes_back_as_it_was(position: object) -> None:
    assert open_cursor(KEY, "question", seal_cursor(KEY, "question", position)) == position


def test_a_cursor_is_good_for_its_question_only() -> None:
    sealed = seal_cursor(KEY, "question", [[1], None])
    for key, question, cursor in (
        (KEY, "another", sealed),
        (b"another key", "question", sealed),
        (KEY, "question", sealed[:-2]),
        (KEY, "question", "é"),
        (KEY, "question", ""),
    ):
        with pytest.raises(FhirError):
            open_cursor(key, question, cursor)


@pytest.mark.requirement("U1")
@pytest.mark.parametrize("order", ["", "-"])
def test_pages_go_on_after_a_value_without_a_start(fhir, build, order) -> None:
    """The range of "< 5" begins at minus infinity."""
    values = {"a": ("<", "5"), "b": ("<", "7"), "c": (None, "3"), "d": (None, "4"), "e": None}
    for id, value in values.items():
        made = build.observation("Patient/p", id=id)
        del made["valueQuantity"]
        if value is not None:
            comparator, number = value
            made["valueQuantity"] = {"value": Decimal(number), "unit": "mg"}
            made["valueQuantity"] |= {"comparator": comparator} if comparator else {}
        assert fhir.put(f"Observation/{id}", made).status == 201

    found, path = [], f"Observation?_sort={order}value-quantity&_count=1"
    while path:
        bundle = fhir.get(path).json
        found += [entry["resource"]["id"] for entry in bundle["entry"]]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        path = following[0].rpartition("/")[2] if following else ""

    assert found == (["d", "c", "a", "b", "e"] if order else ["a", "b", "c", "d", "e"])
