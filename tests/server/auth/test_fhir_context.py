"""fhirContext of a launch.

Covers hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (fhirContext).
"""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth.fhir_context import FhirContextError, check_fhir_context

pytestmark = pytest.mark.requirement("T5")
QUESTIONNAIRE = "https://example.org/Questionnaire/one|2"


@pytest.mark.parametrize(
    "item",
    [
        {"reference": "ImagingStudy/one"},
        {"reference": "ImagingStudy/one", "type": "ImagingStudy", "role": "launch"},
        {"reference": "List/one", "role": "https://example.org/med-list-at-home"},
        {"reference": "Patient/two", "role": "https://example.org/mother"},
        {"reference": "Encounter/one", "role": "urn:example:earlier-stay"},
        {"canonical": QUESTIONNAIRE, "type": "Questionnaire"},
        {"canonical": QUESTIONNAIRE},
        {"identifier": {"system": "urn:example:accession", "value": "A-1"}, "type": "ServiceRequest"},
        {"identifier": {"value": "A-1", "type": {"coding": [{"code": "ACSN", "userSelected": True}]}}},
        {"reference": "Task/t", "canonical": "http://example.org/Task", "identifier": {"value": "1"}},
    ],
)
def test_what_smart_knows_is_passed_on_unchanged(item: dict[str, Any]) -> None:
    assert check_fhir_context([item]) == [item]


@pytest.mark.parametrize(
    "item",
    [
        "ImagingStudy/one",
        None,
        {},
        {"type": "Observation"},
        {"role": "launch", "type": "Observation"},
        {"reference": ""},
        {"reference": 5},
        {"reference": "https://ehr.example/fhir/ImagingStudy/one"},
        {"reference": "ImagingStudy"},
        {"reference": "imagingstudy/one"},
        {"reference": "Planet/mars"},
        {"reference": "ImagingStudy/one/_history/2"},
        {"reference": "ImagingStudy/../one"},
        {"reference": "List/one", "type": "Observation"},
        {"reference": "List/one", "role": ""},
        {"reference": "List/one", "role": "med-list-at-home"},
        {"reference": "List/one", "role": None},
        {"reference": "List/one", "colour": "red"},
        {"reference": "Patient/one"},
        {"reference": "Encounter/one", "role": "launch"},
        {"identifier": {"value": "1"}, "type": "Patient"},
        {"canonical": "Questionnaire/one"},
        {"canonical": "urn:uuid:1"},
        {"canonical": "https://[", "type": "Questionnaire"},
        {"identifier": "A-1"},
        {"identifier": {}},
        {"identifier": {"use": "official"}},
        {"identifier": {"value": 1}},
        {"identifier": {"value": ""}},
        {"identifier": {"value": "1", "colour": "red"}},
        {"identifier": {"value": "1", "period": {"start": Decimal("1.5")}}},
        {"identifier": {"value": "1", "type": {"a": {"b": {"c": {"d": {"e": {"f": "g"}}}}}}}},
        {"reference": "List/one\ud800"},
        {"identifier": {"value": "\ud800"}},
    ],
)
def test_anything_else_is_refused_without_repeating_it(item: Any) -> None:
    with pytest.raises(FhirContextError) as refusal:
        check_fhir_context([item])
    assert "one" not in str(refusal.value).split()
    assert "A-1" not in str(refusal.value)


@pytest.mark.parametrize("items", ["ImagingStudy/one", {"reference": "List/one"}, None, 5, [{}] * 51])
def test_it_is_an_array_of_few_objects(items: Any) -> None:
    with pytest.raises(FhirContextError):
        check_fhir_context(items)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("List/one"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("reference", "canonical", "identifier", "type", "role", "system", "value")), inner
        )
    ),
)


@given(JSON)
def test_no_json_makes_it_fail(items: Any) -> None:
    with contextlib.suppress(FhirContextError):
        assert check_fhir_context(items) == items
