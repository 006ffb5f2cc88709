"""Clients that fail to prove who they are, at the token, revocation and introspection endpoints: slowed down.

Only failed authentications count, after they failed: who is right pays two look-ups. A client counts by its
name and its address together, so that nobody elsewhere can close it; the address counts for all clients.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from typing import Any

from server.auth.context import AuthContext
from server.auth.throttle import Key, failed, require_open
from server.origin import address_key, origin

_TEXT_LIMIT = 256  # characters of a name that tell one client from another


def require_open_for(context: AuthContext, request: Any) -> None:
    """Raises: Throttled, where the client or its address has failed too often."""
    require_open(context, *_keys(request))


def authentication_failed(context: AuthContext, request: Any) -> None:
    """Count it."""
    failed(context, *_keys(request))


def _keys(request: Any) -> tuple[Key, Key]:
    address = address_key(origin().address)
    return Key("client", f"{address} {_claimed(request)}"), Key("client-address", address)


def _claimed(request: Any) -> str:
    """Which client the request says it comes from; whatever else it is, it is only a name to count under."""
    form, given = request.form, request.headers.get("Authorization", "")
    scheme, _, credentials = given.partition(" ")
    if scheme.lower() == "basic":
        try:
            return b64decode(credentials).decode("latin-1").partition(":")[0][:_TEXT_LIMIT]
        except (binascii.Error, ValueError):
            return ""
    if "client_id" in form:
        return str(form["client_id"])[:_TEXT_LIMIT]
    payload = str(form.get("client_assertion", "")).split(".")[1:2]
    try:
        claims = json.loads(b64decode(payload[0] + "==", altchars=b"-_")) if payload else {}
    except (binascii.Error, ValueError, RecursionError):
        return ""
    return str(claims.get("iss", ""))[:_TEXT_LIMIT] if isinstance(claims, dict) else ""
