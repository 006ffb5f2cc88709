"""`baton access`: why somebody may see or write something, or may not."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

import click

from server.access_explanation import as_document, as_lines, explain
from server.app import make_context
from server.auth.access import resource_types
from server.auth.partners import PartnerClosed, acting, members
from server.auth.principal import Principal
from server.auth.scopes import is_known, parse_scopes
from server.auth.sessions import fhir_user
from server.command_context import command_settings, plain_words, require_schema
from server.fhir.bundle import METHODS
from server.interactions.request import InteractionRequest
from server.interactions.routes import find_route
from server.settings import Settings
from server.storage import DatabaseUrlError, open_store
from server.storage.interface import Store

_OF_A_PERSON = "user/*.cruds"


@click.group()
def access() -> None:
    """Who may see and write what, and why."""


@access.command("explain")
@click.option(
    "--user", "username", metavar="NAME", help="An account of staff: its role and Practitioner count."
)
@click.option("--client", "client_id", metavar="ID", help="A registered client: its scopes count.")
@click.option("--scope", help=f"Scopes in place of the client's; with --user alone {_OF_A_PERSON}.")
@click.option("--patient", metavar="ID", help="The patient of the launch, for patient/ scopes.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
@click.argument("request")
def explain_command(
    username: str | None,
    client_id: str | None,
    scope: str | None,
    patient: str | None,
    as_json: bool,
    request: str,
) -> None:
    """Print what each layer of the access decision says of REQUEST, with the rows it rests on, and the verdict.

    Nothing is read for the person: a count of matches and the names of rows are all that is shown of content.
    Exit 0 when the request is allowed, 2 when not.

    \b
    Examples:
      baton access explain --user a.nurse "GET /fhir/Observation?patient=1"
      baton access explain --user a.nurse --client app Observation/17
      baton access explain --client app --scope "patient/*.rs" --patient 1 "GET Condition"
    """
    settings = command_settings()
    with plain_words(DatabaseUrlError):
        store = open_store(settings.database_url)
        require_schema(store)
        who = _principal(store, username, client_id, scope, patient)
        context = make_context(settings, store, clock=lambda: datetime.now(UTC))
        found = explain(context, who, _asked(settings, request))
        store.close()
    described = {
        "user": who.user,
        "role": who.role,
        "client": who.client_id,
        "organization": who.organization,
        "patient": who.patient,
        "scopes": [each.written for each in who.scopes],
    }
    if as_json:
        click.echo(json.dumps(as_document(described, request, found), indent=2))
    else:
        for line in as_lines(request, found):
            click.echo(line)
    if not found.allowed:
        sys.exit(2)


def _principal(
    store: Store, username: str | None, client_id: str | None, scope: str | None, patient: str | None
) -> Principal:
    account = store.authorization.user(username) if username else None
    if username and account is None:
        raise click.ClickException("there is no such account; `baton user list` shows them")
    client = store.authorization.client(client_id) if client_id else None
    if client_id and client is None:
        raise click.ClickException("there is no such client; `baton client list` shows them")
    if not username and not client_id and not scope:
        raise click.ClickException("say who asks: --user, --client or --scope")
    for said, disabled in (("account", account and account.disabled), ("client", client and client.disabled)):
        if disabled:
            click.echo(f"Note: the {said} is disabled; no token of it is in force.", err=True)
    words = scope or (client.scope if client else _OF_A_PERSON)
    unknown = [word for word in words.split() if not is_known(word, resource_types())]
    if unknown:
        raise click.ClickException(
            f"{' '.join(unknown)} is no SMART scope; examples: patient/*.rs, user/Task.crus"
        )
    claims: dict[str, Any] = {}
    if account is not None:
        claims = {"user": fhir_user(account), "role": account.role, "username": account.username}
    try:
        partner = acting(store.partners.of(members(client_id or "", username or "")), datetime.now(UTC))
    except PartnerClosed as closed:
        raise click.ClickException(f"no token is in force: {closed}") from None
    if partner is not None:
        claims["organization"] = partner.organization
    return Principal(
        client_id or "",
        parse_scopes(words),
        patient=patient.removeprefix("Patient/") if patient else None,
        **claims,
    )


def _asked(settings: Settings, text: str) -> InteractionRequest:
    """A request as it was typed: `GET /fhir/Type/id`, a URL, or `Type/id`."""
    method, _, rest = text.strip().partition(" ")
    if method not in METHODS:
        method, rest = "GET", text.strip()
    path, _, query = rest.strip().removeprefix(settings.fhir_base).removeprefix("/fhir").partition("?")
    route = find_route(method, unquote(path.removeprefix("/")))
    if route.interaction == "bundle":
        raise click.ClickException("a Bundle is decided entry by entry: ask about one of its entries")
    return InteractionRequest(
        interaction=route.interaction,  # type: ignore[arg-type]
        resource_type=route.resource_type,
        id=route.id,
        version_id=route.version_id,
        operation=route.operation,
        query=tuple(parse_qsl(query, keep_blank_values=True)),
        compartment=route.compartment,
    )
