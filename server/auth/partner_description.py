"""A partner as commands show it: as JSON, and as lines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from server.policy.partner_agreements import purposes_of_use
from server.storage.partners import Member, PartnerRow


def described(row: PartnerRow, members: tuple[Member, ...] | None = None) -> dict[str, Any]:
    """A partner for `--json`; with its clients and users where they were looked up."""
    shown: dict[str, Any] = {
        "partner": row.partner_id,
        "name": row.name,
        "organization": row.organization,
        "kind": row.kind,
        "purpose": row.purpose,
        "state": row.state,
        "created": _moment(row.created),
        "agreements": [
            {
                "kind": one.kind,
                "from": one.starts.isoformat(),
                "until": one.ends.isoformat() if one.ends else None,
                "document": one.document,
            }
            for one in row.agreements
        ],
        "contacts": list(row.contacts),
        "history": [
            {"at": _moment(one.at), "state": one.state, "by": one.by, "reason": one.reason}
            for one in row.history
        ],
    }
    if members is not None:
        shown["clients"] = [member.name for member in members if member.kind == "client"]
        shown["users"] = [member.name for member in members if member.kind == "user"]
    return shown


def lines(row: PartnerRow, members: tuple[Member, ...]) -> Iterator[str]:
    """A partner for reading."""
    yield f"{row.partner_id}  {row.name}  {row.state}  {row.organization}"
    yield f"asks for {row.purpose} ({purposes_of_use().get(row.purpose, 'no longer in the policy')})"
    for agreement in row.agreements:
        until = f" until {agreement.ends}" if agreement.ends else ""
        yield f"agreement  {agreement.kind} from {agreement.starts}{until}"
    for contact in row.contacts:
        yield f"contact  {contact}"
    for member in members:
        yield f"{member.kind}  {member.name}"
    for change in row.history:
        reason = f": {change.reason}" if change.reason else ""
        yield f"{change.at:%Y-%m-%d %H:%M} UTC  {change.state} by {change.by}{reason}"


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
