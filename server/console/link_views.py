"""The console's pages of links with other EHRs (Flask)."""

from __future__ import annotations

from flask import Blueprint, Response, g, make_response, redirect, request, url_for

from server.auth.context import AuthContext, record
from server.auth.sessions import Session
from server.console.links import ACTIONS, Action, act, described, link_state
from server.errors import FhirError
from server.staff_area import page
from server.storage.identity_link_rows import PROPOSED, STATES


def add_link_pages(pages: Blueprint, auth: AuthContext) -> None:
    """Add the pages below /console/links."""

    @pages.get("/links")
    def links() -> Response:
        state, staff = request.args.get("state", PROPOSED), g.staff
        record(
            auth,
            "link-list",
            200,
            principal=staff.fhir_user or f"User/{staff.username}",
            username=staff.username,
            detail=state if state in STATES else "",
        )
        action = ACTIONS.get(request.args.get("did", ""))
        return page(
            "console/links.html",
            shown=link_state(auth, state),
            state=state,
            states=STATES,
            told=action.told if action else "",
        )

    @pages.get("/links/<name>")
    def link_question(name: str) -> Response:
        action, target = _action(name), request.args.get("target", "")
        question = action.question.format(what=described(auth, name, target))
        accounts = link_state(auth, PROPOSED).accounts if name == "confirm" else ()
        return page(
            "console/link_question.html",
            name=name,
            target=target,
            action=action,
            question=question,
            accounts=accounts,
        )

    @pages.post("/links/<name>")
    def link_action(name: str) -> Response:
        staff: Session = g.staff
        _action(name)
        act(
            auth,
            name,
            request.form.get("target", ""),
            request.form.get("account", ""),
            principal=staff.fhir_user or f"User/{staff.username}",
            username=staff.username,
        )
        return make_response(redirect(url_for("console.links", did=name), 303))


def _action(name: str) -> Action:
    action = ACTIONS.get(name)
    if action is None:
        raise FhirError("not-found", "There is no such page.")
    return action
