"""Passwords as they are stored, and what it costs to try one.

Covers server/auth/credentials.py. Source: RFC 7914; OWASP Password Storage Cheat Sheet, scrypt.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from server.auth import credentials
from server.auth.credentials import hash_password, verify_password

PASSWORD = "correct horse battery"


@pytest.fixture
def real_cost(password_cost: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    """The cost outside of tests, in force again."""
    monkeypatch.setattr(credentials, "PASSWORD_COST", password_cost)
    return password_cost


def test_a_try_costs_what_owasp_asks_for_at_least(real_cost: tuple[int, int, int]) -> None:
    n, r, p = real_cost
    assert (n >= 2**15, r, p >= 3) == (True, 8, True)
    assert hash_password(PASSWORD).startswith(f"scrypt${n}${r}${p}$")


def test_an_account_that_does_not_exist_costs_the_same(monkeypatch: pytest.MonkeyPatch, real_cost: Any) -> None:
    stored, asked, scrypt = hash_password(PASSWORD), [], hashlib.scrypt

    def counted(password: bytes, **cost: Any) -> bytes:
        asked.append([cost[name] for name in ("n", "r", "p", "dklen")])
        return scrypt(password, **cost)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    assert not verify_password(PASSWORD, "")
    assert not verify_password("another one", stored)
    assert asked[0] == asked[1] == [*real_cost, 32]


def test_the_password_alone_fits_and_no_two_hashes_are_alike() -> None:
    one, two = hash_password(PASSWORD), hash_password(PASSWORD)
    assert one != two
    assert verify_password(PASSWORD, one)
    assert verify_password(PASSWORD, two)
    assert not verify_password(PASSWORD + " ", one)


def test_a_hash_is_checked_at_the_cost_it_was_made_with(
    real_cost: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = hash_password(PASSWORD)
    monkeypatch.setattr(credentials, "PASSWORD_COST", (16, 8, 1))
    assert verify_password(PASSWORD, stored)
