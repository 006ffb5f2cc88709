"""Which passwords are guessed first. Covers server/policy/common_passwords.py; NIST SP 800-63B 5.1.1.2."""

from __future__ import annotations

import pytest

from server.auth.credentials import password_fault
from server.policy.common_passwords import is_common


@pytest.mark.parametrize(
    "password",
    [
        "1qaz2wsx3edc",  # of the list
        "1QAZ2WSX3EDC",
        "Password1234!",  # a word of it, dressed up
        "2026-Dragon-01",
        "dragondragon",  # repeated
        "aaaaaaaaaaaa",
        "abababababab",
        "123456789012",  # one after the other
        "098765432109",
        "abcdefghijklm",
    ],
)
def test_what_is_guessed_first_is_common(password: str) -> None:
    assert is_common(password)
    assert "guessed first" in (password_fault(password, "rn") or "")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "größer als zwölf",
        "dragon over the castle",
        "81723940561728",
        "пароль из слов здесь",
    ],
)
def test_what_is_long_and_of_ones_own_is_not(password: str) -> None:
    assert not is_common(password)
    assert password_fault(password, "rn") is None
