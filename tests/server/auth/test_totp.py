"""Codes of authenticator apps. Covers server/auth/totp.py; RFC 6238 appendix B, RFC 4226 appendix D."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth.totp import PERIOD, code_of, key_uri, matching_step, secret_text, time_step

SECRET = b"12345678901234567890"
NOW = datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_the_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    assert code_of(SECRET, time_step(datetime.fromtimestamp(seconds, UTC)), 8) == code


@pytest.mark.parametrize(
    ("counter", "code"),
    list(enumerate(["755224", "287082", "359152", "969429", "338314", "254676", "287922"])),
)
def test_six_digits_are_those_of_rfc_4226(counter: int, code: str) -> None:
    assert code_of(SECRET, counter) == code


@pytest.mark.parametrize(("away", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_one_step_before_and_after_is_taken(away: int, taken: bool) -> None:
    step = time_step(NOW) + away
    assert matching_step(SECRET, code_of(SECRET, step), NOW, after=0) == (step if taken else None)


def test_no_step_is_taken_that_lies_before_one_taken_already() -> None:
    current = time_step(NOW)
    code = code_of(SECRET, current)
    assert matching_step(SECRET, code, NOW, after=current - 1) == current
    assert matching_step(SECRET, code, NOW, after=current) is None


@given(st.text(max_size=8))
def test_whatever_is_typed_is_right_or_not(typed: str) -> None:
    right = {code_of(SECRET, time_step(NOW) + away) for away in (-1, 0, 1)}
    assert (matching_step(SECRET, typed, NOW, after=0) is not None) == (typed in right)


def test_a_step_lasts_thirty_seconds() -> None:
    assert time_step(NOW + timedelta(seconds=PERIOD)) == time_step(NOW) + 1


def test_an_app_reads_the_same_secret_that_a_person_types() -> None:
    uri = urlsplit(key_uri(SECRET, "Baton ehr.example", "a.nurse"))
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Baton%20ehr.example%3Aa.nurse")
    said = parse_qs(uri.query)
    assert said["secret"] == [secret_text(SECRET).replace(" ", "")] == ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"]
    assert said["issuer"] == ["Baton ehr.example"]
