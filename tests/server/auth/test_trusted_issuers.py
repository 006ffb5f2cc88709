"""What a trusted issuer must fulfil, and which identifiers of users count.

Covers server/auth/trusted_issuers.py, server/auth/subject_token.py (is_npi).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey, RSAKey

from server.auth.scopes import parse_scope
from server.auth.subject_token import is_npi
from server.auth.trusted_issuers import IssuerError, NewIssuer, issuer_row, may_be_exchanged, public_keys

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = RSAKey.generate_key(2048, {"kid": "a", "use": "sig"})
JWKS = {"keys": [KEY.as_dict(private=False)]}
GOOD: dict[str, Any] = {
    "issuer": "https://other.example/auth",
    "fhir_base": "https://other.example/fhir/",
    "audience": "our-app",
    "clients": ("exchange", "exchange"),
    "scope": "patient/List.crus  user/Provenance.cu patient/List.crus",
    "jwks": JWKS,
}


def test_a_good_registration_is_kept_in_its_plain_form() -> None:
    row = issuer_row(NewIssuer(**GOOD), NOW)
    assert row.fhir_base == "https://other.example/fhir"
    assert row.label == "other.example"
    assert row.clients == ("exchange",)
    assert row.scope == "patient/List.crus user/Provenance.cu"
    assert row.algorithms == ("RS256",)
    assert not row.disabled


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"issuer": "http://other.example"}, "https URL"),
        ({"issuer": "https://other.example/#x"}, "https URL"),
        ({"issuer": "https://a@other.example"}, "https URL"),
        ({"issuer": "other"}, "https URL"),
        ({"issuer": "https://[x"}, "cannot be read"),
        ({"issuer": "https://other.example/" + "x" * 300}, "https URL"),
        ({"jwks_uri": "ftp://other.example/jwks"}, "https URL"),
        ({"audience": ""}, "client id"),
        ({"clients": ()}, "at least one client"),
        ({"algorithms": ("HS256",)}, "algorithms are of"),
        ({"algorithms": ("none",)}, "algorithms are of"),
        ({"algorithms": ()}, "algorithms are of"),
        ({"npi_claim": "a b"}, "claim with the NPI"),
        ({"jwks": None}, "give its public keys"),
        ({"jwks": {"keys": []}}, "no RSA or EC key"),
        ({"jwks": {}}, "a JWKS is"),
        pytest.param({"jwks": {"keys": [KEY.as_dict(private=True)]}}, "private key", id="a private key"),
        ({"jwks": {"keys": [{"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"}]}}, "cannot be read"),
        ({"scope": ""}, "at least one scope"),
        ({"scope": "patient/*.rs"}, "cannot be granted"),
        ({"scope": "user/List.rs"}, "cannot be granted"),
        ({"scope": "user/Provenance.rs"}, "cannot be granted"),
        ({"scope": "system/List.rs"}, "cannot be granted"),
        ({"scope": "offline_access"}, "cannot be granted"),
        ({"scope": "patient/Nothing.rs"}, "cannot be granted"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_anything_else_is_refused_with_what_to_change(change: dict[str, Any], words: str) -> None:
    with pytest.raises(IssuerError, match=f"(?i){words}"):
        issuer_row(NewIssuer(**GOOD | change), NOW)


def test_loopback_may_be_plain_http() -> None:
    assert issuer_row(NewIssuer(**GOOD | {"issuer": "http://localhost:9000"}), NOW)


def test_keys_for_other_ends_are_left_out() -> None:
    other = [
        RSAKey.generate_key(2048, {"kid": "e", "use": "enc"}).as_dict(private=False),
        OctKey.generate_key(256, {"kid": "s"}).as_dict(),
        {"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "AA"},
        "no key",
    ]
    assert public_keys({"keys": [*JWKS["keys"], *other]}) == JWKS


@given(
    st.sampled_from(["patient", "user", "system"]),
    st.sampled_from(["List", "Provenance", "*"]),
    st.sampled_from(["r", "cu", "cruds", "s"]),
)
def test_an_exchanged_token_reads_nothing_but_one_patient(level: str, type: str, letters: str) -> None:
    scope = parse_scope(f"{level}/{type}.{letters}")
    if may_be_exchanged(scope):
        assert level == "patient" or not set(letters) & set("rsd")
        assert type != "*"


@pytest.mark.parametrize("number", ["1234567893", "1245319599"])
def test_a_number_with_the_right_check_digit_is_an_npi(number: str) -> None:
    assert is_npi(number)


@pytest.mark.parametrize(
    "number", ["1234567890", "123456789", "12345678931", "", "123456789X", None, 1234567893, "١٢٣٤٥٦٧٨٩٣"]
)
def test_any_other_is_none(number: Any) -> None:
    assert not is_npi(number)


@given(st.integers(0, 999_999_999), st.integers(1, 9))
def test_a_slip_in_one_digit_is_noticed(stem: int, slip: int) -> None:
    text = f"{stem:09}"
    good = [text + str(check) for check in range(10) if is_npi(text + str(check))]
    assert len(good) == 1
    assert not is_npi(good[0][:-1] + str((int(good[0][-1]) + slip) % 10))
