"""The console's pages of emergency accesses (Flask): what is open, what waits for a review, and the review."""

from __future__ import annotations

from flask import Blueprint, Response, g, make_response, redirect, request, url_for

from server.auth.context import AuthContext, record
from server.auth.sessions import Session
from server.console.audit import lines
from server.emergencies import (
    EmergencyAccess,
    EmergencyAccesses,
    conclude,
    looked_at,
    refuse_reviewer,
    state_of,
)
from server.errors import FhirError
from server.interactions.request import Context
from server.policy.emergency_review import emergency_review
from server.row_numbers import row_number
from server.staff_area import page, staff_principal

CLIENT_ID = "console"
EMERGENCY_PAGES = frozenset({"console.emergencies", "console.emergency", "console.emergency_review"})
NAVIGATION = ("Emergency accesses", "console.emergencies")
_FINDING = range(3, 1_001)  # characters


def add_emergency_pages(
    pages: Blueprint, context: Context, auth: AuthContext, accesses: EmergencyAccesses
) -> None:
    """Add the pages below /console/emergencies."""

    def known(text: str) -> EmergencyAccess:
        access = accesses.one(row_number(text, "emergency access"))
        if access is None:
            raise FhirError("not-found", "There is no such emergency access.")
        return access

    @pages.get("/emergencies", endpoint="emergencies")
    def listed() -> Response:
        _note(auth, "audit-search")
        now = auth.clock()
        waiting = [state_of(access, now) for access in accesses.list(unreviewed=True)]
        reviewed = [state_of(row, now) for row in accesses.list() if row.reviewed is not None]
        return page("console/emergencies.html", waiting=waiting, reviewed=reviewed)

    @pages.get("/emergencies/<number>", endpoint="emergency")
    def shown(number: str) -> Response:
        return _shown(known(number))

    @pages.post("/emergencies/<number>", endpoint="emergency_review")
    def reviewed(number: str) -> Response:
        access, staff = known(number), _staff()
        refuse_reviewer(access, staff.role, staff.username)
        finding = " ".join(request.form.get("finding", "").split())
        if len(finding) not in _FINDING or not finding.isprintable():
            most = _FINDING.stop - 1
            return _shown(access, f"Say what you found, in {_FINDING.start} to {most} characters.")
        with auth.store.writing():
            if not accesses.review(access.number, staff.username, finding, auth.clock()):
                raise FhirError("conflict", "Somebody has reviewed this access already.")
            _note(auth, "emergency-review", access.patient, f"access {access.number}")
            conclude(context, access)
        return make_response(redirect(url_for("console.emergencies"), 303))

    def _shown(access: EmergencyAccess, problem: str = "") -> Response:
        _note(auth, "audit-read", access.patient, f"emergency access {access.number}")
        staff = _staff()
        may_review = staff.role in emergency_review().reviewers and staff.username != access.username
        found = looked_at(auth.store, access)
        return page(
            "console/emergency.html",
            400 if problem else 200,
            state=state_of(access, auth.clock()),
            lines=lines(found),
            more=found.next_after is not None,
            may_review=may_review and access.reviewed is None,
            problem=problem,
        )


def _staff() -> Session:
    staff: Session = g.staff
    return staff


def _note(auth: AuthContext, event: str, patient: str = "", detail: str = "emergency accesses") -> None:
    who = staff_principal(CLIENT_ID)
    record(
        auth,
        event,
        200,
        principal=who.name,
        client_id=CLIENT_ID,
        username=who.username,
        patient=patient,
        detail=detail,
    )
