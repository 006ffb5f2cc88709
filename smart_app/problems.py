"""What can go wrong for a person, as data: kind -> HTTP status, headline, explanation, what to do.

ProblemError
 +- one class for all kinds; `kind` selects a row of PROBLEMS

Texts are English message ids with %(name)s fields; the page translates them. They never carry
patient data, tokens or what another system said about a patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from smart_app.messages import N_


@dataclass(frozen=True, slots=True)
class Action:
    """A way out of a problem: a link."""

    label: str
    href: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem page. `values` fill the %(name)s fields of the texts."""

    kind: str
    status: int
    headline: str
    explanation: str
    what_to_do: str
    values: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[Action, ...] = ()


class ProblemError(Exception):
    """Ends a request with a problem page.

    log: words for the operator's log without patient data, where the page must not say them.
    """

    def __init__(self, kind: str, *, actions: tuple[Action, ...] = (), log: str = "", **values: str) -> None:
        super().__init__(kind)
        self.problem = replace(PROBLEMS[kind], values=values, actions=actions)
        self.log = log


_ROWS = (
    Problem(
        "unknown-issuer",
        403,
        N_("This EHR is not known here"),
        N_("The app was opened from %(issuer)s, which is not registered with it."),
        N_("Ask the person who runs this app to register the EHR's address."),
    ),
    Problem(
        "launch-invalid",
        400,
        N_("The app was opened without what it needs"),
        N_("The address that opened the app does not say which EHR it belongs to."),
        N_("Open the app again from the patient's chart."),
    ),
    Problem(
        "launch-expired",
        400,
        N_("The launch took too long"),
        N_("A launch is good for a few minutes only, and this one has passed."),
        N_("Go back to the chart and open the app again."),
    ),
    Problem(
        "launch-used",
        400,
        N_("This launch was already used"),
        N_("Each launch opens the app once. Reloading or going back to an old address does not repeat it."),
        N_("Go back to the chart and open the app again."),
    ),
    Problem(
        "cookies-refused",
        403,
        N_("The browser refuses cookies for this app"),
        N_("In a window of its own the app needs one cookie to know that it is still you."),
        N_("Allow cookies for this address, or open the app inside the EHR, where it works without them."),
    ),
    Problem(
        "no-patient",
        400,
        N_("No patient is open"),
        N_("The EHR opened the app without saying for which patient."),
        N_("Open a patient's chart in the EHR and start the app from there."),
    ),
    Problem(
        "scopes-cut",
        403,
        N_("The app may not read what it needs"),
        N_("%(issuer)s did not grant: %(scopes)s."),
        N_("Whoever administers the EHR's apps can grant it. Then open the app again."),
    ),
    Problem(
        "ehr-unavailable",
        503,
        N_("The EHR does not answer"),
        N_("%(issuer)s did not answer in time."),
        N_("Nothing is lost. Try again in a moment."),
    ),
    Problem(
        "ehr-refused",
        502,
        N_("The EHR gave an answer the app cannot use"),
        N_("%(issuer)s answered, but not as the SMART standard asks."),
        N_("Tell the person who runs this app; the log says which part of the answer was wrong."),
    ),
    Problem(
        "login-refused",
        403,
        N_("The login was not completed"),
        N_("%(issuer)s reported: %(error)s."),
        N_("Go back to the chart and open the app again."),
    ),
    Problem(
        "login-not-verified",
        403,
        N_("The login could not be verified"),
        N_("%(issuer)s sent a proof of who you are that does not hold."),
        N_("Open the app again from the chart. If it happens twice, tell the person who runs this app."),
    ),
    Problem(
        "state-mismatch",
        403,
        N_("This login did not start here"),
        N_("The answer of the EHR belongs to a login of another browser window, or to none."),
        N_("Go back to the chart and open the app again."),
    ),
    Problem(
        "session-expired",
        401,
        N_("The session has ended"),
        N_("After a time without use the app closes. Drafts are kept."),
        N_("Go back to the chart and open the app again; you continue where you were."),
    ),
    Problem(
        "logged-out",
        200,
        N_("You are logged out"),
        N_("This session and every chart it opened are closed. Drafts are kept."),
        N_("To continue, open the app again from the chart."),
    ),
    Problem(
        "forbidden",
        403,
        N_("That is not yours to see or do"),
        N_("Your role or the permissions of this session do not include it."),
        N_("Someone with the role can do it, or whoever administers the EHR's apps can grant it."),
    ),
    Problem(
        "not-found",
        404,
        N_("There is nothing here"),
        N_("The address does not exist, or what it showed was removed."),
        N_("Go back, or open the app again from the chart."),
    ),
    Problem(
        "form-expired",
        403,
        N_("The form did not come from this page"),
        N_("What you sent carries no valid mark of this session, so nothing was done."),
        N_("Reload the page and send it again."),
    ),
    Problem(
        "too-large",
        413,
        N_("That is too much at once"),
        N_("What was sent is larger than any form of this app."),
        N_("Shorten the text and send it again."),
    ),
    Problem(
        "headers-too-large",
        431,
        N_("The browser sent too much about itself"),
        N_("The cookies or other headers of the request are larger than the app takes."),
        N_("Delete the cookies of this address, then open the app again from the chart."),
    ),
    Problem(
        "too-slow",
        408,
        N_("What you sent did not arrive"),
        N_("The connection was too slow or broke off, so nothing was done."),
        N_("Check the connection and send it again."),
    ),
    Problem(
        "too-busy",
        429,
        N_("The app has more to do than it can"),
        N_("Too many pages are waiting, perhaps for an EHR that answers slowly. Nothing was changed."),
        N_("Try again in a moment."),
    ),
    Problem(
        "bad-request",
        400,
        N_("The app did not understand that"),
        N_("Something in the form is missing or not one of the choices: %(what)s."),
        N_("Reload the page and try again."),
    ),
    Problem(
        "method-not-allowed",
        405,
        N_("That cannot be done here"),
        N_("The address exists, but not for this kind of request."),
        N_("Go back and use the buttons of the page."),
    ),
    Problem(
        "misdirected",
        421,
        N_("This is not the app's address"),
        N_("The app answers under the one address it is configured for."),
        N_("Open the app from the chart."),
    ),
    Problem(
        "store-not-connected",
        403,
        N_("This EHR is not connected to a store"),
        N_("The list can be read and compared here, but there is no place to save or sign it."),
        N_("Ask the person who runs this app to connect the EHR to the practice's store."),
    ),
    Problem(
        "patient-unlinked",
        403,
        N_("This chart is not connected yet"),
        N_(
            "Whose record this is in the store, and who you are there, has not been confirmed by a person."
            " Until then nothing is saved, and nothing of the store is shown. What was saved before is kept."
        ),
        N_("Compare and confirm, or ask a colleague who may see the patient in both records."),
    ),
    Problem(
        "patient-merged",
        409,
        N_("This record is no longer in use"),
        N_("The patient's record is inactive or was merged into another one. Drafts are kept where they are."),
        N_("Open the record that is in use. If there is none, ask whoever keeps the patient records."),
    ),
    Problem(
        "store-ended",
        403,
        N_("The access to the store has ended"),
        N_("It lasts for minutes, and %(issuer)s gave no fresh proof of who you are. Drafts are kept."),
        N_("Open the app again from the chart; you continue where you were."),
    ),
    Problem(
        "store-unavailable",
        503,
        N_("The store does not answer"),
        N_("What you did last may not be saved yet."),
        N_("Try again in a moment; the app keeps what it saved before."),
    ),
    Problem(
        "store-refused",
        502,
        N_("The store refused what the app sent"),
        N_("It answered: %(answer)s."),
        N_("Tell the person who runs this app; nothing was written."),
    ),
    Problem(
        "sessions-unavailable",
        503,
        N_("The app cannot look up who you are at the moment"),
        N_("The database that holds its sessions does not answer. Nothing was changed."),
        N_("Try again in a moment; you continue where you were."),
    ),
    Problem(
        "internal",
        500,
        N_("Something went wrong in the app"),
        N_("It is noted under %(reference)s."),
        N_("Try again. If it happens twice, tell the person who runs this app that number."),
    ),
)

PROBLEMS: Mapping[str, Problem] = {row.kind: row for row in _ROWS}
