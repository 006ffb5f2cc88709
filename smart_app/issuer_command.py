"""`baton app`: which EHRs may launch the app."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

import click

from smart_app.issuers import CLIENT_AUTHS, IssuerFault, Issuers, issuer_from_record
from smart_app.keys import PUBLIC_FILE, prepare_keys
from smart_app.scopes import app_scopes, exchange_scopes, worker_scopes


@click.group("app")
def app_group() -> None:
    """The SMART app: the EHRs that may launch it, and what to register it with."""


@app_group.group("issuer")
def issuer_group() -> None:
    """EHRs (FHIR servers) that may launch the app. A running app knows a change at once."""


@issuer_group.command("add")
@click.argument("iss")
@click.option("--client-id", required=True, help="Who the app is there, as that EHR registered it.")
@click.option("--label", default="", help="What people call the EHR.")
@click.option(
    "--store", is_flag=True, help="This server is the store as well: drafts and signed lists go there."
)
@click.option("--auth", type=click.Choice(CLIENT_AUTHS), default=CLIENT_AUTHS[0], show_default=True)
@click.option("--client-secret-file", type=click.File("r"), help="For client_secret_basic.")
@click.option("--worker-client-id", default="", help="The backend client of the app's worker in the store.")
@click.option(
    "--exchange", is_flag=True, help="Its users and patients can be connected with the store (token exchange)."
)
@click.option("--exchange-client-id", default="", help="The client that exchanges, in the store.")
@click.option("--frame-ancestor", multiple=True, help="An origin that may frame the app, beside that of ISS.")
def add(
    iss: str,
    client_id: str,
    label: str,
    store: bool,
    auth: str,
    client_secret_file: IO[str] | None,
    worker_client_id: str,
    exchange: bool,
    exchange_client_id: str,
    frame_ancestor: tuple[str, ...],
) -> None:
    """Let the EHR with FHIR base URL ISS launch the app; an entry of the same ISS is replaced."""
    secret = client_secret_file.read().strip() if client_secret_file else ""
    try:
        issuer = issuer_from_record(
            {
                "iss": iss,
                "client_id": client_id,
                "label": label,
                "store": store,
                "auth": auth,
                "client_secret": secret,
                "worker_client_id": worker_client_id,
                "exchange": exchange,
                "exchange_client_id": exchange_client_id,
                "frame_ancestors": list(frame_ancestor),
            }
        )
        Issuers(_home()).add(issuer)
    except IssuerFault as fault:
        raise click.ClickException(str(fault)) from None
    click.echo(f"{issuer.iss} may launch the app as {issuer.client_id}")


@issuer_group.command("remove")
@click.argument("iss")
def remove(iss: str) -> None:
    """Take the EHR of ISS out of the list; its sessions end."""
    if not Issuers(_home()).remove(iss):
        raise click.ClickException(f"{iss} is not in the list")


@issuer_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, without secrets.")
def list_issuers(as_json: bool) -> None:
    """Print the EHRs of the list."""
    rows = [
        {
            "iss": each.iss,
            "client_id": each.client_id,
            "label": each.label,
            "store": each.store,
            "exchange": each.exchange,
            "auth": each.auth,
        }
        for each in Issuers(_home()).all()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['iss']}  {row['client_id']}  {row['label']}{_notes(row)}")


def _notes(row: dict[str, Any]) -> str:
    return "".join(f"  ({name})" for name in ("store", "exchange") if row[name])


@app_group.command("registration")
def registration() -> None:
    """Print, as JSON, what an operator needs to register the app; its worker and exchange are for the store."""
    app_url = (
        os.environ.get("BATON_APP_URL") or f"http://127.0.0.1:{os.environ.get('BATON_PORT_APP') or 8001}"
    ).rstrip("/")
    jwks = prepare_keys(_home()).public_jwks()
    app = {
        "client_name": "Baton",
        "launch_url": f"{app_url}/launch",
        "redirect_uris": [f"{app_url}/callback"],
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": " ".join(("launch", "launch/patient", *app_scopes(store=True))),
        "jwks_file": str(_home() / PUBLIC_FILE),
        "jwks": jwks,
    }
    worker = {
        "client_name": "Baton worker",
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"],
        "scope": " ".join(worker_scopes()),
        "jwks": jwks,
    }
    exchange = {
        "client_name": "Baton, launched by another EHR",
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["urn:ietf:params:oauth:grant-type:token-exchange"],
        "scope": " ".join(exchange_scopes()),
        "jwks": jwks,
    }
    click.echo(json.dumps({"app": app, "worker": worker, "exchange": exchange}, indent=2))


def _home() -> Path:
    return Path(os.environ.get("BATON_HOME") or "var").resolve()
