"""The endpoint where our app asks for a link: it tells who a launch is about, and gets a page for a person.

The answer is the same whether anybody here is like the patient or not; only a person who signs in here, and may
see our patients, compares. Sources: RFC 8693 section 2.1 (subject_token), RFC 6749 section 2.3.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from authlib.consts import default_json_headers
from authlib.oauth2.rfc6749 import TokenEndpoint
from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError, UnauthorizedClientError

from server.auth.context import AuthContext, record
from server.auth.discovery import TOKEN_EXCHANGE
from server.auth.identity_links import propose
from server.auth.subject_token import SubjectRefused, display_text, judge
from server.auth.token_exchange import ID_TOKEN
from server.errors import FhirError
from server.fhir.json_codec import decode, encode
from server.fhir.validation import validate


class LinkProposalEndpoint(TokenEndpoint):
    """POST /oauth2/links: subject_token, subject_token_type, nonce, patient (Patient as JSON), user_display."""

    ENDPOINT_NAME = "link"
    CLIENT_AUTH_METHODS: ClassVar[list[str]] = ["private_key_jwt"]

    def create_endpoint_response(self, request: Any) -> tuple[int, dict[str, Any], Any]:
        context: AuthContext = self.server.context
        client = self.authenticate_endpoint_client(request)
        if not client.check_grant_type(TOKEN_EXCHANGE):
            raise UnauthorizedClientError("This client may not exchange tokens.")
        form = request.form
        if form.get("subject_token_type") != ID_TOKEN or not form.get("subject_token"):
            raise InvalidRequestError(f"subject_token must be of type {ID_TOKEN}.")
        patient = _patient(form.get("patient", ""))
        display = display_text(form.get("user_display"))
        try:
            subject = judge(context, form["subject_token"], form.get("nonce", ""), client.client_id)
            if subject.patient not in ("", patient["id"]):
                raise SubjectRefused("patient")
        except SubjectRefused as refused:
            record(
                context,
                "exchange-refused",
                400,
                principal=f"Client/{client.client_id}",
                client_id=client.client_id,
                request_id=request.request_id,
                detail=refused.reason,
            )
            raise InvalidGrantError("The subject token is not accepted.") from None
        ticket = propose(context, subject, client.client_id, patient, display, request.request_id)
        body = {
            "link_uri": f"{context.base_url}/oauth2/links/{ticket.secret}",
            "expires_in": int(ticket.life.total_seconds()),
        }
        return 201, body, default_json_headers


def _patient(text: str) -> dict[str, Any]:
    """The Patient of the launch, valid and with its id. Raises: InvalidRequestError."""
    try:
        resource = decode(text.encode("utf-8"))
        if not isinstance(resource, dict) or resource.get("resourceType") != "Patient" or "id" not in resource:
            raise ValueError
        if validate(resource):
            raise ValueError
        plain: dict[str, Any] = json.loads(encode(resource))
    except (FhirError, ValueError, RecursionError):
        raise InvalidRequestError("patient must be a valid Patient resource with its id, as JSON.") from None
    return plain
