"""The authorization endpoint, step by step: what to show next, or where to send the browser.

The steps carry the client's own parameters and validate them anew each time, so nothing half-done is stored.
An error goes to the client's redirect URI once client and redirect URI are known to be right, and to a page
before. Sources: RFC 6749 section 4.1, RFC 9207, OpenID Connect Core 1.0 section 3.1.2.1,
hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.errors import AccessDeniedError, InvalidRequestError

from server.auth.authorization_code import Approval, AuthorizationCodeGrant
from server.auth.authorization_server import AuthorizationServer, Request, check_parameters
from server.auth.authorization_steps import (
    Choice,
    ChooseEncounter,
    ChoosePatient,
    Consent,
    ErrorPage,
    Redirect,
    SignIn,
    Step,
)
from server.auth.clients import Client
from server.auth.context import AuthContext, record
from server.auth.launches import continue_launch, use_launch
from server.auth.narrowing import granted
from server.auth.scopes import parse_scope
from server.auth.sessions import Session, fhir_user, is_alive
from server.storage.authorization import LaunchRow

# A sign-in this recent satisfies prompt=login.
_FRESH_LOGIN = timedelta(minutes=1)
# How long somebody may take over the pages after that.
_ON_PAGES = timedelta(minutes=15)
# What of a launch the grant keeps besides patient and encounter; `session`: the sign-in that it ends with.
_FROM_LAUNCH = ("intent", "fhirContext", "need_patient_banner", "tenant", "session")


def known_client(server: AuthorizationServer, request: Request) -> Client | None:
    """The client whose request this is, where its redirect URI is a registered one too."""
    client = server.query_client(request.form.get("client_id", ""))
    if client is None or not client.check_redirect_uri(request.form.get("redirect_uri", "")):
        return None
    return client


def authorize(
    server: AuthorizationServer, request: Request, session: Session | None, choice: Choice | None = None
) -> Step:
    """The next step of an authorization request.

    choice: None when the request arrives from the client, else what a page of ours sent (the caller has
    checked its CSRF token, and that the user may see the chosen patient).
    """
    try:
        check_parameters(request)
        if known_client(server, request) is None:
            raise OAuth2Error(
                "The app is not registered here, or asked to return elsewhere.", error="invalid_request"
            )
        if request.form.get("response_type") != "code":
            raise OAuth2Error(
                "response_type must be code.",
                error="unsupported_response_type",
                redirect_uri=request.form["redirect_uri"],
                state=request.form.get("state"),
            )
        grant = server.get_consent_grant(request)
        if choice is not None and choice.denied:
            raise AccessDeniedError(redirect_uri=grant.redirect_uri, state=request.form.get("state"))
        if request.form.get("launch"):
            return _ehr_launch(server, request, grant, choice)
        return _standalone(server, request, grant, session, choice)
    except OAuth2Error as error:
        return _refusal(server, request, error)


def _refusal(server: AuthorizationServer, request: Request, error: OAuth2Error) -> Step:
    client_id = request.form.get("client_id", "")
    known = server.query_client(client_id)
    record(
        server.context,
        "authorize-refused",
        400,
        client_id=known.client_id if known else "",
        request_id=request.request_id,
        detail=error.error,
    )
    if not error.redirect_uri:
        return ErrorPage(error.error, error.description or "The request cannot be understood.")
    _, _, headers = error()
    return _answer(server, dict(headers)["Location"])


def _ehr_launch(
    server: AuthorizationServer, request: Request, grant: AuthorizationCodeGrant, choice: Choice | None
) -> Step:
    context, client = server.context, request.client
    row = use_launch(context, request.form["launch"], client.client_id, continued=choice is not None)
    user = context.rows.user(row.username) if row else None
    if row is None or user is None or user.disabled or not _is_signed_in(context, row):
        raise InvalidRequestError(
            "This launch has been used, has expired, or was made for another app: start it again in the EHR.",
            redirect_uri=grant.redirect_uri,
            state=request.form.get("state"),
        )
    scope = _in_launch(request.scope, row)
    if not client.trusted and (choice is None or choice.granted is None):
        return Consent(client, scope, row.patient, continue_launch(context, row))
    approval = Approval(
        username=user.username,
        fhir_user=fhir_user(user),
        role=user.role,
        scope=_granted(scope, choice),
        patient=row.patient,
        encounter=row.encounter,
        auth_time=_moment(row),
        context={name: row.context[name] for name in _FROM_LAUNCH if name in row.context},
    )
    return _issue(server, request, grant, approval)


def _standalone(
    server: AuthorizationServer,
    request: Request,
    grant: AuthorizationCodeGrant,
    session: Session | None,
    choice: Choice | None,
) -> Step:
    client, prompts = request.client, request.form.get("prompt", "").split()
    if session is None or not _fresh(server, request, session, choice):
        _refuse_silence(request, grant, prompts, "login_required")
        return SignIn(client)
    scope = _without(request.scope, "launch")  # there is no EHR that launched
    chosen = choice or Choice()
    patient, encounter = chosen.patient or None, None
    if patient is None and _needs_patient(scope):
        _refuse_silence(request, grant, prompts, "interaction_required")
        return ChoosePatient(client)
    if patient is not None and "launch/encounter" in scope.split():
        if chosen.encounter is None:
            return ChooseEncounter(client, patient)
        encounter = chosen.encounter or None
        scope = scope if encounter else _without(scope, "launch/encounter")
    decided = chosen.granted is not None
    if not decided and (not client.trusted or "consent" in prompts):
        _refuse_silence(request, grant, prompts, "consent_required")
        return Consent(client, scope, patient, encounter=chosen.encounter)
    approval = Approval(
        username=session.username,
        fhir_user=session.fhir_user,
        role=session.role,
        scope=_granted(scope, choice),
        patient=patient,
        encounter=encounter,
        auth_time=session.created,
        context={"session": session.session_hash.hex()},
    )
    return _issue(server, request, grant, approval)


def _issue(
    server: AuthorizationServer, request: Request, grant: AuthorizationCodeGrant, approval: Approval
) -> Redirect:
    if not approval.scope:
        raise AccessDeniedError(redirect_uri=grant.redirect_uri, state=request.form.get("state"))
    answer = server.create_authorization_response(request, grant_user=approval, grant=grant)
    return _answer(server, answer.headers["Location"])


def _answer(server: AuthorizationServer, url: str) -> Redirect:
    """The answer to the client, which says whose it is: an app of several servers cannot be mixed up."""
    return Redirect(add_params_to_uri(url, [("iss", server.context.base_url)]))


def _fresh(server: AuthorizationServer, request: Request, session: Session, choice: Choice | None) -> bool:
    """Whether the login is as recent as the client asks (prompt=login, max_age)."""
    age = server.context.clock() - session.created - (timedelta() if choice is None else _ON_PAGES)
    if "login" in request.form.get("prompt", "").split() and age > _FRESH_LOGIN:
        return False
    maximum = request.form.get("max_age", "")
    return not maximum or age <= max(timedelta(seconds=int(maximum)), _FRESH_LOGIN)


def _refuse_silence(
    request: Request, grant: AuthorizationCodeGrant, prompts: Collection[str], error: str
) -> None:
    if "none" in prompts:
        raise OAuth2Error(
            "The user must be asked, and prompt is none.",
            error=error,
            redirect_uri=grant.redirect_uri,
            state=request.form.get("state"),
        )


def _needs_patient(scope: str) -> bool:
    """Whether a scope is useless without a patient: launch/patient, launch/encounter, or any patient/ scope."""
    return any(word in ("launch/patient", "launch/encounter") or _of_patient(word) for word in scope.split())


def _of_patient(word: str) -> bool:
    parsed = parse_scope(word)
    return parsed is not None and parsed.level == "patient"


def _without(scope: str, *dropped: str) -> str:
    return " ".join(word for word in scope.split() if word not in dropped)


def _in_launch(scope: str, row: LaunchRow) -> str:
    """The part of a scope that an EHR launch can carry: what needs a patient, an encounter or a sign-in to end
    with, only where the launch has it."""
    return " ".join(
        word
        for word in scope.split()
        if (row.patient or not (word == "launch/patient" or _of_patient(word)))
        and (row.encounter or word != "launch/encounter")
        and (row.context.get("session") or word != "online_access")
    )


def _granted(scope: str, choice: Choice | None) -> str:
    """What remains of a scope after the consent page; "" when nothing that could be ticked was."""
    return scope if choice is None or choice.granted is None else granted(scope, choice.granted)


def _is_signed_in(context: AuthContext, row: LaunchRow) -> bool:
    """Whether the sign-in that a launch was made in still stands."""
    session = row.context.get("session")
    return not session or is_alive(context, bytes.fromhex(session))


def _moment(row: LaunchRow) -> datetime | None:
    text: Any = row.context.get("auth_time")
    return datetime.fromisoformat(text) if text else None
