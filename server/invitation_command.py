"""`baton client invite`, `invitations`, `withdraw-invitation`: who may register a client by themselves."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import click

from server.auth.clients import RegistrationError
from server.auth.invitations import description, withdraw
from server.auth.invitations import invite as make_invitation
from server.command_context import command_context

_as_json = click.option("--json", "as_json", is_flag=True, help="Report as JSON.")


@click.command("invite")
@click.option("--scope", required=True, help="The most such a client may have, space-separated.")
@click.option(
    "--redirect-host", "hosts", metavar="HOST", multiple=True,
    help="Host that its URLs may name, or a native app's scheme (com.example.app:); repeatable.",
)  # fmt: skip
@click.option("--backend", is_flag=True, help="May sign in as itself (client credentials).")
@click.option("--uses", type=int, default=1, show_default=True, help="How many clients may register.")
@click.option("--days", type=float, default=7, show_default=True, help="How long the invitation is good.")
@click.option("--note", default="", help="Whom it was given to.")
@click.option("--statement-issuer", metavar="ISS", help="Ask for a software statement of this issuer.")
@click.option(
    "--statement-jwks", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the public keys of that issuer.",
)  # fmt: skip
@_as_json
def invite(
    scope: str,
    hosts: tuple[str, ...],
    backend: bool,
    uses: int,
    days: float,
    note: str,
    statement_issuer: str | None,
    statement_jwks: Path | None,
    as_json: bool,
) -> None:
    """Let somebody register a client by themselves (RFC 7591); prints the initial access token this once.

    \b
    One app of a partner, within a week:
      baton client invite --redirect-host growth.example --note "Growth Ltd" \\
          --scope "openid fhirUser launch/patient patient/*.rs"
    """
    if (statement_issuer is None) != (statement_jwks is None):
        raise click.UsageError("--statement-issuer and --statement-jwks go together")
    statement = None
    if statement_jwks is not None:
        try:
            statement = {"iss": statement_issuer, "jwks": json.loads(statement_jwks.read_text("utf-8"))}
        except (ValueError, OSError):
            raise click.ClickException(f"{statement_jwks} cannot be read as JSON") from None
    context = command_context()
    try:
        token, row = make_invitation(
            context,
            scope=scope,
            hosts=hosts,
            backend=backend,
            uses=uses,
            lifetime=timedelta(days=days),
            note=note,
            statement=statement,
        )
    except (RegistrationError, OverflowError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        shown = description(row, token) | {"registration_endpoint": f"{context.base_url}/oauth2/register"}
        click.echo(json.dumps(shown, indent=2))
    else:
        click.echo(token)
        click.echo(f"Invitation {row.invitation_id}: POST {context.base_url}/oauth2/register", err=True)


@click.command("invitations")
@_as_json
def invitations(as_json: bool) -> None:
    """List the invitations, used up and expired ones too until a day after they end."""
    rows = command_context().rows.registrations.invitations()
    if as_json:
        click.echo(json.dumps([description(row) for row in rows], indent=2))
        return
    for row in rows:
        click.echo(f"{row.invitation_id}\t{row.uses_left} left\tuntil {row.expires:%Y-%m-%d}\t{row.note}")


@click.command("withdraw-invitation")
@click.argument("invitation")
@_as_json
def withdraw_invitation(invitation: str, as_json: bool) -> None:
    """End an invitation at once; clients that registered by it stay."""
    if not withdraw(command_context(), invitation):
        raise click.ClickException(
            "there is no such invitation in force; `baton client invitations` shows them"
        )
    click.echo(json.dumps({"invitation": invitation, "withdrawn": True}) if as_json else "withdrawn")
