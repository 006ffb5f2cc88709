"""`baton client`: the apps and services that may ask for access."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from server.auth.clients import (
    ASYMMETRIC,
    PUBLIC,
    SYMMETRIC,
    Registration,
    RegistrationError,
    client_row,
    description,
)
from server.auth.context import AuthContext, record
from server.auth.key_sets import fetch_key_set
from server.command_context import command_context
from server.storage.authorization import ClientRow


@click.group()
def client() -> None:
    """Register apps and services, list them, shut them out.

    A change takes effect at once in every process of a running server; none needs a restart.
    """


@client.command("add")
@click.option("--name", required=True, help="Shown to people when they are asked for consent.")
@click.option(
    "--public", "kind", flag_value="public", help="A browser or mobile app that cannot keep a secret."
)
@click.option("--confidential", "kind", flag_value="confidential", help="A server app; makes a client secret.")
@click.option(
    "--jwks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the client's public keys as a JWKS: it signs in with private_key_jwt (RS384 or ES384).",
)
@click.option("--jwks-uri", metavar="URL", help="Where the client publishes that JWKS instead.")
@click.option("--backend", is_flag=True, help="Signs in as itself (client credentials); needs keys.")
@click.option(
    "--exchange", is_flag=True, help="Exchanges id tokens of EHRs that launch it (baton issuer); needs keys."
)
@click.option(
    "--redirect-uri", "redirect_uris", metavar="URL", multiple=True, help="Matched exactly; repeatable."
)
@click.option("--launch-url", metavar="URL", default="", help="Where the EHR opens the app.")
@click.option(
    "--frame-ancestor", "frame_ancestors", metavar="ORIGIN", multiple=True, help="May frame its EHR launch."
)
@click.option("--scope", required=True, help="The most it may be granted, space-separated.")
@click.option("--client-id", metavar="ID", help="Chosen id; a random one otherwise.")
@click.option("--trusted", is_flag=True, help="First-party: people are not asked for consent.")
def add(
    name: str,
    kind: str | None,
    jwks: Path | None,
    jwks_uri: str | None,
    backend: bool,
    exchange: bool,
    redirect_uris: tuple[str, ...],
    launch_url: str,
    frame_ancestors: tuple[str, ...],
    scope: str,
    client_id: str | None,
    trusted: bool,
) -> None:
    """Register a client and print it as JSON. A client secret is shown this once.

    \b
    A browser app:
      baton client add --name Growth --public --redirect-uri https://growth.example/callback \\
          --scope "openid fhirUser launch/patient patient/*.rs"
    A server app with a secret, launched from the EHR:
      baton client add --name Review --confidential --redirect-uri https://review.example/cb \\
          --launch-url https://review.example/launch --scope "launch openid fhirUser user/*.rs offline_access"
    A backend service with its own keys:
      baton client add --name Warehouse --backend --jwks keys.json --scope "system/*.rs"
    """
    ways = [kind is not None, jwks is not None, jwks_uri is not None]
    if sum(ways) != 1:
        raise click.UsageError(
            "say how the client signs in: one of --public, --confidential, --jwks, --jwks-uri"
        )
    context = command_context()
    if client_id and context.rows.client(client_id) is not None:
        raise click.ClickException(f"there is a client {client_id} already")
    key_set: dict[str, Any] | None = None
    if jwks is not None:
        key_set = _read_key_set(jwks)
    elif jwks_uri is not None:
        key_set = _fetch_or_note(jwks_uri)
    secret = context.new_secret() if kind == "confidential" else ""
    registration = Registration(
        client_id=client_id or str(uuid.uuid4()),
        name=name,
        kind={"public": PUBLIC, "confidential": SYMMETRIC}.get(kind or "", ASYMMETRIC),
        scope=scope,
        backend=backend,
        exchange=exchange,
        redirect_uris=redirect_uris,
        launch_url=launch_url,
        frame_ancestors=frame_ancestors,
        jwks=key_set,
        jwks_uri=jwks_uri or "",
        trusted=trusted,
    )
    try:
        row = client_row(registration, context.hash(secret).hex() if secret else "", context.clock())
    except RegistrationError as error:
        raise click.ClickException(str(error)) from None
    _put(context, row, "client-add")
    click.echo(json.dumps(description(row, secret), indent=2))


@client.command("list")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def list_(as_json: bool) -> None:
    """List all clients, disabled ones too."""
    rows = command_context().rows.clients()
    if as_json:
        click.echo(json.dumps([description(row) for row in rows], indent=2))
        return
    for row in rows:
        state = "disabled" if row.disabled else "enabled"
        click.echo(f"{row.client_id}\t{row.name}\t{row.kind}\t{state}\t{row.scope}")


@client.command("disable")
@click.argument("client_id")
def disable(client_id: str) -> None:
    """Shut a client out at once: its grants and tokens end in every process."""
    context = command_context()
    with context.rows.transaction():
        known = context.rows.disable_client(client_id, context.clock())
        if known:
            record(context, "client-disable", 200, principal="operator", client_id=client_id)
    if not known:
        raise click.ClickException("there is no such client; `baton client list` shows them")
    click.echo("disabled")


@client.command("refresh")
@click.argument("client_id")
def refresh(client_id: str) -> None:
    """Fetch the keys of a client that publishes them by URL anew."""
    context = command_context()
    row = context.rows.client(client_id)
    if row is None or not row.jwks_uri:
        raise click.ClickException("there is no such client with a --jwks-uri")
    try:
        key_set = fetch_key_set(row.jwks_uri)
    except RegistrationError as error:
        raise click.ClickException(str(error)) from None
    _put(context, replace(row, jwks=key_set, jwks_fetched=context.clock()), "client-refresh")
    click.echo("refreshed")


def _put(context: AuthContext, row: ClientRow, event: str) -> None:
    with context.rows.transaction():
        context.rows.put_client(row)
        record(context, event, 200, principal="operator", client_id=row.client_id)


def _read_key_set(path: Path) -> dict[str, Any]:
    try:
        key_set: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError):
        raise click.ClickException(f"{path} cannot be read as JSON") from None
    return key_set


def _fetch_or_note(url: str) -> dict[str, Any] | None:
    try:
        return fetch_key_set(url)
    except RegistrationError as error:
        click.echo(f"Note: {error}. Once it is there: baton client refresh CLIENT_ID", err=True)
        return None
