"""`baton issuer`: the EHRs whose users may act here through an app of ours (token exchange)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from server.auth.context import AuthContext
from server.auth.discovery import TOKEN_EXCHANGE
from server.auth.trusted_issuers import (
    ALGORITHMS,
    IssuerError,
    NewIssuer,
    description,
    disable_issuer,
    fetch_keys,
    issuer_row,
    put_issuer,
    refresh_keys,
)
from server.command_context import command_context, command_settings
from server.outbound_http import Networks


@click.group()
def issuer() -> None:
    """Trust other EHRs: an app of ours that they launch may exchange their id tokens for access here.

    A change takes effect at once in every process of a running server. It opens nothing by itself: who their
    users and patients are here, people confirm (`baton link`, and the page an app leads to).
    """


@issuer.command("add")
@click.argument("issuer")
@click.option("--fhir-base", metavar="URL", default="", help="Its FHIR base URL, where that is not ISSUER.")
@click.option("--audience", metavar="ID", required=True, help="The client id that the app has there.")
@click.option(
    "--client", "clients", metavar="ID", multiple=True, required=True, help="A client of ours; repeatable."
)
@click.option("--label", default="", help="What people call the EHR.")
@click.option(
    "--scope", default="", help="The most an exchange may grant; otherwise what the clients are registered for."
)
@click.option("--algorithm", "algorithms", type=click.Choice(ALGORITHMS), multiple=True, default=("RS256",))
@click.option("--npi-claim", metavar="NAME", default="", help="The claim of its id tokens that holds the NPI.")
@click.option("--jwks-uri", metavar="URL", default="", help="Where it publishes its keys.")
@click.option(
    "--jwks", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Or its keys as a file."
)
def add(
    issuer: str,
    fhir_base: str,
    audience: str,
    clients: tuple[str, ...],
    label: str,
    scope: str,
    algorithms: tuple[str, ...],
    npi_claim: str,
    jwks_uri: str,
    jwks: Path | None,
) -> None:
    """Trust the EHR whose id tokens have `iss` ISSUER, and print it as JSON; one of the same name is replaced.

    \b
    baton issuer add https://ehr.example --fhir-base https://ehr.example/fhir --audience our-id-there \\
        --client baton-app-exchange --jwks-uri https://ehr.example/jwks --label "General hospital"
    """
    context = command_context()
    if (jwks is None) == (not jwks_uri):
        raise click.UsageError("say where its keys are: one of --jwks-uri, --jwks")
    allowed = " ".join(_scope_of(context, client) for client in clients)
    try:
        keys = _read(jwks) if jwks else _fetch_or_note(jwks_uri)
        asked = NewIssuer(
            issuer=issuer,
            audience=audience,
            clients=clients,
            scope=scope or allowed,
            fhir_base=fhir_base,
            label=label,
            algorithms=algorithms,
            npi_claim=npi_claim,
            jwks_uri=jwks_uri,
            jwks=keys,
        )
        row = issuer_row(asked, context.clock())
    except IssuerError as error:
        raise click.ClickException(str(error)) from None
    put_issuer(context, row, "issuer-add")
    click.echo(json.dumps(description(row), indent=2))


@issuer.command("list")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def list_(as_json: bool) -> None:
    """List all trusted EHRs, those shut out too."""
    rows = command_context().store.identity_links.issuers()
    if as_json:
        click.echo(json.dumps([description(row) for row in rows], indent=2))
        return
    for row in rows:
        state = "disabled" if row.disabled else "enabled"
        click.echo(f"{row.issuer}\t{row.label}\t{state}\t{' '.join(row.clients)}\t{row.scope}")


@issuer.command("disable")
@click.argument("issuer")
def disable(issuer: str) -> None:
    """Shut an EHR out at once: what was exchanged ends in every process. Its links stay for when it is back."""
    if not disable_issuer(command_context(), issuer):
        raise click.ClickException("there is no such issuer; `baton issuer list` shows them")
    click.echo("disabled")


@issuer.command("refresh")
@click.argument("issuer")
def refresh(issuer: str) -> None:
    """Fetch the keys of an EHR that publishes them by URL anew. The worker does it every hour."""
    try:
        known = refresh_keys(command_context(), issuer, _networks(), principal="operator")
    except IssuerError as error:
        raise click.ClickException(str(error)) from None
    if not known:
        raise click.ClickException("there is no such issuer, enabled and with a --jwks-uri")
    click.echo("refreshed")


def _scope_of(context: AuthContext, client_id: str) -> str:
    row = context.rows.client(client_id)
    if row is None or TOKEN_EXCHANGE not in row.grant_types:
        raise click.ClickException(f"{client_id} is no client that may exchange: baton client add --exchange")
    return row.scope


def _networks() -> Networks:
    return command_settings().outbound_allow


def _read(path: Path) -> dict[str, Any]:
    try:
        keys: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError):
        raise click.ClickException(f"{path} cannot be read as JSON") from None
    return keys


def _fetch_or_note(url: str) -> dict[str, Any] | None:
    try:
        return fetch_keys(url, _networks())
    except IssuerError as error:
        click.echo(f"Note: {error}. Once it is there: baton issuer refresh ISSUER", err=True)
        return None
