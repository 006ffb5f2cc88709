"""The page where a person connects a chart of another EHR: who the user is here, and who the patient is.

Its address holds the secret of one launch and lives for minutes. Whoever opens it signs in here; what they see
and confirm of our patients is what they may see anyway. Nothing is linked but by a button.
Source: docs/explanation/links.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, redirect, request

from server.api.choice_search import Perform
from server.api.identity_comparison import display_name
from server.api.link_candidates import candidates
from server.api.oauth2_page import current_session, session_page
from server.auth.context import AuthContext
from server.auth.identity_links import LinkError, account_of, confirm, end, ticket_of
from server.auth.sessions import Session
from server.storage.identity_link_rows import PROPOSED, REFUSED, LinkKind, LinkRow, TicketRow


def register_link_pages(blueprint: Blueprint, context: AuthContext, perform: Perform) -> None:
    """Add the page and what its forms do."""
    views = _Views(context, perform)
    blueprint.add_url_rule("/oauth2/links/<ticket>", "links", views.show, methods=["GET"])
    blueprint.add_url_rule("/oauth2/links/<ticket>", "decide_link", views.decide, methods=["POST"])


class _Views:
    def __init__(self, context: AuthContext, perform: Perform) -> None:
        self._context = context
        self._perform = perform

    def show(self, ticket: str) -> Response:
        """Both sides, after signing in."""
        row, session = ticket_of(self._context, ticket), current_session(self._context)
        if row is None:
            return self._gone(session)
        if session is None:
            return _sign_in(ticket)
        return self._page(row, session, ticket)

    def decide(self, ticket: str) -> Response:
        """A button was pressed."""
        row, session = ticket_of(self._context, ticket), current_session(self._context)
        if row is None:
            return self._gone(session)
        if session is None or not session.is_csrf(request.form.get("csrf", "")):
            return _sign_in(ticket)
        if request.form.get("decision") == "me" and session.created < row.created:
            # A page left open must not make its owner somebody else's account there.
            return _sign_in(ticket, again=True)
        problem = self._done(row, session)
        if problem:
            return self._page(row, session, ticket, problem, 409)
        return make_response(redirect(f"/oauth2/links/{ticket}", 303))

    def _done(self, row: TicketRow, session: Session) -> str:
        """What the button says; why not, "" where it was done."""
        match request.form.get("decision"):
            case "me":
                return self._link_user(row, session)
            case "patient":
                return self._link_patient(row, session)
            case "none":
                return self._refuse_patient(row, session)
        return "Choose one of the buttons."

    def _link_user(self, row: TicketRow, session: Session) -> str:
        if account_of(self._context, session.username) is None:
            return "Your account here does not act as an active Practitioner. Ask whoever administers Baton."
        made = {"by": "self", "display": row.user_display}
        return self._confirm("staff", row, row.user, session.username, session, made)

    def _link_patient(self, row: TicketRow, session: Session) -> str:
        if request.form.get("compared") != "yes":
            return "Say that you have compared both records."
        chosen = request.form.get("patient", "")
        # Looked for again: only whom this person may see, and as matching judges them now.
        found = candidates(self._perform, session, row.patient)
        candidate = next((each for each in found.candidates if each.id == chosen), None)
        if candidate is None or candidate.why_not:
            return "This patient cannot be chosen any more; look again."
        return self._confirm("patient", row, row.patient["id"], candidate.id, session, candidate.made)

    def _refuse_patient(self, row: TicketRow, session: Session) -> str:
        if not candidates(self._perform, session, row.patient).problem:
            for link in self._links(row, "patient"):
                if link.state == PROPOSED:
                    end(
                        self._context,
                        link.link_id,
                        REFUSED,
                        principal=_name(session),
                        username=session.username,
                    )
            return ""
        return "Whether this is one of our patients is for somebody to say who may see them."

    def _confirm(
        self, kind: LinkKind, row: TicketRow, there: str, here: str, session: Session, made: Mapping[str, Any]
    ) -> str:
        try:
            confirm(
                self._context,
                kind,
                row.issuer,
                there,
                here,
                principal=_name(session),
                username=session.username,
                made=made,
            )
        except LinkError as error:
            return f"{str(error)[:1].upper()}{str(error)[1:]}."
        return ""

    def _links(self, row: TicketRow, kind: LinkKind) -> tuple[LinkRow, ...]:
        there = row.user if kind == "staff" else row.patient["id"]
        return self._context.store.identity_links.links(limit=20, kind=kind, issuer=row.issuer, there=there)

    def _page(
        self, row: TicketRow, session: Session, ticket: str, problem: str = "", status: int = 200
    ) -> Response:
        links = self._context.store.identity_links
        issuer = links.issuer(row.issuer)
        staff = links.confirmed("staff", row.issuer, row.user)
        patient = links.confirmed("patient", row.issuer, row.patient["id"])
        found = None if patient is not None else candidates(self._perform, session, row.patient)
        return session_page(
            "link.html",
            session,
            status,
            ticket=ticket,
            label=issuer.label if issuer else "",
            launch=row,
            patient_name=display_name(row.patient),
            staff=staff,
            is_me=staff is not None and staff.here == session.username,
            patient=patient,
            found=found,
            refused=patient is None and not any(link.state == PROPOSED for link in self._links(row, "patient")),
            problem=problem,
        )

    def _gone(self, session: Session | None) -> Response:
        text = "Open the app again from the patient's chart; it gives you a new one."
        return session_page("error.html", session, 404, heading="This page has expired", text=text, code="")


def _sign_in(ticket: str, *, again: bool = False) -> Response:
    query = {"next": f"/oauth2/links/{ticket}"} | ({"again": "1"} if again else {})
    return make_response(redirect(f"/oauth2/login?{urlencode(query)}", 303))


def _name(session: Session) -> str:
    return session.fhir_user or f"User/{session.username}"
