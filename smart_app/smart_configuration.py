"""Discovery: a FHIR server's SMART configuration and its key set, fetched and kept for a while.

Source: hl7.org/fhir/smart-app-launch/STU2.2/conformance.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec

from smart_app.outbound_http import NoAnswer, OutboundHttp

Clock = Callable[[], datetime]

KEEP = timedelta(minutes=10)
KEYS_AGAIN = timedelta(seconds=3)
"""How soon an unknown key id may make us ask for the key set again."""


class DiscoveryFault(Exception):
    """The server's configuration cannot be used. `words` say which part, for the log."""


class DiscoveryUnavailable(DiscoveryFault):
    """The server did not answer."""


@dataclass(frozen=True, slots=True)
class SmartConfiguration:
    """What of `.well-known/smart-configuration` the app uses."""

    authorization_endpoint: str
    token_endpoint: str
    issuer: str
    jwks_uri: str
    revocation_endpoint: str
    identity_link_endpoint: str
    algorithms: tuple[str, ...]
    """token_endpoint_auth_signing_alg_values_supported."""
    capabilities: frozenset[str]


class Discovery:
    """Configurations and key sets by address, kept for ten minutes; safe for many threads."""

    def __init__(self, http: OutboundHttp, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[datetime, dict[str, Any]]] = {}

    def configuration(self, iss: str) -> SmartConfiguration:
        """The configuration of a FHIR base URL. Raises: DiscoveryFault, DiscoveryUnavailable."""
        return _configuration(iss, self._document(f"{iss}/.well-known/smart-configuration", KEEP))

    def key_set(self, jwks_uri: str, *, fresh: bool = False) -> dict[str, Any]:
        """A JWK set; `fresh` when it lacks a key id. Raises: DiscoveryFault, DiscoveryUnavailable."""
        record = self._document(jwks_uri, KEYS_AGAIN if fresh else KEEP)
        if not isinstance(record.get("keys"), list):
            raise DiscoveryFault("the key set has no keys")
        return record

    def _document(self, url: str, keep: timedelta) -> dict[str, Any]:
        now = self._clock()
        with self._lock:
            kept = self._kept.get(url)
        if kept and now - kept[0] < keep:
            return kept[1]
        try:
            answer = self._http.get(url, {"Accept": "application/json"})
        except NoAnswer as fault:
            raise DiscoveryUnavailable(str(fault)) from None
        if answer.status >= 500 or answer.status == 429:
            raise DiscoveryUnavailable(f"answered {answer.status}")
        if answer.status != 200:
            raise DiscoveryFault(f"answered {answer.status}")
        try:
            record = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise DiscoveryFault("the answer is not a JSON object")
        with self._lock:
            self._kept[url] = (now, record)
        return record


def _configuration(iss: str, record: dict[str, Any]) -> SmartConfiguration:
    methods = record.get("code_challenge_methods_supported")
    if isinstance(methods, list) and "S256" not in methods:
        raise DiscoveryFault("code_challenge_methods_supported lacks S256")
    return SmartConfiguration(
        authorization_endpoint=_endpoint(iss, record, "authorization_endpoint", required=True),
        token_endpoint=_endpoint(iss, record, "token_endpoint", required=True),
        issuer=record["issuer"] if isinstance(record.get("issuer"), str) else "",
        jwks_uri=_endpoint(iss, record, "jwks_uri"),
        revocation_endpoint=_endpoint(iss, record, "revocation_endpoint"),
        identity_link_endpoint=_endpoint(iss, record, "identity_link_endpoint"),
        algorithms=_texts(record, "token_endpoint_auth_signing_alg_values_supported"),
        capabilities=frozenset(_texts(record, "capabilities")),
    )


def _endpoint(iss: str, record: dict[str, Any], name: str, *, required: bool = False) -> str:
    """An absolute URL; never plain http where the FHIR server itself is https."""
    url = record.get(name)
    if url is None and not required:
        return ""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc:
        raise DiscoveryFault(f"{name} is missing or not an address")
    if parts.scheme == "http" and iss.startswith("https:"):
        raise DiscoveryFault(f"{name} is not https")
    return str(url)


def _texts(record: dict[str, Any], name: str) -> tuple[str, ...]:
    values = record.get(name)
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()
