"""Rows of the links between people of other EHRs and people here, and how the tables keep them.

What is looked up stands in columns, the rest of a row in one JSON document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from server.storage.authorization_rows import Columns, Row, to_json
from server.storage.instants import instant, milliseconds, optional_instant, optional_milliseconds

LinkKind = Literal["patient", "staff"]
KINDS: tuple[LinkKind, ...] = get_args(LinkKind)
PROPOSED, CONFIRMED, REFUSED, REVOKED = "proposed", "confirmed", "refused", "revoked"
STATES = (PROPOSED, CONFIRMED, REFUSED, REVOKED)


@dataclass(frozen=True, slots=True)
class IssuerRow:
    """An EHR. issuer: `iss` of its id tokens. fhir_base: its FHIR base URL, without trailing slash.

    audience: the client id our app has there. clients: ids of our clients that may exchange its tokens.
    algorithms: those its tokens may be signed with. scope: the most an exchange may grant. npi_claim: the claim
    with the user's NPI, "" for none. jwks: by value, or as last fetched from jwks_uri at jwks_fetched.
    """

    issuer: str
    fhir_base: str
    label: str
    created: datetime
    audience: str
    clients: tuple[str, ...]
    algorithms: tuple[str, ...]
    scope: str
    npi_claim: str = ""
    jwks: Mapping[str, Any] = field(default_factory=dict)
    jwks_uri: str = ""
    jwks_fetched: datetime | None = None
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class LinkRow:
    """Who somebody there is here. there: patient: the id; staff: "Practitioner/ID" or "npi|NUMBER". here: the
    Patient's id or the user name, "" until chosen.

    created_by, decided_by: as the audit trail names people. made: how it came about: `by` (launch, command),
    `display` of a user there, `grade`, `score` and `reasons` of a patient that was chosen.
    """

    link_id: str
    kind: LinkKind
    issuer: str
    there: str
    here: str
    state: str
    created: datetime
    created_by: str
    decided: datetime | None = None
    decided_by: str = ""
    made: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TicketRow:
    """A launch that waits for a person. user: as LinkRow.there of staff. patient: the Patient as the EHR has
    it, cut to who somebody is. client_id: the app that brought it."""

    ticket_hash: bytes
    expires: datetime
    created: datetime
    issuer: str
    client_id: str
    user: str
    user_display: str
    patient: Mapping[str, Any]


def issuer_basis(issuer: str) -> str:
    """What a grant by an issuer's token rests on."""
    return f"issuer {issuer}"


def link_basis(link_id: str) -> str:
    """What a grant by a link rests on."""
    return f"link {link_id}"


def issuer_columns(row: IssuerRow) -> Columns:
    document = asdict(row) | {"jwks_fetched": optional_milliseconds(row.jwks_fetched)}
    for name in ("issuer", "created", "disabled"):
        del document[name]
    return {
        "issuer": row.issuer,
        "disabled": int(row.disabled),
        "created": milliseconds(row.created),
        "document": to_json(document),
    }


def issuer_row(row: Row) -> IssuerRow:
    document = json.loads(row["document"])
    document["clients"], document["algorithms"] = tuple(document["clients"]), tuple(document["algorithms"])
    document["jwks_fetched"] = optional_instant(document["jwks_fetched"])
    return IssuerRow(
        issuer=row["issuer"], disabled=bool(row["disabled"]), created=instant(row["created"]), **document
    )


def link_columns(row: LinkRow) -> Columns:
    document = {"created_by": row.created_by, "decided_by": row.decided_by, "made": row.made}
    return {
        "link_id": row.link_id,
        "kind": row.kind,
        "issuer": row.issuer,
        "there": row.there,
        "here": row.here,
        "state": row.state,
        "created": milliseconds(row.created),
        "decided": optional_milliseconds(row.decided),
        "document": to_json(document),
    }


def link_row(row: Row) -> LinkRow:
    return LinkRow(
        link_id=row["link_id"],
        kind=row["kind"],
        issuer=row["issuer"],
        there=row["there"],
        here=row["here"],
        state=row["state"],
        created=instant(row["created"]),
        decided=optional_instant(row["decided"]),
        **json.loads(row["document"]),
    )


def ticket_columns(row: TicketRow) -> Columns:
    document = {
        "created": milliseconds(row.created),
        "issuer": row.issuer,
        "client_id": row.client_id,
        "user": row.user,
        "user_display": row.user_display,
        "patient": row.patient,
    }
    return {
        "ticket_hash": row.ticket_hash,
        "expires": milliseconds(row.expires),
        "document": to_json(document),
    }


def ticket_row(row: Row) -> TicketRow:
    document = json.loads(row["document"])
    document["created"] = instant(document["created"])
    return TicketRow(ticket_hash=row["ticket_hash"], expires=instant(row["expires"]), **document)
