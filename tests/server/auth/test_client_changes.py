"""What an administrator changes of a client, and what it leaves in the audit trail.

Covers server/auth/client_changes.py, key_states.py.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey

from server.auth import client_changes as changes
from server.auth import partner_changes
from server.auth.actor import OPERATOR, Actor
from server.auth.clients import ASYMMETRIC, PUBLIC, SYMMETRIC, Client, Registration, RegistrationError
from server.auth.key_states import key_states
from server.auth.keys import SigningKeys, rotate
from server.storage.partners import Agreement

ADMINISTRATOR = Actor("User/admin", "admin", "console")
pytestmark = pytest.mark.filterwarnings("ignore:Key size")


def keys() -> dict[str, Any]:
    key = ECKey.generate_key("P-384", {"alg": "ES384"}, auto_kid=True)
    return {"keys": [{**key.as_dict(private=False), "kid": key.kid}]}


def register(context: Any, kind: str = SYMMETRIC, **more: Any) -> tuple[str, str]:
    registration = Registration(
        client_id="app",
        name="App",
        kind=kind,
        scope="patient/*.rs",
        redirect_uris=("https://app.example/cb",),
        **more,
    )
    row, secret = changes.register(context, ADMINISTRATOR, registration)
    return row.client_id, secret


def is_secret(context: Any, secret: str) -> bool:
    return Client(context.rows.client("app"), context.token_key).check_client_secret(secret)


def test_a_secret_is_told_once_and_kept_as_a_digest(authorization: Any, app: Any) -> None:
    _, secret = register(authorization)
    assert len(secret) >= 43
    assert is_secret(authorization, secret)
    assert secret not in str(authorization.rows.client("app"))
    row = authorization.store.audit_rows(limit=1)[0]
    assert (row.interaction, row.client_id, row.principal, row.username) == (
        "client-add",
        "app",
        "User/admin",
        "admin",
    )


def test_a_new_secret_replaces_the_old_one(authorization: Any, app: Any) -> None:
    _, old = register(authorization)
    new = changes.rotate_secret(authorization, ADMINISTRATOR, "app")
    assert (is_secret(authorization, old), is_secret(authorization, new)) == (False, True)
    assert authorization.store.audit_rows(limit=1)[0].interaction == "client-secret"


def test_disabling_and_enabling(authorization: Any, app: Any) -> None:
    register(authorization, PUBLIC)
    changes.disable(authorization, ADMINISTRATOR, "app")
    assert authorization.rows.client("app").disabled
    changes.enable(authorization, ADMINISTRATOR, "app")
    assert not authorization.rows.client("app").disabled
    rows = authorization.store.audit_rows(limit=2)
    assert [row.interaction for row in rows] == ["client-enable", "client-disable"]


def test_a_client_of_a_suspended_partner_is_not_enabled_alone(authorization: Any, app: Any) -> None:
    partner_changes.add_partner(
        authorization,
        OPERATOR,
        "sunrise",
        name="Sunrise",
        kind="home-health",
        purpose="TREAT",
        organization_id="o",
        agreements=(Agreement("treatment", date(2024, 1, 1)),),
    )
    registration = Registration("app", "App", PUBLIC, "patient/*.rs", redirect_uris=("https://a.example/cb",))
    partner_changes.add_partner_client(authorization, OPERATOR, "sunrise", registration)
    partner_changes.suspend(authorization, OPERATOR, "sunrise", "why")
    with pytest.raises(RegistrationError, match="resumed"):
        changes.enable(authorization, ADMINISTRATOR, "app")
    assert authorization.rows.client("app").disabled


def test_keys_by_value_are_replaced_by_public_ones_alone(authorization: Any, app: Any) -> None:
    register(authorization, ASYMMETRIC, jwks=keys())
    fresh = keys()
    changes.replace_keys(authorization, ADMINISTRATOR, "app", fresh)
    assert authorization.rows.client("app").jwks == fresh
    private = ECKey.generate_key("P-384").as_dict(private=True) | {"kid": "k"}
    for wrong in ({"keys": [private]}, {"keys": []}, {}):
        with pytest.raises(RegistrationError):
            changes.replace_keys(authorization, ADMINISTRATOR, "app", wrong)
    assert authorization.rows.client("app").jwks == fresh


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (PUBLIC, lambda context: changes.rotate_secret(context, ADMINISTRATOR, "app")),
        (PUBLIC, lambda context: changes.replace_keys(context, ADMINISTRATOR, "app", keys())),
        (PUBLIC, lambda context: changes.disable(context, ADMINISTRATOR, "another")),
        (PUBLIC, lambda context: changes.enable(context, ADMINISTRATOR, "another")),
        (PUBLIC, lambda context: register(context, PUBLIC)),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_no_row(
    authorization: Any, app: Any, kind: str, change: Any
) -> None:
    register(authorization, kind)
    before = authorization.rows.client("app")
    with pytest.raises(RegistrationError):
        change(authorization)
    assert authorization.rows.client("app") == before
    assert len(authorization.store.audit_rows(limit=5)) == 1


def test_each_signing_key_says_what_it_is_good_for(settings: Any, clock: Any) -> None:
    keys = SigningKeys(settings.home, settings.secret_key, clock)
    (only,) = key_states(keys, clock())
    assert (only.state, only.signs_from, only.published_until) == ("signs", None, None)
    delay, overlap = timedelta(minutes=10), timedelta(hours=24)
    rotate(settings.home, settings.secret_key, now=clock(), delay=delay, overlap=overlap)
    started = clock()
    assert [row.state for row in key_states(keys, clock())] == ["signs", "coming"]
    clock.advance(minutes=11)
    old, new = key_states(keys, clock())
    assert (old.state, new.state) == ("accepted", "signs")
    assert old.kid == only.kid
    assert new.signs_from == started + delay
    assert old.published_until == started + delay + overlap
    clock.advance(hours=25)
    assert [row.state for row in key_states(keys, clock())] == ["retired", "signs"]


def test_looking_at_keys_makes_none(tmp_path: Any, clock: Any) -> None:
    assert list(key_states(SigningKeys(tmp_path, b"x" * 32, clock), clock())) == []
    assert list(tmp_path.iterdir()) == []
