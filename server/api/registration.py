"""HTTP of dynamic client registration and of a client's own registration.

Sources: RFC 7591 section 3, RFC 7592 section 2, RFC 6750 section 3
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from server.api.rates import Rate
from server.auth import registration
from server.auth.authorization_server import NO_STORE
from server.auth.clients import RegistrationError
from server.auth.context import AuthContext
from server.errors import FhirError
from server.fhir.json_codec import decode
from server.origin import address_key

_BODY_LIMIT = 65_536
_LONGEST_TOKEN = 256
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="baton", error="invalid_token"'}


def registration_blueprint(context: AuthContext, rate: Rate) -> Blueprint:
    """The routes, for `create_app` to register at the root. rate: how often one address may call them."""
    blueprint = Blueprint("registration", __name__)

    def answered(work: Callable[[str], dict[str, Any] | None], status: int) -> Response:
        """What the work answers to the request's token, or the standard's error. None: nothing to say."""
        rate.take(address_key(request.remote_addr or ""))
        try:
            body = work(_token())
        except registration.TokenRefused:
            text = "The token is unknown, used up, expired, or not for this."
            return _json({"error": "invalid_token", "error_description": text}, 401, _CHALLENGE)
        except RegistrationError as error:
            return _json({"error": error.code, "error_description": str(error)}, 400)
        return Response(status=status, headers=NO_STORE) if body is None else _json(body, status)

    @blueprint.post(registration.PATH)
    def register() -> Response:
        return answered(lambda token: registration.register(context, token, _document), 201)

    @blueprint.get(f"{registration.PATH}/<client_id>")
    def read(client_id: str) -> Response:
        return answered(lambda token: registration.read(context, client_id, token), 200)

    @blueprint.put(f"{registration.PATH}/<client_id>")
    def update(client_id: str) -> Response:
        return answered(lambda token: registration.update(context, client_id, token, _document), 200)

    @blueprint.delete(f"{registration.PATH}/<client_id>")
    def delete(client_id: str) -> Response:
        return answered(lambda token: registration.delete(context, client_id, token), 204)

    return blueprint


def _json(body: dict[str, Any], status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, {**NO_STORE, **(headers or {})}, content_type="application/json")


def _token() -> str:
    """The bearer token of the request, "" for none that could be one: refused and audited like another."""
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    token = token.strip()
    usable = scheme.lower() == "bearer" and token.isascii() and len(token) <= _LONGEST_TOKEN
    return token if usable else ""


def _document() -> dict[str, Any]:
    """The metadata sent. Raises: RegistrationError."""
    request.max_content_length = _BODY_LIMIT
    try:
        if request.mimetype != "application/json":
            raise ValueError
        body = request.get_data()
        decode(body)  # refuses what two readers could read differently
        document: dict[str, Any] = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError
    except (FhirError, HTTPException, ValueError, RecursionError):
        raise RegistrationError("the request is a JSON object (application/json) of at most 64 kB") from None
    return document
