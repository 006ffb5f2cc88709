"""HTTP of the authorization server's machine-read endpoints: discovery, keys, token, revocation, introspection.

Any origin may call them (`cross_origin`); what they answer about tokens is never cached.
Sources: hl7.org/fhir/smart-app-launch/STU2.2/conformance.html, RFC 6749 section 5, RFC 7009, RFC 7662, RFC 7517
"""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from server.api.observability import request_id
from server.auth.authorization_server import NO_STORE, Answer, AuthorizationServer, Request
from server.auth.discovery import openid_configuration, smart_configuration
from server.auth.registration import discovery_members as registration_members
from server.auth.smart_style import STYLE, STYLE_PATH
from server.brands import discovery_members as brand_members

# The largest honest request is a signed assertion with a list of granular scopes.
_BODY_LIMIT = 65_536
# Keys and discovery change only when somebody changes the server.
_CACHE = {"Cache-Control": "public, max-age=300"}


def _json(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")


def endpoint_request(server: AuthorizationServer, parameters: list[tuple[str, str]]) -> Request:
    """The current request as the authorization server sees it: at the configured address, never the Host's."""
    given = request.headers.get("Authorization", "").strip()
    # A blank one would be taken apart as if it held a scheme; credentials are ASCII (RFC 7617, RFC 6750).
    headers = {"Authorization": given} if given.isascii() and given else {}
    uri = server.context.base_url + request.path
    return Request(request.method, uri, parameters, headers, request_id=request_id(request.environ))


def smart_blueprint(server: AuthorizationServer) -> Blueprint:
    """The routes, for `create_app` to register at the root."""
    blueprint = Blueprint("smart", __name__)
    base_url = server.context.base_url

    def form_answer(answer: str) -> Response:
        """Read the form of a POST and let the authorization server answer it."""
        request.max_content_length = _BODY_LIMIT
        try:
            if request.mimetype != "application/x-www-form-urlencoded":
                raise ValueError
            parameters = list(request.form.items(multi=True))
        except (HTTPException, ValueError):
            text = "The request is a form (application/x-www-form-urlencoded) of at most 64 kB."
            return _json({"error": "invalid_request", "error_description": text}, 400, NO_STORE)
        produce = {
            "token": server.answer_token,
            "revoke": server.answer_revocation,
            "introspect": server.answer_introspection,
            "link": server.answer_link_proposal,
        }[answer]
        result: Answer = produce(endpoint_request(server, parameters))
        headers = {name: value for name, value in result.headers.items() if name != "Content-Type"}
        return _json(result.body or {}, result.status, headers)

    @blueprint.get("/fhir/.well-known/smart-configuration")
    def smart_configuration_document() -> Response:
        members = registration_members(server.context) | brand_members(server.context.brand, base_url)
        return _json(smart_configuration(base_url, members), headers=_CACHE)

    @blueprint.get("/.well-known/openid-configuration")
    def openid_configuration_document() -> Response:
        members = registration_members(server.context)
        return _json(openid_configuration(base_url) | members, headers=_CACHE)

    @blueprint.get("/oauth2/jwks")
    def jwks() -> Response:
        return _json(server.context.keys.public_set(), headers=_CACHE)

    @blueprint.get(STYLE_PATH)
    def smart_style() -> Response:
        return _json(STYLE, headers=_CACHE)

    @blueprint.post("/oauth2/token")
    def token() -> Response:
        return form_answer("token")

    @blueprint.post("/oauth2/revoke")
    def revoke() -> Response:
        return form_answer("revoke")

    @blueprint.post("/oauth2/introspect")
    def introspect() -> Response:
        return form_answer("introspect")

    @blueprint.post("/oauth2/links")
    def link() -> Response:
        return form_answer("link")

    return blueprint
