"""The authorization endpoint, step by step: what to show next, or where to send the browser.

The steps carry the client's own parameters and validate them anew each time, so nothing half-done is stored.
An error goes to the client's redirect URI once client and redirect URI are known to be right, and to a page
before. Sources: RFC 6749 section 4.1, OpenID Connect Core 1.0 section 3.1.2.1,
hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.errors import AccessDeniedError, InvalidRequestError

from server.auth.authorization_code import Approval, AuthorizationCodeGrant
from server.auth.authorization_server import AuthorizationServer, Request, check_parameters
from server.auth.clients import Client
from server.auth.context import AuthContext, record
from server.auth.launches import continue_launch, use_launch
from server.auth.scopes import parse_scope
from server.auth.sessions import Session, fhir_user, is_alive
from server.storage.authorization import LaunchRow

# A sign-in this recent satisfies prompt=login.
_FRESH_LOGIN = timedelta(minutes=1)
# What a user may untick on the consent page; the rest goes with the flow itself.
_NOT_OPTIONAL = ("launch", "launch/patient", "openid", "fhirUser", "online_access", "offline_access")


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the browser to this URL by 302."""

    url: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """Nobody is signed in (or not freshly enough): show the sign-in page and come back."""

    client: Client


@dataclass(frozen=True, slots=True)
class ChoosePatient:
    """A patient must be chosen."""

    client: Client


@dataclass(frozen=True, slots=True)
class Consent:
    """The user decides. scope: what is asked for. launch: replaces the launch parameter in the page's form."""

    client: Client
    scope: str
    patient: str | None
    launch: str = ""


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """The request cannot be answered to the client. code: the OAuth error."""

    code: str
    text: str
    status: int = 400


Step = Redirect | SignIn | ChoosePatient | Consent | ErrorPage


@dataclass(frozen=True, slots=True)
class Choice:
    """What a page of ours sent. granted: the scopes left ticked, None before the consent page."""

    patient: str | None = None
    granted: Collection[str] | None = None
    denied: bool = False


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
    return Redirect(dict(headers)["Location"])


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
    scope = _without(request.scope, () if row.patient else ("launch/patient",), ("launch/encounter",))
    if not client.trusted and choice is None:
        return Consent(client, scope, row.patient, continue_launch(context, row))
    approval = Approval(
        username=user.username,
        fhir_user=fhir_user(user),
        role=user.role,
        scope=_granted(scope, choice),
        patient=row.patient,
        encounter=row.encounter,
        auth_time=_moment(row),
        context={
            name: row.context[name]
            for name in ("intent", "fhirContext", "need_patient_banner", "session")
            if name in row.context
        },
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
    # There is no EHR that launched, and encounters cannot be chosen here.
    scope = _without(request.scope, ("launch", "launch/encounter"))
    patient = choice.patient if choice is not None else None
    if patient is None and _needs_patient(scope):
        _refuse_silence(request, grant, prompts, "interaction_required")
        return ChoosePatient(client)
    decided = choice is not None and choice.granted is not None
    if not decided and (not client.trusted or "consent" in prompts):
        _refuse_silence(request, grant, prompts, "consent_required")
        return Consent(client, scope, patient)
    approval = Approval(
        username=session.username,
        fhir_user=session.fhir_user,
        role=session.role,
        scope=_granted(scope, choice),
        patient=patient,
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
    return Redirect(answer.headers["Location"])


def _fresh(server: AuthorizationServer, request: Request, session: Session, choice: Choice | None) -> bool:
    """Whether the login is as recent as the client asks (prompt=login, max_age); asked on arrival only."""
    if choice is not None:
        return True
    age = server.context.clock() - session.created
    if "login" in request.form.get("prompt", "").split() and age > _FRESH_LOGIN:
        return False
    maximum = request.form.get("max_age", "")
    return not (maximum.isascii() and maximum.isdigit() and len(maximum) < 10) or age <= timedelta(
        seconds=max(int(maximum), int(_FRESH_LOGIN.total_seconds()))
    )


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
    """Whether a scope is useless without a patient: launch/patient, or any patient/ scope."""
    words = scope.split()
    return "launch/patient" in words or any(
        parsed is not None and parsed.level == "patient" for parsed in map(parse_scope, words)
    )


def _without(scope: str, *dropped: Collection[str]) -> str:
    gone = {word for words in dropped for word in words}
    return " ".join(word for word in scope.split() if word not in gone)


def optional_scopes(scope: str) -> tuple[str, ...]:
    """The scopes that the user may leave out on the consent page."""
    return tuple(word for word in scope.split() if word not in _NOT_OPTIONAL)


def _granted(scope: str, choice: Choice | None) -> str:
    """What remains of a scope after the consent page; nothing when all that could be ticked was left out."""
    if choice is None or choice.granted is None:
        return scope
    optional = optional_scopes(scope)
    kept = [word for word in optional if word in choice.granted]
    if optional and not kept:
        return ""
    return " ".join(word for word in scope.split() if word in kept or word not in optional)


def _is_signed_in(context: AuthContext, row: LaunchRow) -> bool:
    """Whether the sign-in that a launch was made in still stands."""
    session = row.context.get("session")
    return not session or is_alive(context, bytes.fromhex(session))


def _moment(row: LaunchRow) -> datetime | None:
    text: Any = row.context.get("auth_time")
    return datetime.fromisoformat(text) if text else None
