"""`POST /oauth2/launch`: an EHR starts an EHR launch for the person who works in it.

The EHR is a first-party client with an access token of that person; the launch stands for the same person, and
only for a patient and an encounter that this token may read. JSON in, JSON out, errors as RFC 6750 words them.
Sources: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html (EHR launch), RFC 6750 section 3
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from server.api.choice_search import Perform, escaped
from server.api.observability import request_id
from server.auth.authorization_server import NO_STORE
from server.auth.context import AuthContext, record
from server.auth.launches import Launch, LaunchError, TokenHolder, issue_launch, token_holder
from server.auth.principal import Principal
from server.errors import FhirError
from server.fhir.json_codec import decode
from server.interactions.request import InteractionRequest

LAUNCH_PATH = "/oauth2/launch"
_BODY_LIMIT = 65_536
# Member of the request -> what it is.
_MEMBERS: Mapping[str, type | tuple[type, ...]] = {
    "client_id": str,
    "patient": str,
    "encounter": str,
    "intent": str,
    "fhirContext": list,
    "need_patient_banner": bool,
    "tenant": str,
}


class _Refused(Exception):
    """The launch is not made. error: as RFC 6750 names it."""

    def __init__(self, status: int, error: str, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.error, self.headers = status, error, headers or {}


def launch_blueprint(
    context: AuthContext, authenticate: Callable[[str | None], Principal], perform: Perform
) -> Blueprint:
    """The endpoint, for `create_app` to register. authenticate: an Authorization header as its principal."""
    blueprint = Blueprint("launch", __name__)

    @blueprint.post(LAUNCH_PATH)
    def launch() -> Response:
        principal = None
        try:
            principal = _principal(authenticate)
            user = _user(context, principal)
            asked = _asked()
            _check_visible(perform, principal, asked)
            made = _issued(context, user, principal, asked)
        except _Refused as refusal:
            record(
                context,
                "launch-refused",
                refusal.status,
                principal=principal.name if principal else "",
                client_id=principal.client_id if principal else "",
                username=principal.username if principal else "",
                request_id=request_id(request.environ),
                detail=refusal.error,
            )
            body = {"error": refusal.error, "error_description": str(refusal)}
            return _answer(body, refusal.status, refusal.headers)
        seconds = int(context.lifetimes.launch.total_seconds())
        return _answer({"launch": made.secret, "url": made.url, "expires_in": seconds}, 201)

    return blueprint


def _answer(body: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, {**(headers or {}), **NO_STORE}, content_type="application/json")


def _principal(authenticate: Callable[[str | None], Principal]) -> Principal:
    try:
        return authenticate(request.headers.get("Authorization"))
    except FhirError as error:
        text = "; ".join(issue.diagnostics for issue in error.issues)
        raise _Refused(401, "invalid_token", text, error.headers) from None


def _user(context: AuthContext, principal: Principal) -> TokenHolder:
    try:
        return token_holder(context, principal)
    except LaunchError as error:
        raise _Refused(403, "access_denied", _sentence(error)) from None


def _issued(context: AuthContext, user: TokenHolder, principal: Principal, asked: Mapping[str, Any]) -> Launch:
    try:
        return issue_launch(
            context,
            user,
            asked["client_id"],
            patient=asked.get("patient"),
            encounter=asked.get("encounter"),
            intent=asked.get("intent", ""),
            fhir_context=asked.get("fhirContext", ()),
            need_patient_banner=asked.get("need_patient_banner", True),
            tenant=asked.get("tenant", ""),
            by=principal.client_id,
        )
    except LaunchError as error:
        raise _Refused(400, "invalid_request", _sentence(error)) from None


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def _asked() -> dict[str, Any]:
    request.max_content_length = _BODY_LIMIT
    try:
        body = decode(request.get_data())
    except (FhirError, HTTPException):
        raise _Refused(400, "invalid_request", "The request is a JSON object of at most 64 kB.") from None
    if request.mimetype != "application/json" or not isinstance(body, dict) or "client_id" not in body:
        raise _Refused(400, "invalid_request", "The request is a JSON object with at least client_id.")
    for name, value in body.items():
        if name not in _MEMBERS or not isinstance(value, _MEMBERS[name]):
            known = ", ".join(_MEMBERS)
            raise _Refused(400, "invalid_request", f"The members of the request are {known}, each of its type.")
    if body.get("encounter") and not body.get("patient"):
        raise _Refused(400, "invalid_request", "An encounter is given with its patient.")
    return body


def _check_visible(perform: Perform, principal: Principal, asked: Mapping[str, Any]) -> None:
    """Whether the token may read the patient, and the encounter as one of the patient's."""
    patient, encounter = asked.get("patient"), asked.get("encounter")
    requests = []
    if patient is not None:
        requests.append(InteractionRequest("search-type", "Patient", query=(("_id", escaped(patient)),)))
    if encounter is not None:
        query = (("_id", escaped(encounter)), ("patient", escaped(f"Patient/{patient}")))
        requests.append(InteractionRequest("search-type", "Encounter", query=query))
    for search in requests:
        try:
            found = decode(perform(principal, search).body).get("entry", ())
        except FhirError as error:
            if error.status >= 500:
                raise
            found = ()
        if not found:
            text = f"There is no such {search.resource_type} that this token may read."
            raise _Refused(400, "invalid_request", text)
