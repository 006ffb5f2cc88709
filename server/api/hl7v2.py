"""`POST /hl7v2`: HL7 v2 messages over HTTP, taken as the MLLP listener takes them and answered with the ACK.

Needs a token with the scope `system/hl7v2.c`. The body is one message, or a batch. What the acknowledgement
says, the status tells proxies and programs too: 200 for what was taken, 400 for what cannot be read or is
refused, 413 and 503 as everywhere. Answers that come later (`ack_on: processed`, MSH-16) have no connection to
come on.
Source: HL7 over HTTP as HAPI HL7 v2 specifies it (hapifhir.github.io/hapi-hl7v2/hapi-hl7overhttp)
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from flask import Blueprint, Response, request

from server.api.exchange import Authenticate
from server.api.observability import request_id
from server.api.rates import Rate
from server.auth.principal import Principal
from server.auth.scopes import HL7V2, HL7V2_SCOPE
from server.errors import FhirError
from server.hl7v2.intake import Intake
from server.hl7v2.received import Origin, Received
from server.interactions.audit import audit_row
from server.interactions.request import Context, InteractionRequest, InteractionResponse
from server.origin import address_key

PATH = "/hl7v2"
MEDIA_TYPE = "application/hl7-v2"
_TYPES = frozenset({MEDIA_TYPE, "application/hl7-v2+er7", "x-application/hl7-v2+er7"})
_STATUS = {"unreadable": 400, "refused": 400, "too-large": 413, "busy": 503}


def hl7v2_blueprint(
    context: Context, intake: Intake, authenticate: Authenticate, addresses: Rate, most: int
) -> Blueprint:
    """most: bytes that a body may have. addresses: what one address may ask without a token in force."""
    blueprint = Blueprint("hl7v2", __name__)
    turn = Lock()

    @blueprint.post(PATH)
    def receive() -> Response:
        try:
            principal = authenticate(request.headers.get("Authorization", ""))
        except FhirError:
            addresses.take(address_key(request.environ.get("REMOTE_ADDR", "")))
            raise
        return _audited(context, principal, lambda: take(principal))

    def take(principal: Principal) -> Response:
        require_scope(principal)
        if request.mimetype not in _TYPES:
            raise FhirError("unsupported-media-type", f"send HL7 v2 messages as {MEDIA_TYPE}")
        body = request.get_data(cache=False)
        if len(body) > most:
            raise FhirError("too-large", f"the body may have {most} bytes at most")
        if not body.strip():
            raise FhirError("invalid-request", "there is no message in the body")
        with turn:
            (receipt,) = intake.take([Received(body, Origin("http", request.environ.get("REMOTE_ADDR", "")))])
        status = _STATUS.get(receipt.outcome, 200)
        headers = {"Cache-Control": "no-store"} | ({"Retry-After": "5"} if status == 503 else {})
        if not receipt.answers:
            return Response(status=204 if status == 200 else status, headers=headers)
        return Response(b"".join(receipt.answers), status, headers, content_type=MEDIA_TYPE)

    return blueprint


def require_scope(principal: Principal) -> None:
    """Raises: FhirError forbidden for a token that may not send messages in."""
    if not any(scope.resource_type == HL7V2 for scope in principal.scopes):
        raise FhirError("forbidden", f"sending HL7 v2 messages needs the scope {HL7V2_SCOPE}")


def _audited(context: Context, principal: Principal, work: Callable[[], Response]) -> Response:
    """The answer, once it stands in the audit trail who sent something in and how that ended."""
    asked = InteractionRequest("operation", operation="hl7v2", request_id=request_id(request.environ))
    try:
        response = work()
    except FhirError as error:
        context.audit(audit_row(context, principal, asked, InteractionResponse(error.status)))
        raise
    context.audit(audit_row(context, principal, asked, InteractionResponse(response.status_code)))
    return response
