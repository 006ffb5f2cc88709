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

# The largest honest request is a signed assertion with a list of granular scopes.
_BODY_LIMIT = 65_536
# Keys and discovery change only when somebody changes the server.
_CACHE = {"Cache-Control": "public, max-age=300"}
_STYLE = {
    "color_background": "#f4f6f8",
    "color_error": "#a8071a",
    "color_highlight": "#0b5c6b",
    "color_modal_backdrop": "#15202b",
    "color_success": "#1d6b3a",
    "color_text": "#15202b",
    "dim_border_radius": "8px",
    "dim_font_size": "14px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, sans-serif",
    "font_family_heading": "system-ui, sans-serif",
}


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
        return _json(smart_configuration(base_url), headers=_CACHE)

    @blueprint.get("/.well-known/openid-configuration")
    def openid_configuration_document() -> Response:
        return _json(openid_configuration(base_url), headers=_CACHE)

    @blueprint.get("/oauth2/jwks")
    def jwks() -> Response:
        return _json(server.context.keys.public_set(), headers=_CACHE)

    @blueprint.get("/oauth2/smart-style.json")
    def smart_style() -> Response:
        return _json(_STYLE, headers=_CACHE)

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
