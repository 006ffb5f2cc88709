"""EHRs whose id tokens may be exchanged here, and whose users and patients there are whose here.

Values and tables; the rules are in `server.auth`. Every call is one durable transaction, or a part of the
surrounding one. Changing a link or an issuer ends no token by itself: `grants_on` tells which grants rest on it.
Sources: RFC 8693; hl7.org/fhir/R4/patient-operation-match.html (why a person decides).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from server.storage.authorization_rows import Row, to_json
from server.storage.database import Connection, Database
from server.storage.instants import instant, milliseconds, optional_instant, optional_milliseconds

LinkKind = Literal["patient", "staff"]
KINDS: tuple[LinkKind, ...] = get_args(LinkKind)
PROPOSED, CONFIRMED, REFUSED, REVOKED = "proposed", "confirmed", "refused", "revoked"
STATES = (PROPOSED, CONFIRMED, REFUSED, REVOKED)
_LINKS = "identity links"  # held by whoever adds or decides one
_KEPT_PROPOSED = timedelta(days=30)
_KEPT_AFTER_EXPIRY = timedelta(days=1)


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


class IdentityLinks:
    """The tables of migration 11."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- issuers

    def put_issuer(self, row: IssuerRow) -> None:
        """Add or replace."""
        document = asdict(row) | {"jwks_fetched": optional_milliseconds(row.jwks_fetched)}
        for name in ("issuer", "created", "disabled"):
            del document[name]
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO trusted_issuer (issuer, disabled, created, document)"
                " VALUES (:issuer, :disabled, :created, :document) ON CONFLICT (issuer) DO UPDATE SET"
                " disabled = excluded.disabled, document = excluded.document",
                {
                    "issuer": row.issuer,
                    "disabled": int(row.disabled),
                    "created": milliseconds(row.created),
                    "document": to_json(document),
                },
            )

    def issuer(self, issuer: str, *, hold: bool = False) -> IssuerRow | None:
        """hold: nobody else changes it before the surrounding transaction ends."""
        with self._reading(hold) as connection:
            lock = connection.dialect.for_update if hold else ""
            found = connection.named(
                f"SELECT * FROM trusted_issuer WHERE issuer = :issuer {lock}", {"issuer": issuer}
            )
        return _issuer(found[0]) if found else None

    def issuers(self) -> tuple[IssuerRow, ...]:
        """All, disabled ones too, in the order of their names."""
        with self._database.reading() as connection:
            return tuple(map(_issuer, connection.named("SELECT * FROM trusted_issuer ORDER BY issuer", {})))

    # -- links

    def propose(self, row: LinkRow) -> LinkRow:
        """Add a proposal, or the one that waits already; a confirmed link is left as it is and returned."""
        with self._database.writing() as connection:
            connection.lock(_LINKS)
            for state in (CONFIRMED, PROPOSED):
                if (known := self._of(connection, row, state)) is not None:
                    return known
            self._insert(connection, row)
        return row

    def confirm(self, row: LinkRow) -> LinkRow | None:
        """Add a confirmed link, or make the proposal of that name one; None where one holds already."""
        with self._database.writing() as connection:
            connection.lock(_LINKS)
            if self._of(connection, row, CONFIRMED) is not None:
                return None
            waiting = self._of(connection, row, PROPOSED)
            if waiting is None:
                self._insert(connection, row)
                return row
            kept = replace(row, link_id=waiting.link_id, created=waiting.created, created_by=waiting.created_by)
            self._update(connection, kept)
            return kept

    def end(self, link_id: str, state: str, now: datetime, by: str) -> LinkRow | None:
        """Refuse a proposal or revoke a confirmed link; as it is then, None where it was not in that state."""
        before = {REFUSED: PROPOSED, REVOKED: CONFIRMED}[state]
        with self._database.writing() as connection:
            connection.lock(_LINKS)
            row = self._one(connection, link_id)
            if row is None or row.state != before:
                return None
            ended = replace(row, state=state, decided=now, decided_by=by)
            self._update(connection, ended)
        return ended

    def link(self, link_id: str) -> LinkRow | None:
        with self._database.reading() as connection:
            return self._one(connection, link_id)

    def confirmed(self, kind: LinkKind, issuer: str, there: str, *, hold: bool = False) -> LinkRow | None:
        """The link that holds. hold: nobody revokes it before the surrounding transaction ends."""
        values = {"kind": kind, "issuer": issuer, "there": there}
        with self._reading(hold) as connection:
            lock = connection.dialect.for_update if hold else ""
            found = connection.named(
                "SELECT * FROM identity_link WHERE kind = :kind AND issuer = :issuer AND there = :there"
                f" AND state = '{CONFIRMED}' {lock}",
                values,
            )
        return _link(found[0]) if found else None

    def links(self, *, limit: int, **wanted: str) -> tuple[LinkRow, ...]:
        """The newest first. wanted: kind, issuer, here, state."""
        condition = " AND ".join(f"{name} = :{name}" for name in wanted) or "1 = 1"
        sql = f"SELECT * FROM identity_link WHERE {condition} ORDER BY created DESC, link_id DESC LIMIT :limit"
        with self._database.reading() as connection:
            return tuple(map(_link, connection.named(sql, {**wanted, "limit": limit})))

    def _of(self, connection: Connection, row: LinkRow, state: str) -> LinkRow | None:
        found = connection.named(
            "SELECT * FROM identity_link WHERE kind = :kind AND issuer = :issuer AND there = :there"
            " AND state = :state",
            {"kind": row.kind, "issuer": row.issuer, "there": row.there, "state": state},
        )
        return _link(found[0]) if found else None

    def _one(self, connection: Connection, link_id: str) -> LinkRow | None:
        found = connection.named("SELECT * FROM identity_link WHERE link_id = :id", {"id": link_id})
        return _link(found[0]) if found else None

    def _insert(self, connection: Connection, row: LinkRow) -> None:
        columns = _link_columns(row)
        names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
        connection.execute(f"INSERT INTO identity_link ({names}) VALUES ({values})", columns)

    def _update(self, connection: Connection, row: LinkRow) -> None:
        connection.execute(
            "UPDATE identity_link SET here = :here, state = :state, decided = :decided, document = :document"
            " WHERE link_id = :link_id",
            {name: _link_columns(row)[name] for name in ("here", "state", "decided", "document", "link_id")},
        )

    # -- tickets

    def add_ticket(self, row: TicketRow) -> None:
        document = {
            "created": milliseconds(row.created),
            "issuer": row.issuer,
            "client_id": row.client_id,
            "user": row.user,
            "user_display": row.user_display,
            "patient": row.patient,
        }
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO link_ticket (ticket_hash, expires, document) VALUES (:hash, :expires, :document)",
                {"hash": row.ticket_hash, "expires": milliseconds(row.expires), "document": to_json(document)},
            )

    def ticket(self, ticket_hash: bytes) -> TicketRow | None:
        """Expired ones too, until purged."""
        with self._database.reading() as connection:
            found = connection.named("SELECT * FROM link_ticket WHERE ticket_hash = :hash", {"hash": ticket_hash})
        if not found:
            return None
        document = json.loads(found[0]["document"])
        return TicketRow(
            ticket_hash=ticket_hash,
            expires=instant(found[0]["expires"]),
            **document | {"created": instant(document["created"])},
        )

    # -- what grants rest on

    def add_bases(self, grant_id: str, bases: Iterable[str], expires: datetime) -> None:
        """Note that a grant rests on each of these; `issuer_basis`, `link_basis`."""
        with self._database.writing() as connection:
            for basis in bases:
                connection.execute(
                    "INSERT INTO grant_basis (basis, grant_id, expires) VALUES (:basis, :grant_id, :expires)",
                    {"basis": basis, "grant_id": grant_id, "expires": milliseconds(expires)},
                )

    def grants_on(self, basis: str) -> tuple[str, ...]:
        """Ids of the grants that rest on it, as far as one of their tokens may still be good."""
        with self._database.reading() as connection:
            rows = connection.named("SELECT grant_id FROM grant_basis WHERE basis = :basis", {"basis": basis})
        return tuple(row["grant_id"] for row in rows)

    # -- upkeep

    def purge(self, now: datetime) -> int:
        """Forget tickets and bases a day after they expired, and proposals nobody decided on; how many."""
        expired = {"limit": milliseconds(now - _KEPT_AFTER_EXPIRY)}
        with self._database.writing() as connection:
            gone = sum(
                connection.execute(f"DELETE FROM {table} WHERE expires < :limit", expired).rowcount
                for table in ("link_ticket", "grant_basis")
            )
            return gone + connection.execute(
                f"DELETE FROM identity_link WHERE state = '{PROPOSED}' AND created < :limit",
                {"limit": milliseconds(now - _KEPT_PROPOSED)},
            ).rowcount

    def _reading(self, hold: bool) -> Any:
        return self._database.writing() if hold else self._database.reading()


def issuer_basis(issuer: str) -> str:
    return f"issuer {issuer}"


def link_basis(link_id: str) -> str:
    return f"link {link_id}"


def _issuer(row: Row) -> IssuerRow:
    document = json.loads(row["document"])
    document["clients"], document["algorithms"] = tuple(document["clients"]), tuple(document["algorithms"])
    document["jwks_fetched"] = optional_instant(document["jwks_fetched"])
    return IssuerRow(
        issuer=row["issuer"], disabled=bool(row["disabled"]), created=instant(row["created"]), **document
    )


def _link_columns(row: LinkRow) -> dict[str, Any]:
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


def _link(row: Row) -> LinkRow:
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
