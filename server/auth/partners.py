"""Partner organisations: for which one a token acts, and whether it may.

A client or an account that belongs to a partner acts only while the partner is active and an agreement is in
force that covers its purpose; a client of one partner never acts for the people of another.
Source: server/policy/partner_agreements.json, which names its own
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from server.auth.context import AuthContext
from server.policy.partner_agreements import agreement_kinds
from server.storage.partners import Agreement, Member, PartnerRow

ACTIVE = "active"


class PartnerClosed(Exception):
    """Who asks belongs to a partner that may not act now."""


@dataclass(frozen=True, slots=True)
class Acting:
    """For which partner somebody acts. organization: "Organization/id". purpose: a code of v3-PurposeOfUse.

    until: when the agreement ends that allows it, None for none that ends.
    """

    organization: str
    purpose: str
    until: datetime | None


def acting_for(context: AuthContext, client_id: str, username: str = "") -> Acting | None:
    """The partner for which a client acts, with a user where one is named ("" for none); None for none.

    Raises: PartnerClosed.
    """
    return acting(context.store.partners.of(members(client_id, username)), context.clock())


def members(client_id: str, username: str = "") -> list[Member]:
    """A client and a user ("" for none) as those who may belong to partners."""
    found = [Member("client", client_id)] if client_id else []
    return found + ([Member("user", username)] if username else [])


def acting(partners: Sequence[PartnerRow], moment: datetime) -> Acting | None:
    """For which of the partners that a client and its user belong to they act at a moment; None for none.

    Raises: PartnerClosed.
    """
    if not partners:
        return None
    if len(partners) > 1:
        raise PartnerClosed("a client of one partner does not act for the people of another")
    (partner,) = partners
    today = moment.astimezone(UTC).date()
    covering = [agreement for agreement in in_force(partner, today) if _covers(agreement, partner.purpose)]
    if partner.state != ACTIVE or not covering:
        raise PartnerClosed("the partner is not active, or no agreement covers it now")
    return Acting(partner.organization, partner.purpose, _end(covering))


def may_act(context: AuthContext, client_id: str, username: str = "") -> bool:
    """Whether no partner stands in the way of a client and a user."""
    try:
        acting_for(context, client_id, username)
    except PartnerClosed:
        return False
    return True


def in_force(partner: PartnerRow, day: date) -> Iterator[Agreement]:
    """The agreements of a partner that cover a day."""
    for agreement in partner.agreements:
        if agreement.starts <= day and (agreement.ends is None or day <= agreement.ends):
            yield agreement


def _covers(agreement: Agreement, purpose: str) -> bool:
    """A kind of agreement that policy no longer names covers nothing."""
    kind = agreement_kinds().get(agreement.kind)
    return kind is not None and purpose in kind.purposes


def _end(covering: list[Agreement]) -> datetime | None:
    """The end of the last of them, which is the first moment of the day after."""
    ends = [agreement.ends for agreement in covering]
    last = max((day for day in ends if day is not None), default=None)
    if last is None or None in ends or last == date.max:
        return None
    return datetime.combine(last + timedelta(days=1), datetime.min.time(), UTC)
