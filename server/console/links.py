"""What the console shows of other EHRs: those that are trusted, and who their users and patients are here.

Of patients only ids: who may compare them does it on the page of a launch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.auth.context import AuthContext
from server.auth.identity_links import LinkError, account_of, confirm, end
from server.auth.trusted_issuers import disable_issuer
from server.errors import FhirError
from server.storage.identity_link_rows import CONFIRMED, PROPOSED, REFUSED, REVOKED, STATES, IssuerRow, LinkRow

SHOWN = 200


@dataclass(frozen=True, slots=True)
class LinkState:
    """Everything on the page. accounts: user names that a user there can be linked to, with what they are
    called."""

    issuers: tuple[IssuerRow, ...]
    links: tuple[tuple[LinkRow, str], ...]  # with what its issuer is called
    accounts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Action:
    """question: asked before, with `{what}`. told: afterwards. state: which links it is for."""

    question: str
    button: str
    told: str
    state: str = ""


ACTIONS: Mapping[str, Action] = {
    "confirm": Action(
        "{what}: who is this here? Whoever signs in there as this user then acts here in the name of that"
        " account, for linked patients.",
        "Confirm",
        "The link is confirmed.",
        PROPOSED,
    ),
    "refuse": Action(
        "Refuse {what}? A new launch proposes it again.", "Refuse", "The proposal is refused.", PROPOSED
    ),
    "revoke": Action(
        "Revoke {what}? Everything that was opened by it ends at once.",
        "Revoke",
        "The link is revoked.",
        CONFIRMED,
    ),
    "disable-issuer": Action(
        "Accept no launch of {what} any more? Everything that was opened from there ends at once.",
        "Shut out",
        "The EHR is shut out.",
    ),
}


def link_state(auth: AuthContext, state: str) -> LinkState:
    """The links in one state, the newest first. Raises: FhirError not-found for a state there is not."""
    if state not in STATES:
        raise FhirError("not-found", "There is no such state.")
    issuers = auth.store.identity_links.issuers()
    labels = {row.issuer: row.label for row in issuers}
    rows = auth.store.identity_links.links(limit=SHOWN, state=state)
    return LinkState(
        issuers,
        tuple((row, labels.get(row.issuer, row.issuer)) for row in rows),
        accounts(auth),
    )


def accounts(auth: AuthContext) -> tuple[tuple[str, str], ...]:
    """Accounts that act as active Practitioners, by user name."""
    return tuple(
        (row.username, row.display or row.username)
        for row in auth.rows.users()
        if account_of(auth, row.username) is not None
    )


def described(auth: AuthContext, name: str, target: str) -> str:
    """What an action is about, for its question. Raises: FhirError not-found where it cannot be done."""
    if name == "disable-issuer":
        issuer = auth.store.identity_links.issuer(target)
        if issuer is None or issuer.disabled:
            raise FhirError("not-found", "There is no such EHR, or it is shut out already.")
        return issuer.label
    row = _link(auth, name, target)
    who = row.made.get("display") or row.there
    return (
        f"{who} ({row.there} at {row.issuer})"
        if row.kind == "staff"
        else f"the link of a patient of {row.issuer}"
    )


def act(auth: AuthContext, name: str, target: str, account: str, *, principal: str, username: str) -> None:
    """Do what was asked for. account: whom to confirm a user there as. Raises: FhirError."""
    if name == "disable-issuer":
        described(auth, name, target)
        disable_issuer(auth, target, principal=principal)
        return
    row = _link(auth, name, target)
    if name != "confirm":
        end(
            auth,
            row.link_id,
            {"refuse": REFUSED, "revoke": REVOKED}[name],
            principal=principal,
            username=username,
        )
        return
    made = {"by": "administrator", "display": row.made.get("display", "")}
    try:
        confirm(
            auth, row.kind, row.issuer, row.there, account, principal=principal, username=username, made=made
        )
    except LinkError as error:
        raise FhirError("conflict", str(error)) from None


def _link(auth: AuthContext, name: str, link_id: str) -> LinkRow:
    row = auth.store.identity_links.link(link_id)
    action = ACTIONS.get(name)
    if (
        row is None
        or action is None
        or row.state != action.state
        or (name == "confirm" and row.kind != "staff")
    ):
        raise FhirError("not-found", "There is no such link, or it has been decided since.")
    return row
