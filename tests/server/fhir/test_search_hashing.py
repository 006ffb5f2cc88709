"""Hashes of the token index: stored for ever, so their values are fixed here.

Covers server/fhir/hashing.py ("Layout") and the law that SQL joins on.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fhir import hashing
from server.fhir.search_query import (
    MissingValue,
    ReferenceValue,
    SearchParameter,
    StringValue,
    TokenValue,
    UriValue,
)

GOLDEN = [
    (hashing.hash64("a", "bc"), -3973002143048741256),
    (hashing.hash64("ab", "c"), 4622009677920014814),
    (hashing.hash64("token", "", "Zoë"), -2543342621360398070),
    (hashing.parameter_mask(1), -1647165097811795290),
    (hashing.parameter_mask(1978), 1835051630203741783),
    (hashing.presence_hash(1), 7862838868840229489),
    (hashing.token_hash(7, "http://loinc.org", "2160-0"), -525472254919796976),
    (hashing.code_hash(7, "2160-0"), -4809522923300516984),
    (hashing.system_hash(7, "http://loinc.org"), -8501555171677263876),
    (hashing.identifier_hash(7, "urn:example:mrn", "A-1"), -7543174942365236212),
    (hashing.identifier_hash(7, None, "A-1"), 1201810992547551102),
    (hashing.identifier_hash(7, "urn:example:mrn", None), -8507998957620685937),
    (hashing.of_type_hash(7, "s", "MR", "A-1"), -7052936156003456036),
    (hashing.reference_hash("Patient/1"), -8491113408672242247),
    (hashing.unit_hash("http://unitsofmeasure.org", "mg"), 5881518675390319636),
    (hashing.unit_hash(None, "mg"), 8681072841160913336),
    (hashing.dimension_hash("g.m-3"), -7449224780130813159),
    (hashing.canonical_number(1), -7036916709738167289),
    (hashing.parameter_mask(hashing.code_hash(7, "2160-0")), -2326057548976039134),
]


@pytest.mark.parametrize(("computed", "stored"), GOLDEN)
def test_a_hash_that_was_stored_once_is_computed_the_same(computed: int, stored: int) -> None:
    assert computed == stored


@given(st.lists(st.text(max_size=6), max_size=4), st.lists(st.text(max_size=6), max_size=4))
def test_different_parts_have_different_hashes(one: list[str], other: list[str]) -> None:
    assert (hashing.hash64(*one) == hashing.hash64(*other)) == (one == other)


@given(st.text())
def test_every_hash_fits_a_signed_64_bit_column(text: str) -> None:
    assert -(2**63) <= hashing.hash64(text) < 2**63
    assert -(2**63) <= hashing.link_hash(5, hashing.reference_hash(text)) < 2**63


@given(st.integers(1, 10_000), st.text(min_size=1))
def test_sql_can_join_a_row_to_those_that_refer_to_it(parameter: int, reference: str) -> None:
    own = hashing.reference_hash(reference)
    mask = hashing.parameter_mask(parameter)
    assert (own | mask) - (own & mask) == hashing.link_hash(parameter, own)


def _parameter(type: str, **more: object) -> SearchParameter:
    return SearchParameter(7, "p", type, "Patient", "", "", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parameter", "modifier", "value", "expected"),
    [
        (_parameter("token"), "", TokenValue("s", "c"), (hashing.token_hash(7, "s", "c"),)),
        (_parameter("token"), "", TokenValue("", "c"), (hashing.token_hash(7, "", "c"),)),
        (_parameter("token"), "", TokenValue(None, "C"), (hashing.code_hash(7, "C"),)),
        (_parameter("token"), "not", TokenValue("s", None), (hashing.system_hash(7, "s"),)),
        (
            _parameter("token", datatypes=("string",)),
            "",
            TokenValue(None, "C"),
            (hashing.code_hash(7, "c"),),
        ),
        (_parameter("token"), "missing", MissingValue(True), (hashing.presence_hash(7),)),
        (
            _parameter("reference"),
            "",
            ReferenceValue("Patient", "1"),
            (hashing.link_hash(7, hashing.reference_hash("Patient/1")),),
        ),
        (
            _parameter("reference", targets=("Group", "Patient")),
            "",
            ReferenceValue(None, "1"),
            (
                hashing.link_hash(7, hashing.reference_hash("Group/1")),
                hashing.link_hash(7, hashing.reference_hash("Patient/1")),
            ),
        ),
        (
            _parameter("reference"),
            "identifier",
            TokenValue("s", "v"),
            (hashing.identifier_hash(7, "s", "v"),),
        ),
        (
            _parameter("uri"),
            "",
            UriValue("urn:oid:1.2"),
            (hashing.link_hash(7, hashing.reference_hash("urn:oid:1.2")),),
        ),
    ],
)
def test_a_search_probes_the_hashes_that_indexing_stores(
    parameter: SearchParameter, modifier: str, value: object, expected: tuple[int, ...]
) -> None:
    assert hashing.probes(parameter, modifier, value) == expected  # type: ignore[arg-type]


def test_strings_are_not_answered_by_tokens() -> None:
    with pytest.raises(TypeError):
        hashing.probes(_parameter("string"), "", StringValue("x"))
