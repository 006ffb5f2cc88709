"""Partner organisations and who acts for them: values, and the interface to keep them by. No rules, no SQL.

Every change raises the security epoch: what a token of a partner stands for is worked out anew everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

MemberKind = Literal["client", "user"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """An agreement that was signed. kind: as in `policy/partner_agreements.json`. starts, ends: days in UTC,
    both included; ends is None for one without an end. document: by which the paper is found, "" for none.
    """

    kind: str
    starts: date
    ends: date | None = None
    document: str = ""


@dataclass(frozen=True, slots=True)
class StateChange:
    """A partner came into a state. by: who did it, as the audit trail names them. reason: in their words."""

    at: datetime
    state: str
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PartnerRow:
    """An organisation that exchanges records with this one.

    organization_id: of its Organization. kind: as in `policy/partner_kinds.json`. purpose: for which it asks,
    a code of v3-PurposeOfUse. state: invited, active, suspended or ended. contacts: lines of text. history: the
    states it went through, oldest first. held_clients, held_users: what its suspension disabled, to be enabled
    again.
    """

    partner_id: str
    name: str
    organization_id: str
    kind: str
    purpose: str
    state: str
    created: datetime
    agreements: tuple[Agreement, ...] = ()
    contacts: tuple[str, ...] = ()
    history: tuple[StateChange, ...] = ()
    held_clients: tuple[str, ...] = ()
    held_users: tuple[str, ...] = ()

    @property
    def organization(self) -> str:
        """Its Organization as a reference."""
        return f"Organization/{self.organization_id}"


@dataclass(frozen=True, slots=True)
class Member:
    """An OAuth client or an account that acts for a partner. name: client_id or username."""

    kind: MemberKind
    name: str


@dataclass(frozen=True, slots=True)
class PartnerQuery:
    """Which partners, in the order of their names. text: how the name begins, capitals (A to Z) aside.

    state, kind: "" for any. after: PartnerPage.next_after of the page before.
    """

    text: str = ""
    state: str = ""
    kind: str = ""
    count: int = 50
    after: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PartnerPage:
    """next_after: None at the end."""

    rows: tuple[PartnerRow, ...]
    next_after: tuple[str, str] | None


class PartnerTaken(Exception):
    """The id, the organisation, the client or the account is a partner's already."""


class PartnerStore(Protocol):
    """Each call is one durable transaction, or a part of the surrounding one."""

    def add(self, partner: PartnerRow) -> None:
        """Add one. Raises: PartnerTaken for an id in use, or an organisation whose partner has not ended."""

    def change(self, partner: PartnerRow) -> None:
        """Replace it."""

    def partner(self, partner_id: str, *, held: bool = False) -> PartnerRow | None:
        """held: within a transaction; nobody else changes it before its end."""

    def page(self, query: PartnerQuery) -> PartnerPage:
        """One page of partners; as quick however many there are."""

    def add_member(self, partner_id: str, member: Member, now: datetime) -> None:
        """Raises: PartnerTaken where it acts for a partner already."""

    def members(self, partner_id: str, kind: MemberKind, *, count: int, after: str = "") -> tuple[str, ...]:
        """The next names after one, in their order."""

    def all_members(self, partner_id: str) -> tuple[Member, ...]: ...

    def of(self, members: Iterable[Member]) -> tuple[PartnerRow, ...]:
        """The partners for which any of them acts."""
