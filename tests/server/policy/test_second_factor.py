"""Who signs in with a second factor. Covers server/policy/second_factor.py and its data."""

from __future__ import annotations

import pytest

from server.policy.roles import roles
from server.policy.second_factor import BY_ROLE, OPTIONAL, REQUIRED, needs_second_factor


@pytest.mark.parametrize("role", [*roles(), "a role that nobody knows"])
def test_every_role_needs_one_unless_the_site_says_otherwise(role: str) -> None:
    assert needs_second_factor(role, BY_ROLE)
    assert needs_second_factor(role, REQUIRED)
    assert not needs_second_factor(role, OPTIONAL)


def test_a_word_that_is_none_of_them_demands_it() -> None:
    assert needs_second_factor("rn", "optionel")
