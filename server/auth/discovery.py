"""What the authorization server says of itself: SMART configuration and OpenID configuration (pure).

Only what works is stated. All addresses are made from the configured base URL, never from a request.
Sources: hl7.org/fhir/smart-app-launch/STU2.2/conformance.html, OpenID Connect Discovery 1.0 section 3,
RFC 8414, RFC 9207.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.auth.scopes import CONTEXT_SCOPES, LEVELS, format_scope
from server.policy.scope_choices import scope_choices

CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name, no secret
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials", TOKEN_EXCHANGE)
TOKEN_ENDPOINT_AUTH_METHODS = ("none", "client_secret_basic", "private_key_jwt")
ASSERTION_ALGORITHMS = ("RS384", "ES384")


def scopes_supported() -> list[str]:
    """Every context scope, the widest resource scopes in both versions, and granular ones as US Core asks for
    them. Others may be asked for as well: any type, any search parameter of the type."""
    wildcards = [
        f"{level}/*.{permissions}" for level in LEVELS for permissions in ("cruds", "rs", "read", "write")
    ]
    granular = [
        format_scope(level, resource_type, "rs", (kind.criterion,))
        for level in LEVELS
        for resource_type, kinds in scope_choices().kinds.items()
        for kind in kinds
        if kind.required
    ]
    return [*CONTEXT_SCOPES, *wildcards, *granular]


def _endpoints(base_url: str) -> dict[str, Any]:
    return {
        "issuer": base_url,
        "jwks_uri": f"{base_url}/oauth2/jwks",
        "authorization_endpoint": f"{base_url}/oauth2/authorize",
        "token_endpoint": f"{base_url}/oauth2/token",
        "introspection_endpoint": f"{base_url}/oauth2/introspect",
        "revocation_endpoint": f"{base_url}/oauth2/revoke",
        "identity_link_endpoint": f"{base_url}/oauth2/links",
        "grant_types_supported": list(GRANT_TYPES),
        "response_types_supported": ["code"],
        "authorization_response_iss_parameter_supported": True,
        "scopes_supported": scopes_supported(),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": list(TOKEN_ENDPOINT_AUTH_METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
    }


def smart_configuration(base_url: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """`/fhir/.well-known/smart-configuration` of the server at this origin.

    more: members of what other parts offer, e.g. registration_endpoint or the pair user_access_brand_bundle and
    user_access_brand_identifier.
    """
    return {
        **_endpoints(base_url),
        **more,
        "management_endpoint": f"{base_url}/oauth2/grants",
        "capabilities": list(CAPABILITIES),
        "associated_endpoints": [{"url": f"{base_url}/fhir", "capabilities": list(CAPABILITIES)}],
    }


def openid_configuration(base_url: str) -> dict[str, Any]:
    """`/.well-known/openid-configuration` of the issuer at this origin."""
    return {
        **_endpoints(base_url),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_modes_supported": ["query"],
        "prompt_values_supported": ["none", "login", "consent"],
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "fhirUser"],
    }
