"""The console's page of the queue (Flask): its state, kept fresh by polling, and what people can do."""

from __future__ import annotations

import hashlib

from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for

from server.auth.context import AuthContext, record
from server.auth.sessions import Session
from server.console.queue import ACTIONS, act, described, queue_state, target
from server.errors import FhirError
from server.staff_area import page, sentences

POLLED = frozenset({"console.queue_now"})


def is_dangerous() -> bool:
    """Whether the current request is about an action that is asked about before it is done."""
    action = ACTIONS.get((request.view_args or {}).get("name", ""))
    asked = request.endpoint in ("console.queue_question", "console.queue_action")
    return asked and action is not None and bool(action.question)


def add_queue_pages(pages: Blueprint, auth: AuthContext) -> None:
    """Add the pages below /console/queue."""

    @pages.get("/queue")
    def queue() -> Response:
        action = ACTIONS.get(request.args.get("did", ""))
        count = request.args.get("count", "")
        told = action.told.format(count=int(count)) if action and count.isdecimal() and len(count) < 10 else ""
        try:
            text, tag = _state(auth)
        except FhirError as error:
            return page("console/queue.html", error.status, problem=sentences(error), told="")
        return page("console/queue.html", text=text, tag=tag, told=told, problem="")

    @pages.get("/queue/now")
    def queue_now() -> Response:
        text, tag = _state(auth)
        answer = make_response(text)
        answer.set_etag(tag)
        answer.make_conditional(request)
        return answer

    @pages.get("/queue/<name>")
    def queue_question(name: str) -> Response:
        action = ACTIONS.get(name)
        if action is None or not action.question:
            raise FhirError("not-found", "There is no such page.")
        aim = target(request.args.get("consumer", ""), request.args.get("number", ""))
        question = action.question.format(what=described(aim))
        return page("console/queue_question.html", name=name, aim=aim, question=question, action=action)

    @pages.post("/queue/<name>")
    def queue_action(name: str) -> Response:
        aim = target(request.form.get("consumer", ""), request.form.get("number", ""))
        staff: Session = g.staff
        with auth.store.writing():
            count = act(auth.store, name, aim, auth.clock())
            record(
                auth, f"queue-{name}", 200, principal=staff.fhir_user or "", username=staff.username,
                detail=described(aim),
            )  # fmt: skip
        return make_response(redirect(url_for("console.queue", did=name, count=count), 303))


def _state(auth: AuthContext) -> tuple[str, str]:
    """The part of the page that changes, and a tag that changes with it."""
    state = queue_state(auth.store, auth.clock())
    text = render_template("console/queue_state.html", state=state, csrf_token=g.staff.csrf)
    return text, hashlib.sha256(text.encode()).hexdigest()[:32]
