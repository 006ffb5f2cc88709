"""The authorization endpoint over HTTP: sign-in, choice of a patient, consent, and back to the client.

The client's parameters travel in the pages' forms and are validated anew at every step. Only an EHR launch may
be framed, and only by the origins that its client registered; its consent page carries the launch's single-use
secret instead of a session, because a frame of another site keeps no cookie.
Sources: RFC 6749 section 3.1, RFC 9700 section 4.16 (framing),
hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, redirect, request

from server.api.choice_search import Perform
from server.api.encounter_choice import encounter_title, find_encounters
from server.api.oauth2_page import current_session, form_target, framing, session_page
from server.api.patient_choice import find_patients, patient_name, patient_search
from server.api.scope_words import consent_groups
from server.api.smart import endpoint_request
from server.auth.authorization import authorize, known_client
from server.auth.authorization_server import NO_STORE, AuthorizationServer
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
from server.auth.context import record
from server.auth.sessions import Session

# The client's parameters that our pages carry along; the fields of our own begin with "_".
_CARRIED = (
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "aud",
    "launch",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "prompt",
    "max_age",
    "login_hint",
)


def register_authorize_pages(blueprint: Blueprint, server: AuthorizationServer, perform: Perform) -> None:
    """Add the authorization endpoint and the pages it leads through."""
    views = _Views(server, perform)
    blueprint.add_url_rule("/oauth2/authorize", "authorize", views.authorize, methods=["GET", "POST"])
    blueprint.add_url_rule("/oauth2/authorize/patient", "patient", views.patient, methods=["POST"])
    blueprint.add_url_rule("/oauth2/authorize/encounter", "encounter", views.encounter, methods=["POST"])
    blueprint.add_url_rule("/oauth2/authorize/consent", "consent", views.consent, methods=["POST"])
    blueprint.add_url_rule("/oauth2/authorize/decision", "decision", views.decision, methods=["POST"])


class _Views:
    def __init__(self, server: AuthorizationServer, perform: Perform) -> None:
        self._server = server
        self._perform = perform

    def authorize(self) -> Response:
        """GET or POST from the client."""
        pairs = request.form if request.method == "POST" else request.args
        parameters = list(pairs.items(multi=True))
        asked = endpoint_request(self._server, parameters)
        session = current_session(self._server.context)
        response = self._show(authorize(self._server, asked, session), parameters, session)
        if "Content-Security-Policy" not in response.headers:
            client = known_client(self._server, asked)
            ancestors = client.row.frame_ancestors if client and asked.form.get("launch") else ()
            response.headers["Content-Security-Policy"] = framing(ancestors)
        return response

    def patient(self) -> Response:
        """The search on the page of patients, or another page of what it found."""
        return self._own_form(Choice())

    def encounter(self) -> Response:
        """Another page of the chosen patient's encounters."""
        return self._own_form(Choice(patient=_chosen_patient()))

    def consent(self) -> Response:
        """A patient or an encounter was chosen, or the choice was left."""
        denied = request.form.get("_decision") == "deny"
        return self._own_form(
            Choice(_chosen_patient(), denied=denied, encounter=request.form.get("_encounter"))
        )

    def decision(self) -> Response:
        """The consent page was sent."""
        return self._own_form(
            Choice(
                patient=_chosen_patient(),
                granted=frozenset(request.form.getlist("_granted")),
                denied=request.form.get("_decision") != "allow",
                encounter=request.form.get("_encounter"),
            )
        )

    def _own_form(self, choice: Choice) -> Response:
        """One of our pages was sent: make sure that it was ours, then take the next step."""
        parameters = [(name, value) for name, value in request.form.items(multi=True) if name in _CARRIED]
        asked = endpoint_request(self._server, parameters)
        session = current_session(self._server.context)
        if not asked.form.get("launch") and session is not None:
            if not session.is_csrf(request.form.get("_csrf", "")):
                self._forged(session)
                return self._problem("This page has expired", "Go back to the app and start again.", 403)
            if choice.patient and not patient_name(self._perform, session, choice.patient):
                return self._problem("This patient cannot be opened", "Choose a patient from the list.", 404)
            if choice.encounter and not encounter_title(
                self._perform, session, choice.patient or "", choice.encounter
            ):
                return self._problem("This visit cannot be opened", "Choose a visit from the list.", 404)
        return self._show(authorize(self._server, asked, session, choice), parameters, session)

    def _forged(self, session: Session) -> None:
        who = session.fhir_user or f"User/{session.username}"
        record(
            self._server.context,
            "authorize-refused",
            403,
            principal=who,
            username=session.username,
            detail="form",
        )

    def _show(self, step: Step, parameters: list[tuple[str, str]], session: Session | None) -> Response:
        """A step of the authorization endpoint as a response."""
        carried = [(name, value) for name, value in parameters if name in _CARRIED]
        if isinstance(step, Redirect):
            return Response(
                status=302, headers={"Location": step.url, "Referrer-Policy": "no-referrer", **NO_STORE}
            )
        if isinstance(step, ErrorPage):
            return self._problem("This app cannot be opened", step.text, step.status, step.code)
        if isinstance(step, SignIn):
            query = {"next": f"/oauth2/authorize?{urlencode(carried)}"} | ({"again": "1"} if session else {})
            return make_response(redirect(f"/oauth2/login?{urlencode(query)}", 303))
        if isinstance(step, ChoosePatient):
            return self._patient_page(step, carried, session)
        if isinstance(step, ChooseEncounter):
            return self._encounter_page(step, carried, session)
        return self._consent_page(step, carried, session)

    def _patient_page(
        self, step: ChoosePatient, carried: list[tuple[str, str]], session: Session | None
    ) -> Response:
        if session is None:
            return self._problem("You have been signed out", "Go back to the app and start again.", 403)
        asked = patient_search(request.form)
        found = find_patients(self._perform, session, asked, request.form.get("_cursor", ""))
        return session_page(
            "patient.html",
            session,
            400 if found.fault else 200,
            target=form_target(dict(carried)["redirect_uri"]),
            carried=carried,
            client_name=step.client.row.name,
            asked=asked,
            found=found,
        )

    def _encounter_page(
        self, step: ChooseEncounter, carried: list[tuple[str, str]], session: Session | None
    ) -> Response:
        if session is None:
            return self._problem("You have been signed out", "Go back to the app and start again.", 403)
        found = find_encounters(self._perform, session, step.patient, request.form.get("_cursor", ""))
        return session_page(
            "encounter.html",
            session,
            400 if found.fault else 200,
            target=form_target(dict(carried)["redirect_uri"]),
            carried=carried,
            client_name=step.client.row.name,
            patient=step.patient,
            patient_name=patient_name(self._perform, session, step.patient),
            found=found,
        )

    def _consent_page(self, step: Consent, carried: list[tuple[str, str]], session: Session | None) -> Response:
        if step.launch:
            carried = [(name, step.launch if name == "launch" else value) for name, value in carried]
        words = step.scope.split()
        name, visit = self._names(step, session)
        return session_page(
            "consent.html",
            None if step.launch else session,
            target=form_target(dict(carried)["redirect_uri"]),
            frame_ancestors=step.client.row.frame_ancestors if step.launch else (),
            carried=carried,
            client_name=step.client.row.name,
            patient=step.patient or "",
            encounter=step.encounter,
            patient_name=name,
            encounter_title=visit,
            groups=consent_groups(step.scope),
            identity="openid" in words,
            offline="offline_access" in words,
            online="online_access" in words and "offline_access" not in words,
        )

    def _names(self, step: Consent, session: Session | None) -> tuple[str, str]:
        """Whose record, and which visit; nothing in a launch, where the EHR shows it."""
        if session is None or step.launch or not step.patient:
            return "", ""
        name = patient_name(self._perform, session, step.patient)
        if not step.encounter:
            return name, ""
        return name, encounter_title(self._perform, session, step.patient, step.encounter)

    def _problem(self, heading: str, text: str, status: int, code: str = "") -> Response:
        session = current_session(self._server.context)
        return session_page("error.html", session, status, heading=heading, text=text, code=code)


def _chosen_patient() -> str | None:
    return request.form.get("_patient") or None
