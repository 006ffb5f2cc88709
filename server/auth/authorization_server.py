"""The authorization server: Authlib's endpoints and grants over plain requests and answers (no web framework).

Sources: RFC 6749, RFC 7009, RFC 7636, RFC 7662; hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer as GrantRegistry
from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError

from server.auth.client_assertion import PrivateKeyJwt
from server.auth.clients import Client
from server.auth.context import AuthContext, record
from server.auth.discovery import GRANT_TYPES
from server.auth.partners import may_act
from server.auth.throttle import Throttled
from server.auth.token_throttle import authentication_failed, require_open_for

Pairs = Sequence[tuple[str, str]]
# What any single parameter may be long; the longest honest one is a list of granular scopes.
_PARAMETER_LIMIT = 16_384
_CLIENT_ID_LIMIT = 64
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
# RFC 8628 section 3.5 has the word for too often.
_SLOW_DOWN = {
    "error": "slow_down",
    "error_description": "Too many failed authentications; wait for the seconds that Retry-After names.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the endpoint answers. body: a JSON object, or None for a redirect."""

    status: int
    body: dict[str, Any] | None
    headers: Mapping[str, str]


class _Payload(OAuth2Payload):
    def __init__(self, pairs: Pairs) -> None:
        self._data = dict(pairs)
        self._lists: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in pairs:
            self._lists[name].append(value)

    @property
    def data(self) -> dict[str, str]:
        return self._data

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        return self._lists


class Request(OAuth2Request):
    """A request to one of the endpoints. parameters: the decoded pairs of its query (GET) or form (POST)."""

    def __init__(
        self, method: str, uri: str, parameters: Pairs, headers: Mapping[str, str], request_id: str = ""
    ) -> None:
        super().__init__(method, uri, headers=headers)
        self.payload = _Payload(parameters)
        self.request_id = request_id

    @property
    def form(self) -> dict[str, str]:
        return self.payload.data


def check_parameters(request: Request) -> None:
    """Refuse what no honest request carries, before anything looks at it.

    Raises: InvalidRequestError for a parameter that is repeated, too long or holds control characters.
    """
    for values in request.payload.datalist.values():
        if len(values) > 1:
            raise InvalidRequestError("A parameter is given more than once.")
        if len(values[0]) > _PARAMETER_LIMIT or any(
            ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in values[0]
        ):
            raise InvalidRequestError("A parameter is too long or holds control characters.")


class AuthorizationServer(GrantRegistry):
    """Clients, token, revocation and introspection endpoint; the authorization endpoint's steps are in
    `authorization`. `build_authorization_server` registers the grants."""

    def __init__(self, context: AuthContext) -> None:
        super().__init__()
        self.context = context
        self.register_client_auth_method(PrivateKeyJwt.METHOD, PrivateKeyJwt(context))

    def query_client(self, client_id: str) -> Client | None:
        if not client_id.isascii() or not client_id.isprintable() or len(client_id) > _CLIENT_ID_LIMIT:
            return None
        row = self.context.rows.client(client_id)
        if row is None or row.disabled or not may_act(self.context, client_id):
            return None
        return Client(row, self.context.token_key)

    def authenticate_client(self, request: Request, methods: Sequence[str], endpoint: str = "token") -> Client:
        """The client that proves itself by one of the methods; every failure is a 401."""
        try:
            client: Client = super().authenticate_client(request, methods, endpoint)
        except InvalidClientError as error:
            error.status_code = 401
            raise
        request.client = client  # so that a refusal names who asked
        return client

    def create_oauth2_request(self, request: Request) -> Request:
        return request

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens: what is worth keeping is audited where it happens."""

    def handle_response(self, status: int, body: Any, headers: Sequence[tuple[str, str]]) -> Answer:
        return Answer(status, dict(body) if body or status == 200 else None, dict(headers))

    def answer_token(self, request: Request) -> Answer:
        """The token endpoint (RFC 6749 section 3.2)."""

        def produce() -> Answer:
            if "grant_type" not in request.form:
                raise InvalidRequestError("grant_type is missing.")
            if request.form["grant_type"] not in GRANT_TYPES:
                raise OAuth2Error("This grant_type is not offered here.", error="unsupported_grant_type")
            return self.create_token_response(request)

        return self._answer(request, "token", produce)

    def answer_revocation(self, request: Request) -> Answer:
        """The revocation endpoint (RFC 7009)."""
        return self._answer(request, "revoke", lambda: self.create_endpoint_response("revocation", request))

    def answer_introspection(self, request: Request) -> Answer:
        """The introspection endpoint (RFC 7662)."""
        return self._answer(
            request, "introspect", lambda: self.create_endpoint_response("introspection", request)
        )

    def answer_link_proposal(self, request: Request) -> Answer:
        """Where an app asks for a link (`link_proposals`)."""
        return self._answer(request, "link", lambda: self.create_endpoint_response("link", request))

    def _answer(self, request: Request, endpoint: str, produce: Callable[[], Answer]) -> Answer:
        """An endpoint's answer, never to be cached; a refusal is audited before it is given."""
        try:
            require_open_for(self.context, request)
            check_parameters(request)
            answer = produce()
        except OAuth2Error as error:
            answer = self.handle_error_response(request, error)
        except Throttled as error:
            answer = Answer(429, dict(_SLOW_DOWN), {"Retry-After": str(error.seconds)})
        if answer.status == 401:
            authentication_failed(self.context, request)
        if answer.status >= 400:
            claimed = request.client.client_id if request.client else ""
            record(
                self.context,
                f"{endpoint}-refused",
                answer.status,
                principal=f"Client/{claimed}" if claimed else "",
                client_id=claimed,
                request_id=request.request_id,
                detail=str((answer.body or {}).get("error", "")),
            )
        return Answer(answer.status, answer.body or {}, {**answer.headers, **NO_STORE})
