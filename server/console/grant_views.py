"""The console's page of grants (Flask): what people have allowed programs to do in their name, and its end."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, make_response, redirect, request, url_for

from server.auth.context import AuthContext, record
from server.console.administration import TEXT_LIMIT, administers, administrator
from server.console.paging import PAGE, number_place, place_text
from server.errors import FhirError
from server.staff_area import page
from server.storage.authorization import GrantRow
from server.storage.authorization_pages import GrantQuery

# A granted scope -> what it lets a program do, in sentences.
ScopeWords = Callable[[str], tuple[str, ...]]


def add_grant_pages(pages: Blueprint, auth: AuthContext, scope_words: ScopeWords) -> None:
    """Add the pages below /console/grants."""

    def known(grant_id: str) -> GrantRow:
        row = auth.rows.grant(grant_id) if grant_id.isprintable() else None
        if row is None or not row.username:
            raise FhirError("not-found", "There is no such grant.")
        return row

    def client_name(client_id: str) -> str:
        client = auth.rows.client(client_id)
        return client.name if client is not None else client_id

    @pages.get("/grants")
    def grants() -> Response:
        given = {
            name: request.args.get(name, "").strip()[:TEXT_LIMIT].replace("\0", "")
            for name in ("user", "client")
        }
        query = GrantQuery(
            client_id=given["client"],
            username=given["user"],
            count=PAGE,
            after=number_place(request.args.get("after", "")),
        )
        found = auth.store.authorization_pages.grants(query, auth.clock())
        names = {id: client_name(id) for id in {one.grant.client_id for one in found.rows}}
        return page(
            "console/grants.html",
            rows=[(one.grant, one.until, scope_words(one.grant.scope)) for one in found.rows],
            names=names,
            following=place_text(found.next_after),
            given=given,
            administers=administers(),
            told="Revoked. Every token made from it has ended." if request.args.get("did") == "revoke" else "",
        )

    @pages.get("/grants/<grant_id>/revoke")
    def grant_question(grant_id: str) -> Response:
        row = known(grant_id)
        administrator(auth, "grant-revoke")
        return page(
            "console/question.html",
            heading="Revoke access",
            question=f"Revoke what {row.username} has allowed {client_name(row.client_id)}? Every token made"
            " from it ends at once, everywhere; the person may allow it anew.",
            button="Revoke",
            action=url_for("console.grant_revoke", grant_id=grant_id),
            back=url_for("console.grants"),
            asks_reason=False,
        )

    @pages.post("/grants/<grant_id>/revoke")
    def grant_revoke(grant_id: str) -> Response:
        row = known(grant_id)
        actor = administrator(auth, "grant-revoke")
        with auth.rows.transaction():
            ended = auth.rows.revoke_grant(grant_id, auth.clock())
            record(
                auth,
                "grant-revoke",
                200 if ended else 404,
                principal=actor.principal,
                client_id=row.client_id,
                username=row.username,
                patient=row.patient or "",
                detail=row.scope,
            )
        return make_response(redirect(url_for("console.grants", did="revoke"), 303))
