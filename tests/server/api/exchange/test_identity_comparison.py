"""Two Patients side by side: which lines there are, and how each is marked.

Covers server/api/identity_comparison.py.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.api.identity_comparison import compared

THERE = {
    "name": [{"family": "Ünal", "given": ["Test", "A."]}],
    "birthDate": "1950-02-03",
    "gender": "female",
    "identifier": [{"system": "urn:x", "value": "1"}, {"system": "urn:y", "value": "2"}],
    "address": [{"line": ["1 Road"], "postalCode": "12345", "city": "Town"}],
}


def relations(there: dict, here: dict) -> dict[str, str]:
    return {row.label: row.relation for row in compared(there, here)}


def test_every_difference_is_marked_and_silence_is_no_difference() -> None:
    here = {
        "name": [{"family": "UNAL", "given": ["test", "a."]}],
        "birthDate": "1950-03-02",
        "identifier": [{"system": "urn:x", "value": "9"}],
    }
    assert relations(THERE, here) == {
        "Name": "same",
        "Birth date": "differs",
        "Sex": "one side",
        "Identifier urn:x": "differs",
        "Identifier urn:y": "one side",
        "Address": "one side",
    }


def test_one_name_of_several_is_enough() -> None:
    assert relations({"name": [{"text": "A B"}, {"text": "C D"}]}, {"name": [{"text": "c d"}]}) == {
        "Name": "same"
    }


_TEXT = st.text("ab1 ", max_size=4)
_PATIENT = st.fixed_dictionaries(
    {},
    optional={
        "name": st.lists(
            st.fixed_dictionaries({}, optional={"family": _TEXT, "text": _TEXT, "given": st.lists(_TEXT)})
        ),
        "birthDate": st.sampled_from(["1950-01-01", "1951-01-01"]),
        "gender": st.sampled_from(["male", "female"]),
        "identifier": st.lists(st.fixed_dictionaries({}, optional={"system": _TEXT, "value": _TEXT})),
    },
)


@given(_PATIENT, _PATIENT)
def test_the_sides_can_be_swapped_and_a_patient_differs_from_itself_in_nothing(one: dict, other: dict) -> None:
    assert relations(one, other) == relations(other, one)
    assert set(relations(one, one).values()) <= {"same"}
