"""The authorization server with all its grants and endpoints."""

from __future__ import annotations

from server.auth.authorization_code import AuthorizationCodeGrant, S256CodeChallenge, SmartRequest
from server.auth.authorization_server import AuthorizationServer
from server.auth.client_credentials import ClientCredentialsGrant
from server.auth.context import AuthContext
from server.auth.link_proposals import LinkProposalEndpoint
from server.auth.refresh import RefreshTokenGrant
from server.auth.token_endpoints import IntrospectionEndpoint, RevocationEndpoint
from server.auth.token_exchange import TokenExchangeGrant


def authorization_server(context: AuthContext) -> AuthorizationServer:
    """The authorization server of a context; one for each process, safe for many threads."""
    server = AuthorizationServer(context)
    server.register_grant(AuthorizationCodeGrant, [S256CodeChallenge(required=True), SmartRequest()])
    server.register_grant(RefreshTokenGrant)
    server.register_grant(ClientCredentialsGrant)
    server.register_grant(TokenExchangeGrant)
    server.register_endpoint(RevocationEndpoint)
    server.register_endpoint(IntrospectionEndpoint)
    server.register_endpoint(LinkProposalEndpoint)
    return server
