"""Keeps the tokens of a login: opens them, renews them once for all requests, revokes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

import msgspec

from smart_app.fhir_client import Unavailable
from smart_app.grant import Grant, renewed
from smart_app.issuers import Issuers
from smart_app.problems import ProblemError
from smart_app.sealing import Seal
from smart_app.session_store import LoginRow, SessionStore
from smart_app.smart_configuration import Clock, Discovery, DiscoveryFault
from smart_app.store_exchange import StoreExchange
from smart_app.token_endpoint import TokenEndpoint, TokenFault, TokenRefused

TOKEN_MARGIN_SECONDS = 30
"""A token this close to its end is renewed before it is used."""
RENEWAL_SECONDS = 20
"""How long one renewal may take before another request may try; above the HTTP time limits."""
RENEWAL_POLL_SECONDS = 0.05


class GrantKeeper:
    """The grants of logins, sealed in the session store."""

    def __init__(
        self,
        store: SessionStore,
        issuers: Issuers,
        discovery: Discovery,
        tokens: TokenEndpoint,
        exchange: StoreExchange,
        clock: Clock,
        *,
        seal: Seal,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._issuers = issuers
        self._discovery = discovery
        self._tokens = tokens
        self._exchange = exchange
        self._clock = clock
        self._seal = seal
        self._sleep = sleep

    def seal(self, grant: Grant, login: str) -> bytes:
        """A grant as its row keeps it."""
        return self._seal.seal(msgspec.json.encode(grant), login)

    def open(self, row: LoginRow) -> Grant:
        """The grant of a row. Raises: Unreadable."""
        return msgspec.json.decode(self._seal.open(row.sealed, row.id), type=Grant)

    def is_fresh(self, grant: Grant) -> bool:
        return grant.expires_at - self._clock().timestamp() > TOKEN_MARGIN_SECONDS

    def renew(self, row: LoginRow, grant: Grant) -> tuple[LoginRow, Grant]:
        """New tokens for those of `row`: one request asks, parallel ones wait for what it gets.

        Raises: ProblemError(session-expired) where the EHR gives no more; Unavailable.
        """
        waited = 0.0
        while waited < RENEWAL_SECONDS:
            now = self._clock().timestamp()
            if self._store.claim_renewal(row.id, row.version, now, now + RENEWAL_SECONDS):
                return self._renew(row, grant)
            current = self._store.find_login(row.id)
            if current is None:
                raise ProblemError("session-expired")
            if current.version != row.version:
                return current, self.open(current)
            self._sleep(RENEWAL_POLL_SECONDS)
            waited += RENEWAL_POLL_SECONDS
        raise Unavailable("the token is being renewed")

    def _renew(self, row: LoginRow, grant: Grant) -> tuple[LoginRow, Grant]:
        sealed: bytes | None = None
        try:
            issuer = self._issuers.find(grant.iss)
            if issuer is None or not grant.refresh_token:
                raise ProblemError("session-expired")
            response = self._tokens.by_refresh_token(
                issuer, self._discovery.configuration(grant.iss), grant.refresh_token
            )
            grant = self._exchange.renewed(renewed(grant, response), response.id_token)
            sealed = self.seal(grant, row.id)
        except TokenRefused:
            self._store.remove_login(row.id)
            raise ProblemError("session-expired") from None
        except (TokenFault, DiscoveryFault) as fault:
            raise Unavailable(f"the token could not be renewed: {fault}") from None
        finally:
            self._store.finish_renewal(row.id, sealed)
        return replace(row, version=row.version + 1, sealed=sealed), grant

    def connect(self, row: LoginRow, grant: Grant, patient: str) -> bool:
        """Try to connect a login with the store, by the id token at hand or a fresh one; whether it is now.

        Raises: TokenFault, DiscoveryFault.
        """
        now = self._clock().timestamp()
        if not self._store.claim_renewal(row.id, row.version, now, now + RENEWAL_SECONDS):
            return False  # another request is at it
        sealed: bytes | None = None
        try:
            before = grant.store
            grant = self._exchange.connect(grant, patient)
            issuer = self._issuers.find(grant.iss)
            if grant.store == before and issuer is not None and grant.refresh_token:
                response = self._tokens.by_refresh_token(
                    issuer, self._discovery.configuration(grant.iss), grant.refresh_token
                )
                grant = replace(renewed(grant, response), id_token=response.id_token or grant.id_token)
                sealed = self.seal(grant, row.id)  # the old refresh token is used up whatever the store says
                if response.id_token:
                    grant = self._exchange.connect(grant, patient)
            sealed = self.seal(grant, row.id)
        finally:
            self._store.finish_renewal(row.id, sealed)
        return grant.store != before

    def revoke(self, grant: Grant) -> None:
        """End the tokens at the EHR and in the store, as far as they let us."""
        self._exchange.end(grant)
        issuer = self._issuers.find(grant.iss)
        token = grant.refresh_token or grant.access_token
        if issuer is None:
            return
        try:
            self._tokens.revoke(issuer, self._discovery.configuration(grant.iss), token)
        except DiscoveryFault:
            return  # the tokens end by themselves


class LoginToken:
    """The access token of a login, renewed when it is about to end or was refused.

    The searches of one page share it: a token that several of them saw refused is renewed once.
    """

    def __init__(self, keeper: GrantKeeper, row: LoginRow, grant: Grant) -> None:
        self._keeper = keeper
        self._row = row
        self._grant = grant
        self._lock = Lock()

    def __call__(self, *, refused: str = "") -> str:
        with self._lock:
            if refused == self._grant.access_token or not self._keeper.is_fresh(self._grant):
                self._row, self._grant = self._keeper.renew(self._row, self._grant)
            return self._grant.access_token
