"""Random charts and random searches through the door, compared with the oracle: ids, order, totals, includes.

Covers hl7.org/fhir/R4/search.html with docs/reference/search.md. BATON_ORACLE_CASES: how many searches;
BATON_ORACLE_SEED: the seed that a failure printed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random, SystemRandom
from typing import Any

import pytest
from search_oracle.asking import Door, asked, offered, write_chart
from search_oracle.questions import FORMS

CASES = int(os.environ.get("BATON_ORACLE_CASES") or 500)
SEED = os.environ.get("BATON_ORACLE_SEED")
QUESTIONS = 25 if CASES <= 1_000 else 100  # of one chart
AT_ONCE = 4  # charts before every commit; the others are left to `make test`
RESOURCES = 80  # writes that make a chart


@pytest.mark.requirement("U1")
@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(number, marks=[pytest.mark.slow] if number >= AT_ONCE else [])
        for number in range(1 if SEED else -(-CASES // QUESTIONS))
    ],
)
def test_the_server_answers_as_the_standard_says(chart: int, as_token: Callable[..., Any], clock: Any) -> None:
    seed = int(SEED) if SEED else SystemRandom().randrange(10**9)
    random = Random(seed)
    door = Door(as_token)
    oracle = write_chart(door, random, RESOURCES, lambda seconds: clock.advance(seconds=seconds))

    known = offered(door.everything)
    assert known.forms == FORMS.keys(), "a form of search is not offered any more"
    differences = asked(door, oracle, random, known, QUESTIONS, clock.now)

    assert not differences, f"BATON_ORACLE_SEED={seed} BATON_ORACLE_CASES={CASES}\n" + "\n\n".join(
        map(str, differences)
    )
