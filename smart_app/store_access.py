"""How a chart and the store stand to each other, and the store as an app launched elsewhere may use it."""

from __future__ import annotations

from smart_app.fhir_client import FhirClient, Unavailable
from smart_app.grant import Connection, Grant, StoreGrant
from smart_app.issuers import Issuer
from smart_app.outbound_http import OutboundHttp
from smart_app.problems import ProblemError
from smart_app.session_store import LoginRow
from smart_app.smart_configuration import Clock
from smart_app.store_exchange import StoreExchange
from smart_app.token_renewal import TOKEN_MARGIN_SECONDS, GrantKeeper


class StoreAccess:
    """Access to the store where it is not the EHR that launched."""

    def __init__(self, exchange: StoreExchange, grants: GrantKeeper, http: OutboundHttp, clock: Clock) -> None:
        self._exchange = exchange
        self._grants = grants
        self._http = http
        self._clock = clock

    def stands(
        self, row: LoginRow, grant: Grant, issuer: Issuer, patient: str | None
    ) -> tuple[LoginRow, Grant, Connection]:
        """The connection of a chart of this patient, under a login whose tokens may be renewed for it.

        Raises: ProblemError(session-expired) where the EHR gives no more.
        """
        if issuer.store:
            return row, grant, "own"
        if patient is None or self._exchange.store_of(grant.iss) is None:
            return row, grant, "none"
        if grant.store is None or grant.store.patient_there != patient:
            return row, grant, "unlinked"
        if not self._is_good(grant.store) and grant.store.access_token and grant.refresh_token:
            try:
                row, grant = self._grants.renew(row, grant)
            except Unavailable:
                return row, grant, "ended"
        good = grant.store is not None and self._is_good(grant.store)
        return row, grant, "connected" if good else "ended"

    def client(self, issuer: Issuer, there: StoreGrant | None) -> FhirClient | None:
        """The store, for what a login there may do in it."""
        store = self._exchange.store_of(issuer.iss)
        if there is None or store is None:
            return None

        def token(*, refused: str = "") -> str:
            if refused:  # it was revoked, with the link or the account; only a new launch can say more
                raise ProblemError("store-ended", issuer=issuer.label)
            return there.access_token

        return FhirClient(store.iss, self._http, token)

    def _is_good(self, there: StoreGrant) -> bool:
        return bool(there.access_token) and there.expires_at - self._clock().timestamp() > TOKEN_MARGIN_SECONDS
