"""How failed attempts slow down whoever makes them. Covers server/policy/throttling.py and its data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.policy.throttling import ONE, ThrottleRule, throttle_rules

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RULE = ThrottleRule("r", 2, timedelta(seconds=10), timedelta(seconds=60), timedelta(seconds=30))


def test_the_first_failures_are_free_then_the_wait_doubles_up_to_the_most() -> None:
    waits = [RULE.wait(failures * ONE).total_seconds() for failures in range(8)]
    assert waits == [0, 0, 0, 10, 20, 40, 60, 60]


def test_failures_leak_away_one_at_a_time() -> None:
    assert RULE.level(3 * ONE, NOW, NOW + timedelta(seconds=30)) == 2 * ONE
    assert RULE.level(3 * ONE, NOW, NOW + timedelta(seconds=45)) == 1.5 * ONE
    assert RULE.level(3 * ONE, NOW, NOW + timedelta(hours=1)) == 0


def test_a_clock_that_goes_back_forgives_nothing() -> None:
    assert RULE.level(3 * ONE, NOW, NOW - timedelta(hours=1)) == 3 * ONE


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_more_failures_never_shorten_the_wait_and_time_never_adds_a_failure(level: int, seconds: int) -> None:
    assert RULE.wait(level) <= RULE.wait(level + ONE) <= RULE.most
    assert 0 <= RULE.level(level, NOW, NOW + timedelta(seconds=seconds)) <= level
    assert RULE.forgotten(level, NOW) >= NOW + RULE.wait(level)


@pytest.mark.parametrize("name", ["password", "second-factor", "sign-in-address", "client", "client-address"])
def test_every_rule_of_the_data_closes_and_opens_again(name: str) -> None:
    rule = throttle_rules()[name]
    assert rule.name == name
    assert rule.free > 0
    assert timedelta(0) < rule.first <= rule.most <= timedelta(hours=1)
    assert rule.wait((rule.free + 1) * ONE) == rule.first


def test_guessing_a_code_for_a_year_finds_it_less_than_once_in_a_hundred_accounts() -> None:
    """Six digits, three of which are right at any moment; the wait at its longest all the time."""
    rule = throttle_rules()["second-factor"]
    guesses = rule.free + timedelta(days=365) / rule.most
    assert guesses * 3 / 10**6 < 0.03
