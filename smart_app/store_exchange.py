"""Connects a login at another EHR with the store: its id token for an access token, once people linked both.

The store decides who user and patient are there; the app only brings the id token, the nonce of its launch and
the id of the patient that was launched. A refusal never says which of them it does not know.
Source: RFC 8693
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import msgspec

from smart_app.grant import Grant, StoreGrant
from smart_app.issuers import Issuer, Issuers, origin
from smart_app.scopes import exchange_scopes, exchange_unwritable
from smart_app.smart_configuration import Discovery, DiscoveryFault
from smart_app.token_endpoint import TokenEndpoint, TokenFault, TokenRefused, TokenResponse, TokenUnreadable

log = logging.getLogger(__name__)

# What of a Patient says who somebody is: all that is shown for comparing.
IDENTITY = ("name", "birthDate", "gender", "identifier", "telecom", "address", "multipleBirthInteger")
MOST_OF_EACH = 10
FAULTS = (TokenFault, DiscoveryFault)
"""What asking the store may raise."""
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)


class StoreExchange:
    """Asks the store's token endpoint for what a login at another EHR may do there."""

    def __init__(self, issuers: Issuers, discovery: Discovery, tokens: TokenEndpoint) -> None:
        self._issuers = issuers
        self._discovery = discovery
        self._tokens = tokens

    def store_of(self, iss: str) -> Issuer | None:
        """The store that logins at this EHR can be connected with, as the app is known there for exchanging."""
        issuer, store = self._issuers.find(iss), self._issuers.store()
        if issuer is None or not issuer.exchange or store is None:
            return None
        return replace(store, client_id=store.exchange_client_id, auth="private_key_jwt")

    def begin(self, grant: Grant, patient: str | None, id_token: str, nonce: str) -> Grant:
        """The grant of a launch for a patient, connected with the store where that can be and people did it.

        A store that cannot be asked is asked again later: the chart can be read meanwhile.
        """
        if patient is None or self.store_of(grant.iss) is None:
            return grant
        grant = replace(grant, id_token=id_token, nonce=nonce)
        try:
            return self.connect(grant, patient)
        except FAULTS as fault:
            log.warning("the store could not be asked: %s", fault)
            return grant

    def connect(self, grant: Grant, patient: str) -> Grant:
        """The grant with access to the store for one patient there, or as it was where the store gives none.

        patient: id at the EHR. An id token is good once. Raises: TokenFault, DiscoveryFault where the store
        could not be asked.
        """
        store = self.store_of(grant.iss)
        if store is None or not grant.id_token:
            return grant
        try:
            response = self._tokens.by_id_token(
                store,
                self._discovery.configuration(store.iss),
                id_token=grant.id_token,
                nonce=grant.nonce,
                patient=patient,
                resource=store.iss,
                scope=" ".join(exchange_scopes()),
            )
        except TokenRefused as refused:
            if refused.error not in ("invalid_grant", "invalid_scope"):
                log.warning("the store refuses the exchange: %s", refused.error)
            return grant
        return replace(grant, id_token="", store=_store_grant(store, patient, response))

    def renewed(self, grant: Grant, id_token: str) -> Grant:
        """The grant after its tokens were renewed at the EHR: connected anew only by a fresh id token.

        Without one the access to the store ends; the person opens the app again.
        """
        if grant.store is None:
            return replace(grant, id_token=id_token or grant.id_token)
        ended = replace(grant, store=replace(grant.store, access_token=""))
        if not id_token:
            return ended
        try:
            again = self.connect(replace(grant, id_token=id_token), grant.store.patient_there)
        except FAULTS as fault:
            log.warning("the store could not be asked: %s", fault)
            return replace(ended, id_token=id_token)
        same = (
            again.store is not None
            and replace(
                again.store,
                access_token=grant.store.access_token,
                expires_at=grant.store.expires_at,
                scope=grant.store.scope,
                unwritable=grant.store.unwritable,
            )
            == grant.store
        )  # another person or patient than before is not this session's
        return again if same and again.store != grant.store else ended

    def end(self, grant: Grant) -> None:
        """End the access to the store, as far as it lets us; it ends by itself within minutes."""
        store = self.store_of(grant.iss)
        if store is None or grant.store is None or not grant.store.access_token:
            return
        try:
            self._tokens.revoke(store, self._discovery.configuration(store.iss), grant.store.access_token)
        except DiscoveryFault:
            return

    def compare(self, grant: Grant, patient: Mapping[str, Any], user_name: str) -> str:
        """The address of the store's page where a person compares and confirms; "" where it offers none.

        patient: as the EHR has it. Raises: TokenFault, DiscoveryFault.
        """
        store = self.store_of(grant.iss)
        if store is None or not grant.id_token:
            return ""
        configuration = self._discovery.configuration(store.iss)
        if not configuration.identity_link_endpoint:
            return ""
        answer = self._tokens.propose_link(
            store,
            configuration,
            id_token=grant.id_token,
            nonce=grant.nonce,
            patient=msgspec.json.encode(_identity(patient)).decode(),
            user_display=user_name,
        )
        address = answer.get("link_uri")
        if not isinstance(address, str) or origin(address) != origin(store.iss):
            raise TokenUnreadable("link_uri is not an address of the store")
        return address


def _identity(patient: Mapping[str, Any]) -> dict[str, Any]:
    """The Patient cut to who somebody is, without extensions."""
    kept: dict[str, Any] = {"resourceType": "Patient", "id": patient["id"]}
    for name in IDENTITY:
        value = patient.get(name)
        if isinstance(value, list):
            kept[name] = [_plain(each) for each in value[:MOST_OF_EACH]]
        elif value is not None:
            kept[name] = value
    return kept


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _plain(part)
            for name, part in value.items()
            if name not in ("extension", "id", "assigner", "period") and not name.startswith("_")
        }
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _store_grant(store: Issuer, patient: str, response: TokenResponse) -> StoreGrant:
    """Raises: TokenUnreadable where the store does not say whom the token is for."""
    here, user = response.context.get("patient"), response.context.get("fhirUser")
    author = user.removeprefix(f"{store.iss}/") if isinstance(user, str) else ""
    if not isinstance(here, str) or not _ID.fullmatch(here):
        raise TokenUnreadable("the store names no patient")
    if urlsplit(author).scheme or not author.startswith("Practitioner/"):
        raise TokenUnreadable("the store names no user")
    return StoreGrant(
        patient_there=patient,
        patient=here,
        author=author,
        access_token=response.access_token,
        expires_at=response.expires_at,
        scope=response.scope,
        unwritable=exchange_unwritable(response.scope),
    )
