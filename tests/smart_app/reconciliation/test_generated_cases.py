"""Generated discharges against their recorded answers. Covers: no false identical; recall, precision."""

from __future__ import annotations

from typing import Any

import pytest

from smart_app.discharge_cases.cases import Case, discharge_cases
from smart_app.discharge_cases.score import Score
from smart_app.reconciliation.explain import explain

SEED = 20261121


def test_two_hundred_discharges_are_read_as_a_careful_reader_would(rxnorm: Any) -> None:
    print(f"seed {SEED}")
    score = Score()
    for case in discharge_cases(SEED, 200):
        score.add(case, explain(case.bundle, rxnorm))
    assert score.false_identical == 0, score.misses
    assert score.precision >= 0.995, score.misses
    assert score.recall >= 0.99, score.misses
    assert score.named_right >= 0.98, score.misses
    assert score.alerts_right == score.alerts_expected


def test_the_score_sees_a_false_identical_and_a_missed_pair() -> None:
    expected = {
        "groups": [
            {"edit": "dose", "kind": "changed", "before": ["a"], "after": ["b"], "differences": ["dose"]},
            {"edit": "omission", "kind": "only-before", "before": ["c"], "after": [], "differences": []},
        ],
        "alerts": [{"kind": "allergy", "references": ["x"]}],
    }
    found = {
        "groups": [
            {"kind": "identical", "before": ["a"], "after": ["b"], "differences": []},
            {"kind": "possible", "before": ["c"], "after": ["d"], "differences": []},
        ],
        "alerts": [],
    }
    score = Score()
    score.add(Case(1, {"entry": []}, expected), found)
    assert (score.false_identical, score.recall, score.precision) == (1, 1.0, 0.5)
    assert [miss.edit for miss in score.misses] == ["dose", "omission", "alert"]
    assert score.named_right == pytest.approx(0.0)
