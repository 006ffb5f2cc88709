"""The console's pages of clients (Flask): who may ask for access, and for how long still."""

from __future__ import annotations

import uuid
from typing import Any

from flask import Blueprint, Response, make_response, redirect, request, url_for

from server.auth.client_changes import register, replace_keys
from server.auth.clients import AUTH_METHOD, RegistrationError
from server.auth.context import AuthContext
from server.console.administration import TEXT_LIMIT, administers, administrator, last_asked
from server.console.clients import (
    ACTIONS,
    FIELDS,
    KINDS,
    STATES,
    clients_page,
    key_set,
    keys_of,
    registration,
)
from server.console.paging import PAGE, place_text, text_place
from server.errors import FhirError
from server.staff_area import page
from server.storage.authorization import ClientRow
from server.storage.authorization_pages import ClientQuery, GrantQuery
from server.storage.partners import Member


def add_client_pages(pages: Blueprint, auth: AuthContext) -> None:
    """Add the pages below /console/clients."""

    def known(client_id: str) -> ClientRow:
        row = auth.rows.client(client_id) if client_id.isprintable() else None
        if row is None:
            raise FhirError("not-found", "There is no such client.")
        return row

    def shown(row: ClientRow, status: int = 200, **more: Any) -> Response:
        grants = auth.store.authorization_pages.grants(
            GrantQuery(client_id=row.client_id, count=1), auth.clock()
        )
        values: dict[str, Any] = {"problem": "", "told": "", "secret": "", "jwks": ""}
        published = auth.rows.registrations.key_set(row.jwks_uri) if row.jwks_uri else None
        return page(
            "console/client.html",
            status,
            row=row,
            kind=KINDS[row.kind],
            method=AUTH_METHOD[row.kind],
            keys=keys_of(published.jwks if published else row.jwks),
            fetched=published.fetched if published else None,
            partners=auth.store.partners.of([Member("client", row.client_id)]),
            has_grants=bool(grants.rows),
            last=last_asked(auth.store, client_id=row.client_id),
            actions={name: action for name, action in ACTIONS.items() if action.fits(row)},
            administers=administers(),
            **values | more,
        )

    @pages.get("/clients")
    def clients() -> Response:
        text, state = request.args.get("text", "").strip()[:TEXT_LIMIT], request.args.get("state", "")
        query = ClientQuery(
            text=text.replace("\0", ""),
            disabled=STATES.get(state),
            count=PAGE,
            after=text_place(request.args.get("after", "")),
        )
        found = clients_page(auth, query)
        return page(
            "console/clients.html",
            rows=found.rows,
            following=place_text(found.next_after),
            text=text,
            state=state if state in STATES else "",
            administers=administers(),
        )

    @pages.get("/client-registration")
    def client_registration() -> Response:
        administrator(auth, "client-add")
        return page("console/client_registration.html", kinds=KINDS, given={}, problem="")

    @pages.post("/client-registration")
    def register_client() -> Response:
        actor = administrator(auth, "client-add")
        try:
            row, secret = register(auth, actor, registration(request.form, str(uuid.uuid4())))
        except RegistrationError as error:
            given = {name: request.form.get(name, "") for name in FIELDS}
            return page(
                "console/client_registration.html",
                422,
                kinds=KINDS,
                given=given,
                problem=str(error),
            )
        return shown(row, 201, secret=secret, told="Registered.")

    @pages.get("/clients/<client_id>")
    def client(client_id: str) -> Response:
        action = ACTIONS.get(request.args.get("did", ""))
        return shown(known(client_id), told=action.done if action else "")

    @pages.get("/clients/<client_id>/<name>")
    def client_question(client_id: str, name: str) -> Response:
        row, action = known(client_id), ACTIONS.get(name)
        if action is None or not action.question or not action.fits(row):
            raise FhirError("not-found", "There is no such page.")
        administrator(auth, action.event)
        return page(
            "console/question.html",
            heading=action.button,
            question=action.question.format(name=row.name),
            button=action.button,
            action=url_for("console.client_action", client_id=client_id, name=name),
            back=url_for("console.client", client_id=client_id),
            asks_reason=False,
        )

    @pages.post("/clients/<client_id>/<name>")
    def client_action(client_id: str, name: str) -> Response:
        row, action = known(client_id), ACTIONS.get(name)
        if action is None:
            raise FhirError("not-found", "There is no such action.")
        actor = administrator(auth, action.event)
        try:
            secret = action.run(auth, actor, row.client_id)
        except RegistrationError as error:
            return shown(known(client_id), 422, problem=str(error))
        if secret:  # kept nowhere, so it is shown in the answer itself
            return shown(known(client_id), secret=secret, told=action.done)
        return make_response(redirect(url_for("console.client", client_id=client_id, did=name), 303))

    @pages.get("/clients/<client_id>/keys")
    def client_keys_page(client_id: str) -> Response:
        """Where the form of keys leads whoever had to prove first who they are."""
        return make_response(redirect(url_for("console.client", client_id=client_id), 303))

    @pages.post("/clients/<client_id>/keys")
    def client_keys(client_id: str) -> Response:
        row, text = known(client_id), request.form.get("jwks", "")
        actor = administrator(auth, "client-keys")
        try:
            replace_keys(auth, actor, row.client_id, key_set(text))
        except RegistrationError as error:
            return shown(row, 422, problem=str(error), jwks=text)
        return shown(known(client_id), told="The new keys count from now on.")
