"""The demonstration EHR: patient list, chart summary, and apps launched in a frame by SMART EHR launch.

For demonstration mode only. It reads through `interactions.perform` as the person who is signed in, and starts
an app as any EHR would: a fresh single-use launch each time the frame is opened.
Source: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#launch-app-ehr-launch
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, make_response, redirect, request

from server.auth.context import AuthContext
from server.auth.sessions import Session
from server.demo_ehr import chart as charts
from server.errors import FhirError
from server.interactions.request import Context
from server.staff_area import page, staff_area, staff_principal

CLIENT_ID = "demo-ehr"
NAME_LIMIT = 100


@dataclass(frozen=True, slots=True)
class App:
    """An app that the EHR offers on a chart."""

    client_id: str
    name: str
    launch_url: str


# (session, client id, patient id, encounter id or "") -> the app's launch URL with a fresh launch.
Launcher = Callable[[Session, str, str, str], str]


def blueprint(
    context: Context,
    auth: AuthContext,
    *,
    apps: Callable[[], Sequence[App]],
    launch_url: Launcher,
    login_url: str,
) -> Blueprint:
    """The pages below /ehr."""
    pages = staff_area("ehr", __name__, auth, login_url=login_url, home="ehr.patients")

    @pages.get("/", strict_slashes=False)
    def patients() -> Response:
        name = request.args.get("name", "").strip()[:NAME_LIMIT]
        lines = charts.patients(context, staff_principal(CLIENT_ID), name)
        return page("ehr/patients.html", lines=lines, name=name)

    @pages.get("/patients/<patient_id>")
    def chart(patient_id: str) -> Response:
        shown = charts.summary(context, staff_principal(CLIENT_ID), patient_id)
        return page("ehr/chart.html", chart=shown, apps=apps())

    @pages.get("/patients/<patient_id>/apps/<client_id>")
    def app_frame(patient_id: str, client_id: str) -> Response:
        shown = charts.summary(context, staff_principal(CLIENT_ID), patient_id)
        app = _offered(client_id)
        answer = page("ehr/app.html", patient=shown.patient, app=app, apps=apps())
        target = urlsplit(app.launch_url)
        # The app's sign-in leads through our own authorize endpoint, so the frame shows both origins.
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
            f"frame-ancestors 'none'; frame-src 'self' {target.scheme}://{target.netloc}"
        )
        return answer

    @pages.get("/patients/<patient_id>/apps/<client_id>/launch")
    def launch(patient_id: str, client_id: str) -> Response:
        # The frame's first address. Another site must not make a signed-in browser start launches.
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise FhirError("forbidden", "An app is launched from its chart.")
        shown = charts.summary(context, staff_principal(CLIENT_ID), patient_id)
        app = _offered(client_id)
        return make_response(
            redirect(launch_url(g.staff, app.client_id, shown.patient.id, shown.encounter), 302)
        )

    def _offered(client_id: str) -> App:
        for app in apps():
            if app.client_id == client_id:
                return app
        raise FhirError("not-found", "This app is not offered here.")

    return pages
