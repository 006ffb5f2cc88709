"""Registration of clients: what is refused, and what a registration becomes.

Covers RFC 7591 section 2, RFC 8252 section 7, RFC 9700 section 2.1.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from server.auth.clients import ASYMMETRIC, PUBLIC, SYMMETRIC, Registration, RegistrationError, client_row

NOW = datetime(2026, 1, 2, tzinfo=UTC)
APP = Registration("app", "App", PUBLIC, "openid patient/*.rs", redirect_uris=("https://app.example/cb",))
KEY = ECKey.generate_key("P-384", {"alg": "ES384"}, auto_kid=True)
WEAK = RSAKey.generate_key(1024)
PUBLIC_KEY: dict[str, Any] = {**KEY.as_dict(private=False), "kid": KEY.kid}


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb",
        "https://app.example:8443/cb?x=1",
        "http://127.0.0.1:9000/cb",
        "http://[::1]:9000/cb",
        "http://localhost/cb",
        "com.example.app:/cb",
    ],
)
def test_redirect_uris_that_can_be_registered(uri: str) -> None:
    assert client_row(replace(APP, redirect_uris=(uri,)), "", NOW).redirect_uris == (uri,)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://app.example/cb",
        "https://",
        "https:///cb",
        "https://app.example/cb#fragment",
        "https://app.example/c b",
        'https://app.example/"',
        "https://app.example/\\",
        "https://app.example/\u00e9",
        "https://[app.example/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "myapp:/cb",
        "/cb",
    ],
)
def test_redirect_uris_that_cannot(uri: str) -> None:
    with pytest.raises(RegistrationError):
        client_row(replace(APP, redirect_uris=(uri,)), "", NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": ""},
        {"client_id": "a b"},
        {"client_id": "x" * 65},
        {"name": " "},
        {"name": "x" * 101},
        {"name": "a\u202eb"},
        {"redirect_uris": ()},
        {"backend": True},
        {"launch_url": "ftp://app.example"},
        {"launch_url": "https://user@app.example/launch"},
        {"frame_ancestors": ("https://ehr.example/",)},
        {"frame_ancestors": ("https://ehr.example; script-src *",)},
        {"frame_ancestors": ("*",)},
        {"scope": ""},
        {"scope": "nonsense"},
        {"scope": "patient/Foo.rs"},
        {"scope": "patient/Observation.rs?nonsense=1"},
        {"kind": ASYMMETRIC},
        {"kind": ASYMMETRIC, "jwks_uri": "http://app.example/keys"},
        {"kind": ASYMMETRIC, "jwks_uri": "https://app.example/" + "x" * 2_000},
        {"kind": ASYMMETRIC, "jwks_uri": "https://app.example/keys", "jwks": {"keys": [PUBLIC_KEY]}},
        {"kind": ASYMMETRIC, "jwks": {"keys": [PUBLIC_KEY, PUBLIC_KEY]}},
        {"kind": ASYMMETRIC, "jwks": {"keys": [{**WEAK.as_dict(private=False), "kid": "1"}]}},
        {"kind": ASYMMETRIC, "jwks": {}},
        {"kind": ASYMMETRIC, "jwks": {"keys": []}},
        {"kind": ASYMMETRIC, "jwks": {"keys": [{**PUBLIC_KEY, "kid": ""}]}},
        {"kind": ASYMMETRIC, "jwks": {"keys": [{**KEY.as_dict(private=True), "kid": "1"}]}},
        {
            "kind": ASYMMETRIC,
            "jwks": {"keys": [{**OctKey.generate_key(256).as_dict(private=True), "kid": "1"}]},
        },
        {"kind": ASYMMETRIC, "jwks": {"keys": [{**PUBLIC_KEY, "x": "!"}]}},
    ],
)
def test_what_breaks_a_rule_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RegistrationError):
        client_row(replace(APP, **change), "", NOW)


@pytest.mark.parametrize(
    ("registration", "grant_types"),
    [
        (APP, ("authorization_code",)),
        (replace(APP, scope="offline_access user/*.rs"), ("authorization_code", "refresh_token")),
        (
            replace(APP, scope="online_access user/*.rs", kind=SYMMETRIC),
            ("authorization_code", "refresh_token"),
        ),
        (
            Registration(
                "svc", "Service", ASYMMETRIC, "system/*.rs", backend=True, jwks={"keys": [PUBLIC_KEY]}
            ),
            ("client_credentials",),
        ),
    ],
)
def test_the_grant_types_follow_from_the_registration(
    registration: Registration, grant_types: tuple[str, ...]
) -> None:
    assert client_row(registration, "", NOW).grant_types == grant_types
