"""Tokens of grants, with the partner organisation that some of them belong to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from access_oracle.grants import Grant

from server.auth.actor import OPERATOR
from server.auth.clients import PUBLIC, Registration
from server.auth.context import AuthContext
from server.auth.partner_changes import add_partner, add_partner_client
from server.storage.authorization import UserRow
from server.storage.partners import Agreement, Member

PARTNER, CLIENT = "sunrise", "sunrise-records"
ORGANIZATION = "a"  # of the partner; charts name it, and its people may be related to some


class Entrance:
    """The way into one server. as_token: makes requests of a scope and claims. context: of that server."""

    def __init__(self, as_token: Callable[..., Any], context: AuthContext) -> None:
        self._as_token, self._context = as_token, context
        add_partner(
            context,
            OPERATOR,
            PARTNER,
            name="Sunrise Home Health",
            kind="home-health",
            purpose="TREAT",
            organization_id=ORGANIZATION,
            agreements=(Agreement("treatment", date(2024, 1, 1)),),
        )
        registration = Registration(
            client_id=CLIENT,
            name="Sunrise records",
            kind=PUBLIC,
            scope="patient/*.rs",
            redirect_uris=("https://app.example/callback",),
        )
        add_partner_client(context, OPERATOR, PARTNER, registration)

    def __call__(self, grant: Grant) -> Any:
        """Requests with a new token of a grant."""
        claims: dict[str, Any] = {"patient": grant.patient, "fhir_user": grant.user, "role": grant.role}
        if "client" in grant.partner:
            claims["client_id"] = CLIENT
        if "user" in grant.partner:
            claims["username"] = self._account(grant)
        return self._as_token(grant.scope, **claims)

    def _account(self, grant: Grant) -> str:
        """The account of a partner's person, whose role may have become any after it was made."""
        rows, partners = self._context.rows, self._context.store.partners
        assert grant.user is not None
        username = f"{grant.role}-{grant.user.encode().hex()}"  # ids that differ by capitals alone stay apart
        if rows.user(username) is None:
            rows.put_user(UserRow(username=username, password_hash="", role=grant.role))
            partners.add_member(PARTNER, Member("user", username), self._context.clock())
        return username
