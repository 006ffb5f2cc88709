"""The console's pages of partner organisations (Flask): who they are, what binds them, when they last asked."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from flask import Blueprint, Response, make_response, redirect, request, url_for

from server.auth.context import AuthContext
from server.auth.partner_changes import PARTNER_ID, STATES, PartnerError
from server.auth.sessions import fhir_user
from server.console.administration import TEXT_LIMIT, administers, administrator, last_asked
from server.console.paging import PAGE, place_text, text_place
from server.console.partners import ACTIONS, MEMBERS_SHOWN, agreements_shown
from server.errors import FhirError
from server.policy.partner_agreements import partner_kinds, purposes_of_use
from server.staff_area import page
from server.storage.partners import PartnerQuery, PartnerRow


def add_partner_pages(pages: Blueprint, auth: AuthContext) -> None:
    """Add the pages below /console/partners."""

    def known(partner_id: str) -> PartnerRow:
        row = auth.store.partners.partner(partner_id) if PARTNER_ID.fullmatch(partner_id) else None
        if row is None:
            raise FhirError("not-found", "There is no such partner.")
        return row

    def clients_of(partner_id: str, after: str) -> tuple[list[dict[str, Any]], str]:
        """The clients of a partner with when they last asked, and what asks for more; "" for no more."""
        names = auth.store.partners.members(partner_id, "client", count=MEMBERS_SHOWN + 1, after=after)
        shown = [
            {"row": row, "last": last_asked(auth.store, client_id=name)}
            for name in names[:MEMBERS_SHOWN]
            if (row := auth.rows.client(name)) is not None
        ]
        return shown, names[MEMBERS_SHOWN - 1] if len(names) > MEMBERS_SHOWN else ""

    def users_of(partner_id: str, after: str) -> tuple[list[dict[str, Any]], str]:
        names = auth.store.partners.members(partner_id, "user", count=MEMBERS_SHOWN + 1, after=after)
        shown = [
            {"row": row, "last": last_asked(auth.store, principal=fhir_user(row) or f"User/{name}")}
            for name in names[:MEMBERS_SHOWN]
            if (row := auth.rows.user(name)) is not None
        ]
        return shown, names[MEMBERS_SHOWN - 1] if len(names) > MEMBERS_SHOWN else ""

    @pages.get("/partners")
    def partners() -> Response:
        text = request.args.get("text", "").strip()[:TEXT_LIMIT].replace("\0", "")
        state, kind = request.args.get("state", ""), request.args.get("kind", "")
        query = PartnerQuery(
            text=text,
            state=state if state in STATES else "",
            kind=kind if kind in partner_kinds() else "",
            count=PAGE,
            after=text_place(request.args.get("after", "")),
        )
        found = auth.store.partners.page(query)
        return page(
            "console/partners.html",
            rows=found.rows,
            following=place_text(found.next_after),
            query=query,
            states=STATES,
            kinds=partner_kinds(),
            purposes=purposes_of_use(),
        )

    @pages.get("/partners/<partner_id>")
    def partner(partner_id: str) -> Response:
        row, did = known(partner_id), ACTIONS.get(request.args.get("did", ""))
        clients, more_clients = clients_of(partner_id, _member(request.args.get("clients", "")))
        users, more_users = users_of(partner_id, _member(request.args.get("users", "")))
        moments = [last for member in (*clients, *users) if (last := member["last"]) is not None]
        if (last := last_asked(auth.store, principal=row.organization)) is not None:
            moments.append(last)
        return page(
            "console/partner.html",
            row=row,
            kind=partner_kinds().get(row.kind),
            purpose=purposes_of_use().get(row.purpose, "no longer in the policy"),
            agreements=agreements_shown(row, auth.clock().astimezone(UTC).date()),
            clients=clients,
            more_clients=more_clients,
            users=users,
            more_users=more_users,
            last=max(moments, default=None),
            actions={name: action for name, action in ACTIONS.items() if row.state in action.states},
            administers=administers(),
            told=did.done if did else "",
        )

    @pages.get("/partners/<partner_id>/<name>")
    def partner_question(partner_id: str, name: str) -> Response:
        row, action = known(partner_id), ACTIONS.get(name)
        if action is None or row.state not in action.states:
            raise FhirError("not-found", "There is no such page.")
        administrator(auth, action.event)
        return _question(row, name)

    @pages.post("/partners/<partner_id>/<name>")
    def partner_action(partner_id: str, name: str) -> Response:
        row, action = known(partner_id), ACTIONS.get(name)
        if action is None:
            raise FhirError("not-found", "There is no such action.")
        actor = administrator(auth, action.event)
        reason = request.form.get("reason", "")
        try:
            action.run(auth, actor, partner_id, reason)
        except PartnerError as error:
            return _question(row, name, problem=str(error), reason=reason, status=422)
        return make_response(redirect(url_for("console.partner", partner_id=partner_id, did=name), 303))


def _question(
    row: PartnerRow, name: str, *, problem: str = "", reason: str = "", status: int = 200
) -> Response:
    action = ACTIONS[name]
    return page(
        "console/question.html",
        status,
        heading=f"{action.button} {row.name}",
        question=action.question.format(name=row.name),
        button=action.button,
        action=url_for("console.partner_action", partner_id=row.partner_id, name=name),
        back=url_for("console.partner", partner_id=row.partner_id),
        asks_reason=True,
        is_reason_needed=action.is_reason_needed,
        reason=reason,
        problem=problem,
    )


def _member(name: str) -> str:
    return name[:TEXT_LIMIT].replace("\0", "")
