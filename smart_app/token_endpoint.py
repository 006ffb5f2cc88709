"""Asks a token endpoint for tokens: by code, by refresh token, as a backend client.

TokenFault
 +- TokenRefused      the server said no; `error` is the RFC 6749 code
 +- TokenUnavailable  no answer
 +- TokenUnreadable   an answer that is no token response

Sources: RFC 6749 sections 4.1.3, 4.4, 5 and 6, RFC 7523, RFC 7009,
hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec

from smart_app.issuers import Issuer
from smart_app.keys import AppKeys
from smart_app.outbound_http import NoAnswer, OutboundHttp
from smart_app.smart_configuration import Clock, SmartConfiguration

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name, no secret
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a name, no secret
DEFAULT_LIFE_SECONDS = 300  # expires_in is only RECOMMENDED; SMART advises five minutes for backends
_ERROR_CODE = re.compile(r"[a-z_]{1,40}", re.ASCII)


class TokenFault(Exception):
    pass


class TokenRefused(TokenFault):
    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class TokenUnavailable(TokenFault):
    pass


class TokenUnreadable(TokenFault):
    pass


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A token response. expires_at: seconds of the epoch. context: everything else it carried."""

    access_token: str = field(repr=False)
    expires_at: float
    scope: str
    refresh_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)


def error_code(text: object) -> str:
    """An OAuth error code as it may be shown; anything else is "unknown"."""
    return text if isinstance(text, str) and _ERROR_CODE.fullmatch(text) else "unknown"


class TokenEndpoint:
    """Token requests in the app's name, proven as each issuer wants it."""

    def __init__(self, http: OutboundHttp, keys: AppKeys, clock: Clock, new_id: Callable[[], str]) -> None:
        self._http = http
        self._keys = keys
        self._clock = clock
        self._new_id = new_id

    def by_code(
        self, issuer: Issuer, configuration: SmartConfiguration, *, code: str, verifier: str, redirect_uri: str
    ) -> TokenResponse:
        """Exchange an authorization code. Raises: TokenFault."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        return self._tokens(issuer, configuration, form)

    def by_refresh_token(
        self, issuer: Issuer, configuration: SmartConfiguration, refresh_token: str
    ) -> TokenResponse:
        """Raises: TokenFault."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self._tokens(issuer, configuration, form)

    def as_backend(self, issuer: Issuer, configuration: SmartConfiguration, scope: str) -> TokenResponse:
        """client_credentials. Raises: TokenFault."""
        return self._tokens(issuer, configuration, {"grant_type": "client_credentials", "scope": scope})

    def by_id_token(
        self,
        issuer: Issuer,
        configuration: SmartConfiguration,
        *,
        id_token: str,
        nonce: str,
        patient: str,
        resource: str,
        scope: str,
    ) -> TokenResponse:
        """Exchange another EHR's id token (RFC 8693). nonce, patient: of its launch. Raises: TokenFault."""
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": id_token,
            "subject_token_type": ID_TOKEN,
            "nonce": nonce,
            "patient": patient,
            "resource": resource,
            "scope": scope,
        }
        return self._tokens(issuer, configuration, form)

    def propose_link(
        self,
        issuer: Issuer,
        configuration: SmartConfiguration,
        *,
        id_token: str,
        nonce: str,
        patient: str,
        user_display: str,
    ) -> dict[str, Any]:
        """Ask for the page where a person compares a launch's patient (JSON). Raises: TokenFault."""
        form = {
            "subject_token": id_token,
            "subject_token_type": ID_TOKEN,
            "nonce": nonce,
            "patient": patient,
            "user_display": user_display,
        }
        return self._ask(issuer, configuration, configuration.identity_link_endpoint, form)

    def revoke(self, issuer: Issuer, configuration: SmartConfiguration, token: str) -> bool:
        """Revoke a refresh or access token, where the server offers it; whether it said yes."""
        if not configuration.revocation_endpoint:
            return False
        url = configuration.revocation_endpoint
        form, headers = self._proof(issuer, configuration)
        try:
            answer = self._http.send("POST", url, headers, urlencode({"token": token, **form}).encode())
        except NoAnswer:
            return False
        return answer.status == 200

    def _tokens(
        self, issuer: Issuer, configuration: SmartConfiguration, form: Mapping[str, str]
    ) -> TokenResponse:
        asked_at = self._clock()
        record = self._ask(issuer, configuration, configuration.token_endpoint, form)
        return _response(record, asked_at, asked=form.get("scope", ""))

    def _ask(
        self, issuer: Issuer, configuration: SmartConfiguration, url: str, form: Mapping[str, str]
    ) -> dict[str, Any]:
        """The JSON object that a POST of a form is answered with. Raises: TokenFault."""
        proof, headers = self._proof(issuer, configuration)
        try:
            answer = self._http.send("POST", url, headers, urlencode({**form, **proof}).encode())
        except NoAnswer as fault:
            raise TokenUnavailable(str(fault)) from None
        if answer.status >= 500 or answer.status == 429:
            raise TokenUnavailable(f"answered {answer.status}")
        try:
            record = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise TokenUnreadable("the answer is not a JSON object")
        if not 200 <= answer.status < 300:
            raise TokenRefused(error_code(record.get("error")))
        return record

    def _proof(
        self, issuer: Issuer, configuration: SmartConfiguration
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Form fields and headers. An assertion's audience is the token endpoint, wherever it goes (SMART)."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        match issuer.auth:
            case "private_key_jwt":
                assertion = self._keys.assertion(
                    issuer.client_id,
                    configuration.token_endpoint,
                    self._keys.algorithm(configuration.algorithms),
                    now=int(self._clock().timestamp()),
                    jti=self._new_id(),
                )
                return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}, headers
            case "client_secret_basic":
                # RFC 6749 2.3.1: both are form-encoded before they are joined
                pair = f"{quote_plus(issuer.client_id)}:{quote_plus(issuer.client_secret)}"
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
                return {}, headers
            case "none":
                return {"client_id": issuer.client_id}, headers


def _response(record: dict[str, Any], asked_at: datetime, asked: str) -> TokenResponse:
    texts = {name: record.get(name, "") for name in ("access_token", "refresh_token", "id_token", "scope")}
    if not all(isinstance(text, str) for text in texts.values()) or not texts["access_token"]:
        raise TokenUnreadable("access_token is missing, or a field is not text")
    if str(record.get("token_type", "")).lower() != "bearer":
        raise TokenUnreadable("token_type is not Bearer")
    seconds = record.get("expires_in", DEFAULT_LIFE_SECONDS)
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():
        seconds = int(seconds[:9])  # some servers quote it
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 1e9:
        raise TokenUnreadable("expires_in is not a number of seconds")
    named = {"access_token", "refresh_token", "id_token", "scope", "token_type", "expires_in"}
    return TokenResponse(
        access_token=texts["access_token"],
        expires_at=asked_at.timestamp() + seconds,
        scope=texts["scope"] or asked,
        refresh_token=texts["refresh_token"],
        id_token=texts["id_token"],
        context={name: value for name, value in record.items() if name not in named},
    )
