"""Clients and standing grants, a page at a time: as quick however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.storage.authorization import ClientRow, GrantRow
from server.storage.authorization_rows import client_row, grant_row
from server.storage.database import Database
from server.storage.dialect import Parameters
from server.storage.folded_names import beginning
from server.storage.instants import instant, milliseconds
from server.storage.logic_sql import all_of

# As it stands in the indexes. What a client holds for itself lives minutes and is not listed.
_STANDING = "revoked IS NULL AND username <> ''"


@dataclass(frozen=True, slots=True)
class ClientQuery:
    """Which clients, in the order of their names. text: how the name begins, capitals (A to Z) aside.

    disabled: None for both kinds. after: ClientPage.next_after of the page before.
    """

    text: str = ""
    disabled: bool | None = None
    count: int = 50
    after: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ClientPage:
    """next_after: None at the end."""

    rows: tuple[ClientRow, ...]
    next_after: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class GrantQuery:
    """Which grants of people that can still act, those that can longest first. "" stands for any.

    after: GrantPage.next_after of the page before.
    """

    client_id: str = ""
    username: str = ""
    count: int = 50
    after: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class StandingGrant:
    """until: when the last token made from it expires."""

    grant: GrantRow
    until: datetime


@dataclass(frozen=True, slots=True)
class GrantPage:
    """next_after: None at the end."""

    rows: tuple[StandingGrant, ...]
    next_after: tuple[int, str] | None


class AuthorizationPages:
    """Lists of what `AuthorizationTables` keeps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def clients(self, query: ClientQuery) -> ClientPage:
        """One page of clients."""
        with self._database.reading() as connection:
            parameters = Parameters(connection.dialect)
            where = []
            if query.disabled is not None:
                where.append(f"disabled = {parameters.bind(int(query.disabled))}")
            if query.text:
                low, high = (parameters.bind(value) for value in beginning(query.text))
                where += [f"name_key >= {low}", f"name_key < {high}"]
            if query.after is not None:
                name, id = (parameters.bind(value) for value in query.after)
                where.append(f"(name_key, client_id) > ({name}, {id})")
            found = connection.named(
                f"SELECT * FROM client WHERE {all_of(where)} ORDER BY name_key, client_id"
                f" LIMIT {parameters.bind(query.count + 1)}",
                parameters.values,
            )
        page = found[: query.count]
        last = page[-1] if len(found) > query.count else None
        return ClientPage(
            rows=tuple(map(client_row, page)),
            next_after=(last["name_key"], last["client_id"]) if last else None,
        )

    def grants(self, query: GrantQuery, now: datetime) -> GrantPage:
        """One page of the grants of people that can act after now."""
        with self._database.reading() as connection:
            parameters = Parameters(connection.dialect)
            where: list[Any] = [_STANDING, f"stands_until > {parameters.bind(milliseconds(now))}"]
            for column, value in (("client_id", query.client_id), ("username", query.username)):
                if value:
                    where.append(f"{column} = {parameters.bind(value)}")
            if query.after is not None:
                until, id = (parameters.bind(value) for value in query.after)
                where.append(f"(stands_until, grant_id) < ({until}, {id})")
            found = connection.named(
                f"SELECT * FROM access_grant WHERE {all_of(where)} ORDER BY stands_until DESC, grant_id DESC"
                f" LIMIT {parameters.bind(query.count + 1)}",
                parameters.values,
            )
        page = found[: query.count]
        last = page[-1] if len(found) > query.count else None
        return GrantPage(
            rows=tuple(StandingGrant(grant_row(row), instant(row["stands_until"])) for row in page),
            next_after=(last["stands_until"], last["grant_id"]) if last else None,
        )
