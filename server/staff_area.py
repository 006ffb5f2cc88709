"""A set of pages for signed-in staff: what the console and the demo EHR have in common (Flask).

Every page of the area asks for a session first; a form of the area carries the session's csrf token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from flask import (
    Blueprint,
    Response,
    current_app,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.exceptions import HTTPException

from server.auth.context import AuthContext, record
from server.auth.principal import Principal
from server.auth.scopes import parse_scopes
from server.auth.sessions import COOKIE, Session, is_fresh, log_out, session_of
from server.errors import FhirError

_READ_ALL = parse_scopes("user/*.rs")
# Where somebody who is signed in proves anew who they are, taking the page to come back to as `next`.
_PROOF_URL = "/oauth2/proof"


def staff_area(
    name: str,
    import_name: str,
    auth: AuthContext,
    *,
    login_url: str,
    home: str,
    enter: Callable[[Session], None] = lambda session: None,
    polled: frozenset[str] = frozenset(),
    dangerous: Callable[[], bool] = lambda: False,
) -> Blueprint:
    """A blueprint below /name with its own templates and static files, closed to whoever is not signed in.

    login_url: where to sign in, taking the page to come back to as `next` and as `because` whether a session
    has `ended` or was `signed-out`. home: the endpoint for the sign-in after that. enter: raises FhirError
    forbidden for a session that may not use the area. polled: endpoints that pages ask by themselves, which
    keeps no session alive. dangerous: whether the current request is for somebody alone who has just proved who
    they are; the page that leads to a dangerous form has the form's address, and is dangerous as well.
    """
    area = Blueprint(
        name, import_name, url_prefix=f"/{name}", template_folder="templates", static_folder="static"
    )

    def sign_in_at(back: str, because: str) -> str:
        reason = f"&because={because}" if because else ""
        return f"{login_url}?next={quote(back, safe='/')}{reason}"

    @area.before_request
    def ask_who() -> Any:
        if request.endpoint == f"{name}.static":
            return None
        alive = request.endpoint not in polled
        session = session_of(auth, request.cookies.get(COOKIE), keeps_alive=alive)
        if session is None:
            back = request.full_path.rstrip("?") if request.method == "GET" else url_for(home)
            return redirect(sign_in_at(back, "ended" if COOKIE in request.cookies else ""), 303)
        g.staff = session
        enter(session)
        if request.method == "POST" and not session.is_csrf(request.form.get("csrf_token", "")):
            who = session.fhir_user or f"User/{session.username}"
            form = request.endpoint or ""
            record(
                auth, "form-refused", 403, principal=who, client_id=name, username=session.username, detail=form
            )
            raise FhirError("forbidden", "The form has expired; open the page again.")
        if dangerous() and not is_fresh(auth, session):
            back = request.full_path.rstrip("?") if request.method == "GET" else _page_of_form(home)
            return redirect(f"{_PROOF_URL}?next={quote(back, safe='/')}", 303)
        return None

    @area.post("/sign-out")
    def sign_out() -> Response:
        log_out(auth, g.staff)
        answer = make_response(redirect(sign_in_at(url_for(home), "signed-out"), 303))
        answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
        return answer

    @area.errorhandler(FhirError)
    def problem(error: FhirError) -> Response:
        return page(f"{name}/problem.html", error.status, words=sentences(error))

    return area


def _page_of_form(home: str) -> str:
    """The page at the address of the form that was sent, about the same; the home of the area without one."""
    try:
        current_app.create_url_adapter(request).match(request.path, method="GET")  # type: ignore[union-attr]
    except HTTPException:
        return url_for(home)
    about = [(name, value) for name, value in request.form.items() if name != "csrf_token"]
    return f"{request.path}?{urlencode(about)}" if about else request.path


def sentences(error: FhirError) -> str:
    """What an error says, as sentences for a page."""
    texts = (issue.diagnostics.strip() for issue in error.issues)
    return " ".join(f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in texts if text)


def staff_principal(client_id: str) -> Principal:
    """Who reads for a page: the person signed in, by the rights of their role, and never writing."""
    staff: Session = g.staff
    return Principal(
        client_id,
        _READ_ALL,
        user=staff.fhir_user,
        role=staff.role,
        username=staff.username,
        organization=staff.organization,
        purpose=staff.purpose,
        emergencies=staff.emergencies,
    )


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A rendered page for the person signed in."""
    staff: Session = g.staff
    return make_response(render_template(template, staff=staff, csrf_token=staff.csrf, **values), status)
