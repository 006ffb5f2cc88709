"""Setting up a second factor: the secret as text and as a QR code, a first code, then the recovery codes.

Reached in the middle of a sign-in whose role needs one, or from the person's account page.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import urlencode

import segno
from flask import Blueprint, Response, make_response, redirect, request
from markupsafe import Markup

from server.api.login_pages import ENROL_PAGE, back_to_login, give_session, hold
from server.api.oauth2_page import (
    current_session,
    expired_page,
    page,
    place,
    session_page,
    told_to_wait,
    waiting_words,
)
from server.api.return_path import safe_next
from server.auth.context import AuthContext
from server.auth.second_factor import CodeRefused, confirm_enrolment, enrolment
from server.auth.sessions import COOKIE, Session, csrf_token, end_logins, is_fresh, logins, renew
from server.auth.sign_in import ENROL, STEP_COOKIE, LoginRefused, Step, enrolment_step, step_of
from server.auth.throttle import Throttled

ACCOUNT_PAGE = "/oauth2/account"
PROOF_PAGE = "/oauth2/proof"


@dataclass(frozen=True, slots=True)
class _Who:
    """Who sets one up: somebody signed in, or on the way to it."""

    username: str
    csrf: str
    session: Session | None
    step: Step | None


def register_enrolment_pages(blueprint: Blueprint, context: AuthContext) -> None:
    """Add the page and its form."""

    @blueprint.get(ENROL_PAGE)
    def set_up_page() -> Response:
        after, who = safe_next(request.args.get("next", "")), _who(context)
        if who is None:
            return back_to_login(after)
        if who.session is not None and not is_fresh(context, who.session):
            return to_proof(ACCOUNT_PAGE)
        return _show(context, who, after, "", 200)

    @blueprint.post(ENROL_PAGE)
    def set_up() -> Response:
        after, who = safe_next(request.form.get("next", "")), _who(context)
        if who is None:
            return back_to_login(after)
        sent = request.form.get("csrf", "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(who.csrf.encode(), sent):
            return expired_page(context)
        if who.session is not None and not is_fresh(context, who.session):
            return to_proof(ACCOUNT_PAGE)
        try:
            return _confirm(context, who, after, request.form.get("code", ""))
        except CodeRefused as refusal:
            return _show(context, who, after, str(refusal), 401)
        except Throttled as error:
            return told_to_wait(_show(context, who, after, waiting_words(error), 429), error)
        except LoginRefused:
            return back_to_login(after)


def to_proof(after: str) -> Response:
    """Ask who it is anew, then go on."""
    return make_response(redirect(f"{PROOF_PAGE}?{urlencode({'next': after})}", 303))


def recovery_page(codes: tuple[str, ...], after: str, session: Session | None) -> Response:
    """The recovery codes, this once."""
    return session_page("recovery_codes.html", session, codes=codes, after=after)


def _who(context: AuthContext) -> _Who | None:
    cookie = request.cookies.get(STEP_COOKIE)
    step = step_of(context, cookie)
    if step is not None and step.kind == ENROL and cookie:
        return _Who(step.user.username, csrf_token(context, cookie), None, step)
    session = current_session(context)
    return _Who(session.username, session.csrf, session, None) if session else None


def _show(context: AuthContext, who: _Who, after: str, failure: str, status: int) -> Response:
    waiting = enrolment(context, who.username)
    if waiting is None:  # set up already, in another window
        return make_response(redirect(ACCOUNT_PAGE, 303))
    picture = segno.make(waiting.uri, error="m", micro=False).svg_inline(
        scale=4, dark="#000", light="#fff", omitsize=False
    )
    return page(
        "set_up_second_factor.html",
        status,
        session=who.session,
        csrf=who.csrf,
        next=after,
        secret=waiting.secret,
        picture=Markup(picture),  # noqa: S704 made of modules alone; the text in it is drawn, not written
        failure=failure,
        username=who.username,
    )


def _confirm(context: AuthContext, who: _Who, after: str, code: str) -> Response:
    if who.step is not None:
        value, codes = enrolment_step(context, who.step, code, place())
        response = recovery_page(codes, after, None)
        give_session(context, response, value)
        return response
    session = who.session
    user = context.rows.user(who.username)
    if session is None or user is None:
        return back_to_login(after)
    codes = confirm_enrolment(context, user, code)
    end_logins(context, session, [login.key for login in logins(context, session) if not login.current])
    renewed = renew(context, request.cookies.get(COOKIE, ""))
    response = recovery_page(codes, ACCOUNT_PAGE, None)
    if renewed:
        hold(response, renewed)
    return response
