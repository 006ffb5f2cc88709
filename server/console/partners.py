"""Partners in the console: what can be done to one, and what its agreements permit. Neither Flask nor SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from server.auth import partner_changes
from server.auth.actor import Actor
from server.auth.context import AuthContext
from server.auth.partner_changes import INVITED, SUSPENDED
from server.auth.partners import ACTIVE, in_force
from server.policy.partner_agreements import Basis, agreement_kinds, record_classes
from server.storage.partners import PartnerRow

MEMBERS_SHOWN = 50
_BASIS: Mapping[Basis, str] = {
    "agreement": "by this agreement",
    "consent": "with the patient's consent as well",
    "never": "never",
}


@dataclass(frozen=True, slots=True)
class Action:
    """What an administrator can do to a partner. event: of the audit trail. states: in which it can be done."""

    event: str
    button: str
    done: str
    run: Callable[[AuthContext, Actor, str, str], PartnerRow]
    states: tuple[str, ...]
    question: str
    is_reason_needed: bool


ACTIONS: Mapping[str, Action] = {
    "suspend": Action(
        "partner-suspend",
        "Suspend",
        "Suspended. Its tokens and sessions have ended.",
        partner_changes.suspend,
        (ACTIVE,),
        "Suspend {name}? Its tokens and sessions end at once, everywhere; its clients and accounts are disabled"
        " until it is resumed.",
        True,
    ),
    "resume": Action(
        "partner-resume",
        "Resume",
        "Resumed, with the clients and accounts of before.",
        partner_changes.resume,
        (SUSPENDED,),
        "Resume {name}? The clients and accounts that its suspension disabled are enabled.",
        False,
    ),
    "end": Action(
        "partner-end",
        "End",
        "Ended for good.",
        partner_changes.end,
        (INVITED, ACTIVE, SUSPENDED),
        "End the partnership with {name} for good? Its tokens and sessions end at once, everywhere, and do not"
        " come back. What the audit trail says of it stays.",
        True,
    ),
}


@dataclass(frozen=True, slots=True)
class AgreementShown:
    """permits: (class of record, on what basis). when: in words. is_in_force: today."""

    title: str
    when: str
    document: str
    is_in_force: bool
    permits: tuple[tuple[str, str], ...]
    minimum_necessary: bool
    source: str


def agreements_shown(partner: PartnerRow, today: date) -> tuple[AgreementShown, ...]:
    """The agreements of a partner, the latest first."""
    valid = set(in_force(partner, today))
    shown = []
    for agreement in sorted(partner.agreements, key=lambda one: one.starts, reverse=True):
        kind = agreement_kinds().get(agreement.kind)
        until = f"until {agreement.ends}" if agreement.ends else "without an end"
        shown.append(
            AgreementShown(
                title=kind.title if kind else f"{agreement.kind}, which is not in the policy",
                when=f"from {agreement.starts} {until}",
                document=agreement.document,
                is_in_force=kind is not None and agreement in valid,
                permits=permissions_shown(agreement.kind),
                minimum_necessary=kind is not None and kind.minimum_necessary,
                source=kind.source if kind else "",
            )
        )
    return tuple(shown)


def permissions_shown(agreement: str) -> tuple[tuple[str, str], ...]:
    """What a kind of agreement lets go out: each class of record, and on what basis."""
    kind = agreement_kinds().get(agreement)
    return tuple(
        (words, _BASIS[kind.basis(name)] if kind else _BASIS["never"])
        for name, words in record_classes().items()
    )
