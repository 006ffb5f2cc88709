"""`/launch` and `/callback`, where a session begins; `/healthz`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from flask import Blueprint, Response, make_response, redirect, render_template, request

from smart_app import gate
from smart_app.issuers import Issuers
from smart_app.launch import LAUNCH_LIFE, Finished, Launcher, NoPatient, binding_cookie
from smart_app.problems import ProblemError
from smart_app.session_store import SessionStore


@dataclass(frozen=True, slots=True)
class Shell:
    """What the page needs where cookies are refused: where to go, and the secret of this tab."""

    start: str
    launch: str
    secret: str

    @property
    def json(self) -> str:
        """For a script block of type application/json: no character can end the block."""
        return (
            msgspec.json.encode({"start": self.start, "launch": self.launch, "secret": self.secret})
            .decode()
            .replace("<", "\\u003c")
        )


def entrance(
    launcher: Launcher, issuers: Issuers, store: SessionStore, new_secret: Callable[[], str]
) -> Blueprint:
    """The routes outside of any session."""
    blueprint = Blueprint("entrance", __name__)

    @blueprint.get("/launch")
    def launch() -> Response:
        issuer = issuers.find(request.args.get("iss", ""))
        # An EHR that nobody registered may still show the page that says so: it holds nothing.
        gate.may_be_framed_by(*(issuer.ancestors if issuer else ("*",)))
        started = launcher.start(request.args)
        response = make_response(redirect(started.location, 302))
        seconds = int(LAUNCH_LIFE.total_seconds())
        gate.set_secret_cookie(response, started.cookie_name, started.binding, seconds=seconds)
        if not gate.session_cookie():
            gate.set_secret_cookie(response, gate.SESSION_COOKIE, new_secret())
        return response

    @blueprint.get("/callback")
    def callback() -> Response:
        browser = gate.session_cookie()
        try:
            finished = launcher.finish(request.args, request.cookies, browser=browser, framed=gate.is_framed())
        except NoPatient as problem:
            response = make_response(render_template("problem.html", problem=problem.problem, context=None))
            response.status_code = problem.problem.status
            return _with_cookies(response, problem.finished)
        gate.may_be_framed_by(*finished.issuer.ancestors)
        if finished.tab:
            shell = Shell(finished.path, finished.launch, finished.tab)
            return make_response(render_template("shell.html", shell=shell, context=None))
        return _with_cookies(make_response(redirect(finished.path, 302)), finished)

    @blueprint.get("/healthz")
    def healthz() -> Response:
        usable = store.is_usable()
        return Response(
            '{"status":"ok"}' if usable else '{"status":"the session database does not answer"}',
            200 if usable else 503,
            content_type="application/json",
        )

    return blueprint


def _with_cookies(response: Response, finished: Finished) -> Response:
    gate.set_secret_cookie(response, gate.SESSION_COOKIE, finished.browser)
    gate.set_secret_cookie(response, binding_cookie(request.args["state"]), "", seconds=0)
    return response


def end_session() -> Response:
    """Log out of this login and every chart it opened."""
    context = gate.current_context()
    context.sessions.end(context)
    raise ProblemError("logged-out")
