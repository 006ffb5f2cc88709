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
    check_web_url,
    client_row,
    description,
)
from server.auth.context import AuthContext, record
from server.auth.key_sets import KeySetError, refresh
from server.auth.public_keys import key_set_fault
from server.command_context import command_context
from server.invitation_command import invitations, invite, withdraw_invitation
from server.storage.authorization import ClientRow

_UNKNOWN = "there is no such client; `baton client list` shows them"
_as_json = click.option("--json", "as_json", is_flag=True, help="Report as JSON.")


@click.group()
def client() -> None:
    """Register apps and services, look at them, shut them out; let them register themselves.

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
@click.option("--client-uri", metavar="URL", default="", help="The app's own page.")
@click.option("--policy-uri", metavar="URL", default="", help="What it does with data.")
@click.option("--tos-uri", metavar="URL", default="", help="Its terms of use.")
@click.option("--contact", "contacts", metavar="TEXT", multiple=True, help="Whom to ask; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="The answer is JSON in any case.")
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
    client_uri: str,
    policy_uri: str,
    tos_uri: str,
    contacts: tuple[str, ...],
    as_json: bool,
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
    addresses = {"client_uri": client_uri, "policy_uri": policy_uri, "tos_uri": tos_uri}
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
        jwks=_read_key_set(jwks) if jwks is not None else None,
        jwks_uri=jwks_uri or "",
        trusted=trusted,
        metadata={name: address for name, address in addresses.items() if address}
        | ({"contacts": list(contacts)} if contacts else {}),
    )
    try:
        for name, address in registration.metadata.items():
            if name in addresses:
                check_web_url(address, name)
        row = client_row(registration, context.hash(secret).hex() if secret else "", context.clock())
    except RegistrationError as error:
        raise click.ClickException(str(error)) from None
    _put(context, row, "client-add")
    if row.jwks_uri:
        try:
            refresh(context, row.jwks_uri)
        except KeySetError as error:
            click.echo(f"Note: {error}. It is tried again when the client asks for a token.", err=True)
    click.echo(json.dumps(description(row, secret), indent=2))


@client.command("list")
@_as_json
def list_(as_json: bool) -> None:
    """List all clients, disabled ones too."""
    rows = command_context().rows.clients()
    if as_json:
        click.echo(json.dumps([description(row) for row in rows], indent=2))
        return
    for row in rows:
        state = "disabled" if row.disabled else "enabled"
        click.echo(f"{row.client_id}\t{row.name}\t{row.kind}\t{state}\t{row.scope}")


@client.command("show")
@click.argument("client_id")
@_as_json
def show(client_id: str, as_json: bool) -> None:
    """Everything that is registered of one client; its secret is kept by nobody."""
    context = command_context()
    row = _known(context, client_id)
    shown = description(row) | {"created": row.created.isoformat()}
    if row.jwks_uri:
        kept = context.rows.registrations.key_set(row.jwks_uri)
        fetched = kept.fetched if kept is not None else None
        shown["jwks_fetched"] = fetched.isoformat() if fetched else None
        shown["kids"] = [key["kid"] for key in kept.jwks.get("keys", ())] if kept is not None else []
    if as_json:
        click.echo(json.dumps(shown, indent=2))
        return
    for name, value in shown.items():
        click.echo(f"{name}\t{value if isinstance(value, str) else json.dumps(value)}")


@client.command("disable")
@click.argument("client_id")
@_as_json
def disable(client_id: str, as_json: bool) -> None:
    """Shut a client out at once: its grants and tokens end in every process."""
    context = command_context()
    with context.rows.transaction():
        known = context.rows.disable_client(client_id, context.clock())
        if known:
            record(context, "client-disable", 200, principal="operator", client_id=client_id)
    if not known:
        raise click.ClickException(_UNKNOWN)
    click.echo(json.dumps({"client_id": client_id, "disabled": True}) if as_json else "disabled")


@client.command("rotate-secret")
@click.argument("client_id")
@_as_json
def rotate_secret(client_id: str, as_json: bool) -> None:
    """Give a --confidential client a new secret and print it this once; the old one ends at once.

    Tokens that were issued stay good. Where the old secret is in wrong hands, `client disable` ends them.
    """
    context = command_context()
    row = _known(context, client_id)
    if row.kind != SYMMETRIC:
        raise click.ClickException("this client has no secret: it is public, or signs in with its own key")
    secret = context.new_secret()
    _put(context, replace(row, secret_hash=context.hash(secret).hex()), "client-rotate-secret")
    click.echo(json.dumps({"client_id": client_id, "client_secret": secret}, indent=2) if as_json else secret)


@client.command("set-keys")
@click.argument("client_id")
@click.option(
    "--jwks", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with all public keys that are good from now on.",
)  # fmt: skip
@_as_json
def set_keys(client_id: str, jwks: Path, as_json: bool) -> None:
    """Replace the public keys of a client that gave them by value (--jwks)."""
    context = command_context()
    row = _known(context, client_id)
    if row.kind != ASYMMETRIC or row.jwks_uri:
        raise click.ClickException("only clients registered with --jwks have keys to be set here")
    key_set = _read_key_set(jwks)
    if fault := key_set_fault(key_set):
        raise click.ClickException(fault)
    _put(context, replace(row, jwks=key_set), "client-set-keys")
    kids = [key["kid"] for key in key_set["keys"]]
    click.echo(json.dumps({"client_id": client_id, "kids": kids}) if as_json else "set")


@client.command("refresh")
@click.argument("client_id")
@_as_json
def refresh_keys(client_id: str, as_json: bool) -> None:
    """Fetch the keys of a client that publishes them by URL anew; the server does so by itself when needed."""
    context = command_context()
    row = _known(context, client_id)
    if not row.jwks_uri:
        raise click.ClickException("this client was not registered with --jwks-uri")
    try:
        changed = refresh(context, row.jwks_uri)
    except KeySetError as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps({"client_id": client_id, "changed": changed}) if as_json else "refreshed")


client.add_command(invite)
client.add_command(invitations)
client.add_command(withdraw_invitation)


def _known(context: AuthContext, client_id: str) -> ClientRow:
    row = context.rows.client(client_id)
    if row is None:
        raise click.ClickException(_UNKNOWN)
    return row


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
