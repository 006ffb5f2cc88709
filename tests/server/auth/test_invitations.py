"""Invitations to register: what an operator can ask for.

Covers server/auth/invitations.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from server.auth.clients import RegistrationError
from server.auth.invitations import invitation_in_force, invite

ASKED = {"scope": "openid patient/*.rs", "hosts": ["growth.example"]}


def test_its_token_is_kept_by_nobody(authorization: Any) -> None:
    token, row = invite(authorization, **ASKED)
    assert len(token) >= 43
    assert invitation_in_force(authorization, token) is not None
    assert invitation_in_force(authorization, token[:-1]) is None
    assert token not in str(row)
    assert row.invitation_id not in token


@pytest.mark.parametrize("host", ["Growth.Example", "growth.example.", "127.0.0.1", "[::1]", "com.growth.app:"])
def test_hosts_are_names_addresses_and_schemes_of_apps(authorization: Any, host: str) -> None:
    (kept,) = invite(authorization, **{**ASKED, "hosts": [host]})[1].hosts
    assert kept == host.lower().strip("[]").rstrip(".")


@pytest.mark.parametrize(
    "change",
    [
        {"scope": ""},
        {"scope": "nonsense"},
        {"scope": "patient/Foo.rs"},
        {"hosts": []},
        {"hosts": ["https://growth.example"]},
        {"hosts": ["growth.example/cb"]},
        {"hosts": ["growth.example:443"]},
        {"hosts": ["*.example"]},
        {"hosts": ["https:"]},
        {"hosts": [""]},
        {"uses": 0},
        {"uses": 1_001},
        {"lifetime": timedelta(0)},
        {"lifetime": timedelta(days=400)},
        {"note": "a\nb"},
        {"statement": {"iss": "x", "jwks": {"keys": []}}},
    ],
)
def test_what_breaks_a_rule_is_refused(authorization: Any, change: dict[str, Any]) -> None:
    with pytest.raises(RegistrationError):
        invite(authorization, **{**ASKED, **change})
    assert authorization.rows.registrations.invitations() == ()
