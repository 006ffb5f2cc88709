"""Id tokens of another provider: which are believed. Covers server/auth/id_tokens.py.

OpenID Connect Core 1.0 section 3.1.3.7, RFC 8725 section 3 (algorithm confusion, kid, jku, jwk).
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from server.auth.id_tokens import Identity, IdTokenRefused, UnknownKey, read_id_token

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ISSUER, CLIENT = "https://login.example", "baton"
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"})
OTHER = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
KEYS = [RSA.as_dict(private=False), EC.as_dict(private=False)]


def claims(**changes: Any) -> dict[str, Any]:
    """Honest claims; a change of None leaves one out."""
    seconds = int(NOW.timestamp())
    honest = {
        "iss": ISSUER,
        "sub": "248289761001",
        "aud": CLIENT,
        "exp": seconds + 300,
        "iat": seconds,
        "nonce": "the nonce",
    } | changes
    return {name: value for name, value in honest.items() if value is not None}


def token(
    key: Any = RSA, algorithm: str = "RS256", header: dict[str, Any] | None = None, **changes: Any
) -> str:
    given_header = {"alg": algorithm, "kid": key.kid} | (header or {})
    return jwt.encode(
        {name: value for name, value in given_header.items() if value is not None},
        claims(**changes),
        key,
        [algorithm],
    )


def read(text: str, keys: Any = KEYS) -> Identity:
    return read_id_token(text, keys, issuer=ISSUER, client_id=CLIENT, nonce="the nonce", now=NOW)


def refusal(text: str, keys: Any = KEYS) -> str:
    with pytest.raises(IdTokenRefused) as caught:
        read(text, keys)
    return caught.value.rule


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256")])
def test_an_honest_token_says_who_it_is(key: Any, algorithm: str) -> None:
    moment = int(NOW.timestamp()) - 5
    identity = read(token(key, algorithm, amr=["pwd", "mfa", 3], auth_time=moment))
    assert identity == Identity(ISSUER, "248289761001", ("pwd", "mfa"), datetime.fromtimestamp(moment, UTC))


def test_without_a_kid_the_only_fitting_key_counts_and_two_are_one_too_many() -> None:
    plain = token(header={"kid": None})
    assert read(plain).subject == "248289761001"
    assert refusal(plain, [*KEYS, OTHER.as_dict(private=False)]) == "kid"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": ISSUER + "/"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "another"}, "aud"),
        ({"aud": [CLIENT, "another"]}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": None}, "aud"),
        ({"azp": "another"}, "azp"),
        ({"exp": int(NOW.timestamp()) - 61}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": "soon"}, "exp"),
        ({"iat": int(NOW.timestamp()) + 61}, "iat"),
        ({"iat": int((NOW - timedelta(minutes=11)).timestamp())}, "iat"),
        ({"iat": None}, "iat"),
        ({"nbf": int(NOW.timestamp()) + 61}, "nbf"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": ["the nonce"]}, "nonce"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": 7}, "sub"),
        ({"sub": "x" * 256}, "sub"),
        ({"sub": "a\nb"}, "sub"),
    ],
)
def test_a_token_that_is_not_for_us_now_is_refused(changes: dict[str, Any], rule: str) -> None:
    assert refusal(token(**changes)) == rule


def test_a_single_audience_in_a_list_and_ourselves_as_azp_are_right() -> None:
    assert read(token(aud=[CLIENT], azp=CLIENT)).subject == "248289761001"


def by_hand(header: dict[str, Any], sign: Callable[[bytes], bytes] = lambda text: b"") -> str:
    """A token that no library would make."""
    parts = [encoded(json.dumps(part).encode()) for part in (header, claims())]
    text = ".".join(parts)
    return f"{text}.{encoded(sign(text.encode()))}"


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_token_without_signature_is_refused() -> None:
    for algorithm in ("none", "None", "NONE", "", None, 7):
        assert refusal(by_hand({"alg": algorithm, "kid": "rsa"})) in ("alg", "form")


def test_the_public_key_is_no_shared_secret() -> None:
    """Algorithm confusion: HS256 keyed with what everybody can read."""
    for secret in (RSA.as_pem(private=False), json.dumps(KEYS[0]).encode()):
        header = {"alg": "HS256", "kid": "rsa"}
        assert refusal(by_hand(header, lambda text, key=secret: hmac.digest(key, text, "sha256"))) == "alg"


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS512"])
def test_an_algorithm_that_is_not_pinned_is_refused(algorithm: str) -> None:
    assert refusal(token(algorithm=algorithm)) == "alg"


def test_a_key_of_another_type_verifies_nothing() -> None:
    assert refusal(token(header={"kid": "ec"})) == "kid"


def test_a_signature_of_somebody_else_is_refused() -> None:
    assert refusal(token(OTHER)) == "signature"
    assert refusal(token()[:-8] + "AAAAAAAA") == "signature"


def test_keys_that_the_token_brings_along_count_for_nothing() -> None:
    own = {
        "jwk": OTHER.as_dict(private=False),
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example",
    }
    assert refusal(token(OTHER, header={"kid": "theirs"} | own)) in ("kid", "form")
    assert refusal(token(OTHER, header=own)) in ("signature", "form")


@pytest.mark.parametrize("kid", ["another", "../rsa", "", 7])
def test_a_kid_that_names_no_key_asks_for_the_keys_anew(kid: object) -> None:
    header = urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": kid}).encode()).rstrip(b"=").decode()
    forged = header + "." + token().partition(".")[2]
    with pytest.raises(IdTokenRefused) as caught:
        read(forged)
    assert isinstance(caught.value, UnknownKey) or caught.value.rule == "form"


def test_a_key_for_encryption_or_another_algorithm_verifies_nothing() -> None:
    for change in ({"use": "enc"}, {"alg": "RS512"}):
        assert refusal(token(), [KEYS[0] | change]) == "kid"


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_whatever_comes_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(IdTokenRefused):
        read(text)
