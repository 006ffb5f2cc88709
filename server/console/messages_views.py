"""The console's pages of received HL7 v2 messages (Flask). Every look and every decision is audited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from flask import Blueprint, Response, g, make_response, redirect, request, url_for

from server.auth.context import AuthContext, record
from server.console.message_preview import preview_shown
from server.console.messages import (
    Filters,
    Row,
    message_shown,
    query_of,
    read_filters,
    row_of,
    sees_patients,
)
from server.errors import FhirError
from server.hl7v2.current_maps import CurrentMaps
from server.hl7v2.refusal import Refused
from server.interactions.request import Context
from server.policy.roles import role
from server.row_numbers import row_number
from server.staff_area import page, sentences, staff_principal
from server.storage.hl7v2_messages import STATES, Hl7v2Messages

CLIENT_ID = "console"
Act = Callable[[Hl7v2Messages, int, datetime], int]
# What can be done with a message: by name, what it says when it was done.
ACTIONS: Mapping[str, tuple[Act, str]] = {
    "replay": (lambda messages, id, now: messages.replay([id], now), "It will be mapped and applied again."),
    "park": (
        lambda messages, id, now: messages.park([id], now),
        "It is parked, and later ones of its patient wait.",
    ),
    "release": (lambda messages, id, now: messages.release([id], now), "It goes on in its place."),
    "discard": (
        lambda messages, id, now: messages.discard([id], now, str(Refused("discarded"))),
        "It is not applied, and later ones of its patient go on.",
    ),
}


def add_message_pages(pages: Blueprint, context: Context, auth: AuthContext, maps: CurrentMaps) -> None:
    """Add the pages below /console/messages."""
    store = context.store

    def note(event: str, detail: str, outcome: int = 200) -> None:
        who = staff_principal(CLIENT_ID)
        record(
            auth, event, outcome, principal=who.name, client_id=CLIENT_ID, username=who.username, detail=detail
        )

    def masked() -> bool:
        return not sees_patients(role(g.staff.role))

    @pages.get("/messages")
    def messages() -> Response:
        return shown(read_filters(request.args, named=False), request.args.get("before", ""))

    @pages.post("/messages")
    def messages_found() -> Response:
        # By a form and not by an address: what tells of a patient stands in no log and no history of a browser.
        return shown(read_filters(request.form, named=not masked()), request.form.get("before", ""))

    def shown(filters: Filters, before: str) -> Response:
        problem, status, following = "", 200, None
        rows: tuple[Row, ...] = ()
        try:
            query = query_of(filters, before)
            note("hl7v2-search", " ".join(sorted(filters.used())))
            found = store.hl7v2_messages.search(query)
            rows = tuple(row_of(message, masked=masked()) for message in found.messages)
            following = found.next_before
        except FhirError as error:
            if error.status >= 500:
                raise
            problem, status = sentences(error), error.status
        return page(
            "console/messages.html",
            status,
            filters=filters,
            states=STATES,
            sources=[row.name for row in store.hl7v2_sources.all()],
            named=not masked(),
            rows=rows,
            following=following,
            counts=store.hl7v2_messages.states() if not before and not problem else (),
            problem=problem,
        )

    @pages.get("/messages/<number>")
    def message(number: str) -> Response:
        id = row_number(number, "message")
        note("hl7v2-read", f"message={id}")
        _, told = ACTIONS.get(request.args.get("did", ""), (None, ""))
        refused = request.args.get("count") == "0"
        return page(
            "console/message.html",
            shown=message_shown(store, id, masked=masked()),
            told="It was not in a state for that." if told and refused else told,
        )

    @pages.get("/messages/<number>/preview")
    def message_preview(number: str) -> Response:
        id = row_number(number, "message")
        note("hl7v2-read", f"message={id}")
        shown = preview_shown(context, staff_principal(CLIENT_ID), maps, id, masked=masked())
        return page("console/message_preview.html", shown=shown, changed="changed" in request.args)

    @pages.post("/messages/<number>/<action>")
    def message_action(number: str, action: str) -> Response:
        id = row_number(number, "message")
        act, _ = ACTIONS.get(action, (None, ""))
        if act is None:
            raise FhirError("not-found", "There is no such action.")
        version = request.form.get("maps", "")
        if version and version != maps().version:  # other maps than those whose preview led here
            return make_response(redirect(url_for("console.message_preview", number=id, changed=1), 303))
        with store.writing():
            count = act(store.hl7v2_messages, id, auth.clock())
            note(f"hl7v2-{action}", f"message={id}")
        return make_response(redirect(url_for("console.message", number=id, did=action, count=count), 303))
