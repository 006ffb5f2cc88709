"""The tables of partner organisations; see `partners` for what each call promises."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from server.storage.authorization_rows import Row, to_json
from server.storage.database import Connection, Database
from server.storage.dialect import Parameters
from server.storage.folded_names import beginning, folded
from server.storage.instants import instant, milliseconds
from server.storage.logic_sql import all_of
from server.storage.partners import (
    Agreement,
    Member,
    MemberKind,
    PartnerPage,
    PartnerQuery,
    PartnerRow,
    PartnerTaken,
    StateChange,
)

_BUMP = "UPDATE security_epoch SET value = value + 1"
_INSERT = """
INSERT INTO partner (partner_id, organization_id, name_key, kind, state, created, document)
VALUES (:partner_id, :organization_id, :name_key, :kind, :state, :created, :document)
ON CONFLICT DO NOTHING"""
_UPDATE = """
UPDATE partner SET organization_id = :organization_id, name_key = :name_key, kind = :kind, state = :state,
created = :created, document = :document WHERE partner_id = :partner_id"""
_ADD_MEMBER = """
INSERT INTO partner_member (kind, name, partner_id, added) VALUES (:kind, :name, :partner_id, :now)
ON CONFLICT (kind, name) DO NOTHING"""


class PartnerTables:
    """PartnerStore over one Database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, partner: PartnerRow) -> None:
        with self._database.writing() as connection:
            if connection.execute(_INSERT, _columns(partner)).rowcount != 1:
                raise PartnerTaken("there is such a partner already")
            connection.execute(_BUMP)

    def change(self, partner: PartnerRow) -> None:
        with self._database.writing() as connection:
            connection.execute(_UPDATE, _columns(partner))
            connection.execute(_BUMP)

    def partner(self, partner_id: str, *, held: bool = False) -> PartnerRow | None:
        with self._database.reading() as connection:
            lock = connection.dialect.for_update if held else ""
            sql = f"SELECT * FROM partner WHERE partner_id = :partner_id {lock}"
            found = connection.named(sql, {"partner_id": partner_id})
        return _row(found[0]) if found else None

    def page(self, query: PartnerQuery) -> PartnerPage:
        with self._database.reading() as connection:
            parameters = Parameters(connection.dialect)
            where = [
                f"{column} = {parameters.bind(value)}"
                for column, value in (("state", query.state), ("kind", query.kind))
                if value
            ]
            if query.text:
                low, high = (parameters.bind(value) for value in beginning(query.text))
                where += [f"name_key >= {low}", f"name_key < {high}"]
            if query.after is not None:
                name, id = (parameters.bind(value) for value in query.after)
                where.append(f"(name_key, partner_id) > ({name}, {id})")
            found = connection.named(
                f"SELECT * FROM partner WHERE {all_of(where)} ORDER BY name_key, partner_id"
                f" LIMIT {parameters.bind(query.count + 1)}",
                parameters.values,
            )
        page = found[: query.count]
        more = len(found) > query.count
        return PartnerPage(
            rows=tuple(map(_row, page)),
            next_after=(page[-1]["name_key"], page[-1]["partner_id"]) if more else None,
        )

    def add_member(self, partner_id: str, member: Member, now: datetime) -> None:
        values = {"kind": member.kind, "name": member.name, "partner_id": partner_id, "now": milliseconds(now)}
        with self._database.writing() as connection:
            if connection.execute(_ADD_MEMBER, values).rowcount != 1:
                raise PartnerTaken(f"this {member.kind} acts for a partner already")
            connection.execute(_BUMP)

    def members(self, partner_id: str, kind: MemberKind, *, count: int, after: str = "") -> tuple[str, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT name FROM partner_member WHERE partner_id = :partner_id AND kind = :kind"
                " AND name > :after ORDER BY name LIMIT :count",
                {"partner_id": partner_id, "kind": kind, "after": after, "count": count},
            ).fetchall()
        return tuple(row[0] for row in rows)

    def all_members(self, partner_id: str) -> tuple[Member, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT kind, name FROM partner_member WHERE partner_id = :partner_id ORDER BY kind, name",
                {"partner_id": partner_id},
            ).fetchall()
        return tuple(Member(kind, name) for kind, name in rows)

    def of(self, members: Iterable[Member]) -> tuple[PartnerRow, ...]:
        with self._database.reading() as connection:
            found = [row for member in members if (row := _of(connection, member)) is not None]
        return tuple({row.partner_id: row for row in found}.values())


def _of(connection: Connection, member: Member) -> PartnerRow | None:
    found = connection.named(
        "SELECT p.* FROM partner_member m JOIN partner p ON p.partner_id = m.partner_id"
        " WHERE m.kind = :kind AND m.name = :name",
        {"kind": member.kind, "name": member.name},
    )
    return _row(found[0]) if found else None


def _columns(row: PartnerRow) -> dict[str, Any]:
    document = {
        "name": row.name,
        "purpose": row.purpose,
        "agreements": [asdict(agreement) | _days(agreement) for agreement in row.agreements],
        "contacts": row.contacts,
        "history": [asdict(change) | {"at": milliseconds(change.at)} for change in row.history],
        "held_clients": row.held_clients,
        "held_users": row.held_users,
    }
    return {
        "partner_id": row.partner_id,
        "organization_id": row.organization_id,
        "name_key": folded(row.name),
        "kind": row.kind,
        "state": row.state,
        "created": milliseconds(row.created),
        "document": to_json(document),
    }


def _days(agreement: Agreement) -> dict[str, str | None]:
    ends = agreement.ends
    return {"starts": agreement.starts.isoformat(), "ends": ends.isoformat() if ends else None}


def _row(row: Row) -> PartnerRow:
    document = json.loads(row["document"])
    return PartnerRow(
        partner_id=row["partner_id"],
        name=document["name"],
        organization_id=row["organization_id"],
        kind=row["kind"],
        purpose=document["purpose"],
        state=row["state"],
        created=instant(row["created"]),
        agreements=tuple(
            Agreement(
                kind=one["kind"],
                starts=date.fromisoformat(one["starts"]),
                ends=date.fromisoformat(one["ends"]) if one["ends"] else None,
                document=one["document"],
            )
            for one in document["agreements"]
        ),
        contacts=tuple(document["contacts"]),
        history=tuple(
            StateChange(instant(one["at"]), one["state"], one["by"], one["reason"])
            for one in document["history"]
        ),
        held_clients=tuple(document["held_clients"]),
        held_users=tuple(document["held_users"]),
    )
