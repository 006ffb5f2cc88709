"""The console's accounting of disclosures (Flask): for whoever may see the audit trail. Asking is audited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from flask import Blueprint, Response, request

from server.auth.context import AuthContext, record
from server.console.audit import day_of
from server.disclosures import Disclosure, Recipient, disclosures, organization_names, recipients
from server.errors import FhirError
from server.interactions.audit import is_id
from server.interactions.request import Context
from server.policy.disclosures import accounting
from server.staff_area import page, sentences, staff_principal

CLIENT_ID = "console"
DISCLOSURE_PAGES = frozenset({"console.disclosures", "console.disclosures_print"})
EVENT = "disclosures-read"
_MOST = 1_000  # disclosures on a page; `baton audit disclosures` prints all


@dataclass(frozen=True, slots=True)
class Asked:
    """The form. since, until: days (UTC), both included. everything: also what does not count."""

    patient: str
    since: str
    until: str
    everything: bool


def add_disclosure_pages(pages: Blueprint, context: Context, auth: AuthContext) -> None:
    """Add the pages below /console/disclosures."""

    @pages.get("/disclosures", endpoint="disclosures")
    def disclosures_page() -> Response:
        return _shown(context, auth, "console/disclosures.html")

    @pages.get("/disclosures/print", endpoint="disclosures_print")
    def printable_page() -> Response:
        return _shown(context, auth, "console/disclosures_print.html")


def _shown(context: Context, auth: AuthContext, template: str) -> Response:
    now = auth.clock()
    asked = Asked(
        patient=request.args.get("patient", "").strip().removeprefix("Patient/"),
        since=request.args.get("since", "") or f"{accounting().since(now):%Y-%m-%d}",
        until=request.args.get("until", ""),
        everything=request.args.get("all", "") == "1",
    )
    problem, status = "", 200
    found: tuple[Disclosure, ...] = ()
    groups: tuple[Recipient, ...] = ()
    names = {}
    if asked.patient:
        try:
            found = tuple(islice(_found(auth, asked), _MOST + 1))
            groups = recipients(found[:_MOST])
            names = dict(organization_names(context, (group.recipient for group in groups)))
        except FhirError as error:
            if error.status >= 500:
                raise
            problem, status = sentences(error), error.status
    return page(
        template,
        status,
        asked=asked,
        found=found[:_MOST],
        more=len(found) > _MOST,
        groups=groups,
        names=names,
        years=accounting().years,
        made=f"{now:%Y-%m-%d %H:%M}",
        problem=problem,
    )


def _found(auth: AuthContext, asked: Asked) -> Iterator[Disclosure]:
    """What the form asks for; named in the audit trail before anything is looked for."""
    if not is_id(asked.patient):
        raise FhirError("invalid-search", "A patient is named by its id: letters, digits, '-' and '.'.")
    since = day_of(asked.since, "The first day")
    until = day_of(asked.until, "The last day") + timedelta(days=1) if asked.until else None
    who = staff_principal(CLIENT_ID)
    record(
        auth,
        EVENT,
        200,
        principal=who.name,
        client_id=CLIENT_ID,
        username=who.username,
        patient=asked.patient,
        detail="everything" if asked.everything else "",
    )
    return disclosures(auth.store, asked.patient, since=since, until=until, everything=asked.everything)
