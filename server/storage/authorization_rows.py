"""Rows of the authorization tables <-> the dataclasses of `authorization`.

What is looked up or indexed stands in columns; the rest of a row in one JSON document, so that a new field
needs no migration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from server.storage.authorization import (
    BrowserSessionRow,
    ClientRow,
    CodeRow,
    GrantRow,
    LaunchRow,
    RefreshTokenRow,
    TokenRow,
    UserRow,
)
from server.storage.folded_names import folded
from server.storage.instants import (
    instant,
    milliseconds,
    optional_instant,
    optional_milliseconds,
)

Columns = dict[str, Any]


class Row(Protocol):
    """A database row whose columns are read by name."""

    def __getitem__(self, name: str, /) -> Any: ...


def to_json(value: Mapping[str, Any]) -> str:
    """Compact JSON; the mapping holds JSON values only."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _instant_of(document: Mapping[str, Any], name: str) -> datetime | None:
    return optional_instant(document.get(name))


def client_columns(row: ClientRow) -> Columns:
    document = {
        "name": row.name,
        "kind": row.kind,
        "scope": row.scope,
        "grant_types": row.grant_types,
        "redirect_uris": row.redirect_uris,
        "secret_hash": row.secret_hash,
        "jwks": row.jwks,
        "jwks_uri": row.jwks_uri,
        "launch_url": row.launch_url,
        "frame_ancestors": row.frame_ancestors,
        "metadata": row.metadata,
        "registration": row.registration,
    }
    return {
        "client_id": row.client_id,
        "disabled": int(row.disabled),
        "created": milliseconds(row.created),
        "name_key": folded(row.name),
        "document": to_json(document),
    }


def client_row(row: Row) -> ClientRow:
    document = json.loads(row["document"])
    for name in ("grant_types", "redirect_uris", "frame_ancestors"):
        document[name] = tuple(document[name])
    document.pop("jwks_fetched", None)  # of rows before schema 13
    return ClientRow(
        client_id=row["client_id"],
        disabled=bool(row["disabled"]),
        created=instant(row["created"]),
        **document,
    )


def user_columns(row: UserRow) -> Columns:
    return {
        "username": row.username,
        "password_hash": row.password_hash,
        "role": row.role,
        "practitioner_id": row.practitioner_id,
        "display": row.display,
        "disabled": int(row.disabled),
    }


def user_row(row: Row) -> UserRow:
    return UserRow(
        username=row["username"],
        password_hash=row["password_hash"],
        role=row["role"],
        practitioner_id=row["practitioner_id"],
        display=row["display"],
        disabled=bool(row["disabled"]),
    )


def grant_columns(row: GrantRow) -> Columns:
    document = {
        "scope": row.scope,
        "fhir_user": row.fhir_user,
        "role": row.role,
        "patient": row.patient,
        "encounter": row.encounter,
        "context": row.context,
    }
    return {
        "grant_id": row.grant_id,
        "client_id": row.client_id,
        "username": row.username,
        "created": milliseconds(row.created),
        "revoked": optional_milliseconds(row.revoked),
        "document": to_json(document),
    }


def grant_row(row: Row) -> GrantRow:
    return GrantRow(
        grant_id=row["grant_id"],
        client_id=row["client_id"],
        username=row["username"],
        created=instant(row["created"]),
        revoked=optional_instant(row["revoked"]),
        **json.loads(row["document"]),
    )


def code_columns(row: CodeRow) -> Columns:
    document = {
        "client_id": row.client_id,
        "redirect_uri": row.redirect_uri,
        "scope": row.scope,
        "code_challenge": row.code_challenge,
        "nonce": row.nonce,
        "auth_time": optional_milliseconds(row.auth_time),
        "details": row.details,
    }
    return {
        "code_hash": row.code_hash,
        "grant_id": row.grant_id,
        "expires": milliseconds(row.expires),
        "used": optional_milliseconds(row.used),
        "document": to_json(document),
    }


def code_row(row: Row) -> CodeRow:
    document = json.loads(row["document"])
    document["auth_time"] = _instant_of(document, "auth_time")
    return CodeRow(
        code_hash=row["code_hash"],
        grant_id=row["grant_id"],
        expires=instant(row["expires"]),
        used=optional_instant(row["used"]),
        **document,
    )


def launch_columns(row: LaunchRow) -> Columns:
    document = {
        "client_id": row.client_id,
        "username": row.username,
        "patient": row.patient,
        "encounter": row.encounter,
        "context": row.context,
    }
    return {
        "launch_hash": row.launch_hash,
        "expires": milliseconds(row.expires),
        "used": optional_milliseconds(row.used),
        "document": to_json(document),
    }


def launch_row(row: Row) -> LaunchRow:
    return LaunchRow(
        launch_hash=row["launch_hash"],
        expires=instant(row["expires"]),
        used=optional_instant(row["used"]),
        **json.loads(row["document"]),
    )


def token_columns(row: TokenRow) -> Columns:
    document = {
        "scope": row.scope,
        "issued": milliseconds(row.issued),
        "username": row.username,
        "fhir_user": row.fhir_user,
        "role": row.role,
        "patient": row.patient,
        "encounter": row.encounter,
        "details": row.details,
    }
    return {
        "token_hash": row.token_hash,
        "grant_id": row.grant_id,
        "client_id": row.client_id,
        "expires": milliseconds(row.expires),
        "revoked": optional_milliseconds(row.revoked),
        "document": to_json(document),
    }


def token_row(row: Row) -> TokenRow:
    document = json.loads(row["document"])
    document["issued"] = instant(document["issued"])
    return TokenRow(
        token_hash=row["token_hash"],
        grant_id=row["grant_id"],
        client_id=row["client_id"],
        expires=instant(row["expires"]),
        revoked=optional_instant(row["revoked"]),
        **document,
    )


def refresh_token_columns(row: RefreshTokenRow) -> Columns:
    return {
        "token_hash": row.token_hash,
        "grant_id": row.grant_id,
        "client_id": row.client_id,
        "scope": row.scope,
        "expires": milliseconds(row.expires),
        "rotated": optional_milliseconds(row.rotated),
    }


def refresh_token_row(row: Row) -> RefreshTokenRow:
    return RefreshTokenRow(
        token_hash=row["token_hash"],
        grant_id=row["grant_id"],
        client_id=row["client_id"],
        scope=row["scope"],
        expires=instant(row["expires"]),
        rotated=optional_instant(row["rotated"]),
    )


def browser_session_columns(row: BrowserSessionRow) -> Columns:
    return {
        "session_hash": row.session_hash,
        "area": row.area,
        "username": row.username,
        "created": milliseconds(row.created),
        "last_used": milliseconds(row.last_used),
        "expires": milliseconds(row.expires),
        "document": to_json(row.data),
        "login": row.login or row.session_hash,
    }


def browser_session_row(row: Row) -> BrowserSessionRow:
    return BrowserSessionRow(
        session_hash=row["session_hash"],
        area=row["area"],
        username=row["username"],
        created=instant(row["created"]),
        last_used=instant(row["last_used"]),
        expires=instant(row["expires"]),
        data=json.loads(row["document"]),
        login=row["login"],
    )
