"""An OpenID provider that staff sign in by: its addresses and keys, and the exchange of a code for who it is.

We are its client: authorization code with PKCE S256, state and nonce; at its token endpoint we prove ourselves
by a secret (`client_secret_post`) or, where none is configured, by our own published keys (`private_key_jwt`).
What it publishes is kept for a while, and fetched anew when a token names a key that is not there.
Sources: OpenID Connect Core 1.0 section 3.1, OpenID Connect Discovery 1.0 sections 3 and 4, RFC 7636, RFC 9207
(iss), RFC 7523 section 3, OpenID Connect RP-Initiated Logout 1.0.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from server.auth.id_tokens import Identity, IdTokenRefused, UnknownKey, read_id_token
from server.auth.keys import SigningKeys
from server.auth.provider_settings import ProviderSettings
from server.outbound_http import Fetched, OutboundError

CALLBACK_PATH = "/oauth2/external/callback"
_WELL_KNOWN = "/.well-known/openid-configuration"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFE = timedelta(minutes=1)
_KEPT = timedelta(hours=1)
# A token with an unknown key makes us ask for the keys again, but nobody makes us ask all the time.
_KEYS_AGAIN = timedelta(minutes=1)
_JSON = "application/json"


class ProviderFault(Exception):
    """The provider did not answer as it must, or its token is not to be believed. `rule`: a word for the
    audit."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class Fetch(Protocol):
    """`outbound_http.fetch` with the networks that may be called."""

    def __call__(self, url: str, *, accept: str, data: Mapping[str, str] | None = None) -> Fetched: ...


@dataclass(frozen=True, slots=True)
class _Published:
    """What the provider says of itself."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str
    names_itself: bool  # RFC 9207
    until: datetime


class ExternalProvider:
    """One provider; one for each process, safe for many threads (what two fetch at once, one keeps)."""

    def __init__(
        self,
        settings: ProviderSettings,
        *,
        base_url: str,
        fetch: Fetch,
        keys: SigningKeys,
        clock: Callable[[], datetime],
    ) -> None:
        self.settings = settings
        self.redirect_uri = base_url + CALLBACK_PATH
        self._fetch = fetch
        self._keys = keys
        self._clock = clock
        self._published: _Published | None = None
        self._key_set: tuple[Sequence[Mapping[str, Any]], datetime] | None = None

    def authorization_url(self, *, state: str, nonce: str, verifier: str, again: bool) -> str:
        """Where the browser goes. again: the person is asked anew, signed in there or not.

        Raises: ProviderFault.
        """
        fresh = {"prompt": "login", "max_age": "0"} if again else {}
        return str(
            prepare_grant_uri(
                self._metadata().authorization_endpoint,
                self.settings.client_id,
                "code",
                self.redirect_uri,
                "openid",
                state,
                nonce=nonce,
                code_challenge=create_s256_code_challenge(verifier),
                code_challenge_method="S256",
                **fresh,
            )
        )

    def check_issuer(self, given: str | None) -> None:
        """Whether an answer came from this provider, as far as it says (mix-up). Raises: ProviderFault."""
        if given is None and not self._metadata().names_itself:
            return
        if given != self.settings.issuer:
            raise ProviderFault("issuer")

    def identity(self, code: str, *, verifier: str, nonce: str) -> Identity:
        """Whom a code stands for. Raises: ProviderFault."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": verifier,
            "client_id": self.settings.client_id,
            **self._client_proof(),
        }
        answer = self._json(self._metadata().token_endpoint, "token", form)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise ProviderFault("id_token")
        try:
            return self._read(token, nonce, again=False)
        except UnknownKey:
            try:
                return self._read(token, nonce, again=True)
            except IdTokenRefused as error:
                raise ProviderFault(error.rule) from None
        except IdTokenRefused as error:
            raise ProviderFault(error.rule) from None

    def end_session_url(self, back: str) -> str:
        """Where somebody signs out of the provider, too; "" where it offers that nowhere. Asks nobody."""
        published = self._published
        if published is None or not published.end_session_endpoint:
            return ""
        query = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        glue = "&" if urlsplit(published.end_session_endpoint).query else "?"
        return published.end_session_endpoint + glue + urlencode(query)

    def _read(self, token: str, nonce: str, *, again: bool) -> Identity:
        return read_id_token(
            token,
            self._keys_of_provider(again=again),
            issuer=self.settings.issuer,
            client_id=self.settings.client_id,
            nonce=nonce,
            now=self._clock(),
        )

    def _client_proof(self) -> dict[str, str]:
        if self.settings.client_secret:
            return {"client_secret": self.settings.client_secret}
        now, client_id = self._clock(), self.settings.client_id
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": self._metadata().token_endpoint,
            "iat": int(now.timestamp()),
            "exp": int((now + _ASSERTION_LIFE).timestamp()),
            "jti": str(uuid.uuid4()),
        }
        return {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": self._keys.sign(claims)}

    def _metadata(self) -> _Published:
        now, known = self._clock(), self._published
        if known is None or known.until <= now:
            issuer = self.settings.issuer
            document = self._json(issuer.rstrip("/") + _WELL_KNOWN, "discovery")
            if document.get("issuer") != issuer:
                raise ProviderFault("discovery")
            known = self._published = _Published(
                authorization_endpoint=_endpoint(document, "authorization_endpoint", issuer),
                token_endpoint=_endpoint(document, "token_endpoint", issuer),
                jwks_uri=_endpoint(document, "jwks_uri", issuer),
                end_session_endpoint=_endpoint(document, "end_session_endpoint", issuer)
                if "end_session_endpoint" in document
                else "",
                names_itself=document.get("authorization_response_iss_parameter_supported") is True,
                until=now + _KEPT,
            )
        return known

    def _keys_of_provider(self, *, again: bool) -> Sequence[Mapping[str, Any]]:
        now, known = self._clock(), self._key_set
        if known is None or now - known[1] >= (_KEYS_AGAIN if again else _KEPT):
            document = self._json(self._metadata().jwks_uri, "keys")
            rows = document.get("keys")
            if not isinstance(rows, list):
                raise ProviderFault("keys")
            known = self._key_set = ([row for row in rows if isinstance(row, dict)], now)
        return known[0]

    def _json(self, url: str, what: str, form: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The object that an address answers. Raises: ProviderFault with the name of what was asked for."""
        try:
            answer = self._fetch(url, accept=_JSON, data=form)
            document = json.loads(answer.body) if answer.status == 200 else None
        except (OutboundError, ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise ProviderFault(what)
        return document


def _endpoint(document: Mapping[str, Any], name: str, issuer: str) -> str:
    """An address of the provider: https, or http where the provider itself is configured so."""
    value = document.get(name)
    schemes = ("https://", "http://") if issuer.startswith("http://") else ("https://",)
    if not isinstance(value, str) or not value.startswith(schemes) or not value.isascii() or "#" in value:
        raise ProviderFault("discovery")
    return value
