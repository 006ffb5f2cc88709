"""`baton partner`: organisations that exchange records with this one, their agreements, systems and people."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click

from server.auth import partner_changes
from server.auth.accounts import AccountError
from server.auth.actor import OPERATOR
from server.auth.clients import ASYMMETRIC, Registration, RegistrationError, description
from server.auth.context import AuthContext
from server.auth.partner_changes import PartnerError
from server.auth.partner_description import described, lines
from server.command_context import command_context, plain_words
from server.partner_organization import require_organization
from server.policy.partner_agreements import agreement_kinds, partner_kinds, purposes_of_use
from server.storage.partners import Agreement, PartnerQuery, PartnerRow
from server.user_command import chosen_password, password_option

_DAY = click.DateTime(formats=["%Y-%m-%d"])
_PAGE = 200
_JSON = click.option("--json", "as_json", is_flag=True, help="Report as JSON.")


@click.group()
def partner() -> None:
    """Take on partner organisations, see them, shut them out.

    A partner is a home health agency, a food bank, a payer ... with an agreement, a purpose of use, and systems
    or people that ask in its name. A change takes effect at once in every process of a running server.
    """


@partner.command("add")
@click.argument("partner_id")
@click.option("--name", required=True, help="The organisation's name.")
@click.option("--kind", required=True, type=click.Choice(list(partner_kinds())))
@click.option(
    "--purpose",
    required=True,
    type=click.Choice(list(purposes_of_use())),
    help="For which it asks: v3 PurposeOfUse.",
)
@click.option("--organization", metavar="Organization/ID", help="Its Organization here; one is made otherwise.")
@click.option("--contact", "contacts", metavar="TEXT", multiple=True, help="Whom to reach, a line each.")
@click.option(
    "--agreement", type=click.Choice(list(agreement_kinds())), help="What was signed; invited without."
)
@click.option("--from", "starts", type=_DAY, help="First day of the agreement (UTC).")
@click.option("--until", "ends", type=_DAY, help="Last day of the agreement.")
@click.option("--document", default="", help="Where the signed paper is found.")
@_JSON
def add(
    partner_id: str,
    name: str,
    kind: str,
    purpose: str,
    organization: str | None,
    contacts: tuple[str, ...],
    agreement: str | None,
    starts: datetime | None,
    ends: datetime | None,
    document: str,
    as_json: bool,
) -> None:
    """Take on a partner under a short name of your choice.

    \b
    Examples:
      baton partner add sunrise --name "Sunrise Home Health" --kind home-health --purpose TREAT \\
          --agreement treatment --from 2026-01-01 --contact "Intake desk, +1 555 0100"
      baton partner add pantry --name "County Food Bank" --kind food-bank --purpose COC
    """
    with _told() as context:
        signed = () if agreement is None else (_agreement(agreement, starts, ends, document),)
        if agreement is None and (starts or ends or document):
            raise click.UsageError("--from, --until and --document belong to an --agreement")
        with context.store.writing():
            row = partner_changes.add_partner(
                context,
                OPERATOR,
                partner_id,
                name=name,
                kind=kind,
                purpose=purpose,
                organization_id=(organization or f"partner-{partner_id}").removeprefix("Organization/"),
                agreements=signed,
                contacts=contacts,
            )
            require_organization(context, row, is_new=organization is None)
        _tell(context, row, as_json)


@partner.command("agree")
@click.argument("partner_id")
@click.option("--agreement", required=True, type=click.Choice(list(agreement_kinds())), help="What was signed.")
@click.option("--from", "starts", required=True, type=_DAY, help="Its first day (UTC).")
@click.option("--until", "ends", type=_DAY, help="Its last day.")
@click.option("--document", default="", help="Where the signed paper is found.")
@_JSON
def agree(
    partner_id: str, agreement: str, starts: datetime, ends: datetime | None, document: str, as_json: bool
) -> None:
    """Keep an agreement that was signed. An invited partner becomes active.

    One of the same kind and first day is replaced: give it its last day so.
    """
    with _told() as context:
        signed = _agreement(agreement, starts, ends, document)
        _tell(context, partner_changes.agree(context, OPERATOR, partner_id, signed), as_json)


@partner.command("list")
@click.option("--state", type=click.Choice(partner_changes.STATES), default=None)
@click.option("--kind", type=click.Choice(list(partner_kinds())), default=None)
@_JSON
def list_(state: str | None, kind: str | None, as_json: bool) -> None:
    """List all partners, ended ones too."""
    with _told() as context:
        rows = list(_all(context, PartnerQuery(state=state or "", kind=kind or "", count=_PAGE)))
    if as_json:
        click.echo(json.dumps([described(row) for row in rows], indent=2, ensure_ascii=False))
        return
    for row in rows:
        click.echo("\t".join((row.partner_id, row.state, row.kind, row.purpose, row.organization, row.name)))


@partner.command("show")
@click.argument("partner_id")
@_JSON
def show(partner_id: str, as_json: bool) -> None:
    """One partner with its agreements, systems, people and the states it went through."""
    with _told() as context:
        row = context.store.partners.partner(partner_id)
        if row is None:
            raise PartnerError("there is no such partner; `baton partner list` shows them")
        _tell(context, row, as_json)


@partner.command("suspend")
@click.argument("partner_id")
@click.option("--reason", required=True, help="Kept with the partner.")
@_JSON
def suspend(partner_id: str, reason: str, as_json: bool) -> None:
    """Shut a partner out at once: its tokens end everywhere, its clients and accounts are disabled."""
    with _told() as context:
        _tell(context, partner_changes.suspend(context, OPERATOR, partner_id, reason), as_json)


@partner.command("resume")
@click.argument("partner_id")
@click.option("--reason", default="", help="Kept with the partner.")
@_JSON
def resume(partner_id: str, reason: str, as_json: bool) -> None:
    """Let a suspended partner in again, with the clients and accounts of before; tokens do not come back."""
    with _told() as context:
        _tell(context, partner_changes.resume(context, OPERATOR, partner_id, reason), as_json)


@partner.command("end")
@click.argument("partner_id")
@click.option("--reason", required=True, help="Kept with the partner.")
@_JSON
def end(partner_id: str, reason: str, as_json: bool) -> None:
    """Shut a partner out for good. Its organisation may be taken on anew, under another short name."""
    with _told() as context:
        _tell(context, partner_changes.end(context, OPERATOR, partner_id, reason), as_json)


@partner.command("add-client")
@click.argument("partner_id")
@click.option("--name", required=True, help="Of the system.")
@click.option("--scope", required=True, help="The most it may be granted, space-separated.")
@click.option(
    "--jwks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with its public keys as a JWKS (RS384 or ES384).",
)
@click.option("--jwks-uri", metavar="URL", help="Where it publishes that JWKS instead.")
@click.option(
    "--redirect-uri", "redirect_uris", metavar="URL", multiple=True, help="For people to sign in to it."
)
@click.option("--client-id", metavar="ID", help="Chosen id; a random one otherwise.")
@_JSON
def add_client(
    partner_id: str,
    name: str,
    scope: str,
    jwks: Path | None,
    jwks_uri: str | None,
    redirect_uris: tuple[str, ...],
    client_id: str | None,
    as_json: bool,
) -> None:
    """Register a system of a partner. It signs in with its own key (private_key_jwt). Keys that it publishes by
    URL are fetched when the system first asks for a token.

    \b
    Examples:
      baton partner add-client sunrise --name "Sunrise records" --jwks keys.json --scope "system/Task.rus"
      baton partner add-client sunrise --name "Sunrise records" --jwks-uri https://sunrise.example/jwks.json \\
          --scope "system/Task.rus system/Patient.rs"
    """
    if (jwks is None) == (jwks_uri is None):
        raise click.UsageError("give the system's keys: one of --jwks, --jwks-uri")
    with _told() as context:
        registration = Registration(
            client_id=client_id or str(uuid.uuid4()),
            name=name,
            kind=ASYMMETRIC,
            scope=scope,
            backend=not redirect_uris or "system/" in scope,
            redirect_uris=redirect_uris,
            jwks=_read_key_set(jwks) if jwks is not None else None,
            jwks_uri=jwks_uri or "",
        )
        row = partner_changes.add_partner_client(context, OPERATOR, partner_id, registration)
    click.echo(json.dumps(description(row), indent=2) if as_json else row.client_id)


@partner.command("add-user")
@click.argument("partner_id")
@click.argument("username")
@click.option(
    "--role", default="partner", show_default=True, help="One that policy has for people of partners."
)
@click.option("--practitioner", metavar="Practitioner/ID", default="", help="Whom the person acts as.")
@click.option("--name", default="", help="Shown to people on the pages.")
@password_option
@_JSON
def add_user(
    partner_id: str,
    username: str,
    role: str,
    practitioner: str,
    name: str,
    password_file: IO[bytes] | None,
    as_json: bool,
) -> None:
    """Make an account for somebody of a partner. A generated password is shown this once.

    \b
    Example:
      baton partner add-user sunrise intake.sunrise --practitioner Practitioner/123 --name "Intake desk"
    """
    with _told() as context:
        password, made = chosen_password(password_file)
        row = partner_changes.add_partner_user(
            context, OPERATOR, partner_id, username, password, role=role, practitioner=practitioner, name=name
        )
    shown: dict[str, Any] = {"username": row.username, "role": row.role, "partner": partner_id}
    if made:
        shown["password"] = password
    click.echo(json.dumps(shown, indent=2) if as_json else "\t".join(shown.values()))


@contextmanager
def _told() -> Iterator[AuthContext]:
    """The context of a command; what is refused is told to the operator."""
    with plain_words(PartnerError, AccountError, RegistrationError):
        yield command_context()


def _agreement(kind: str, starts: datetime | None, ends: datetime | None, document: str) -> Agreement:
    if starts is None:
        raise click.UsageError("an agreement has a first day: --from")
    return Agreement(kind, starts.date(), ends.date() if ends else None, document.strip())


def _read_key_set(path: Path) -> dict[str, Any]:
    try:
        key_set: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError):
        raise click.ClickException(f"{path} cannot be read as JSON") from None
    return key_set


def _all(context: AuthContext, query: PartnerQuery) -> Iterator[PartnerRow]:
    while True:
        page = context.store.partners.page(query)
        yield from page.rows
        if page.next_after is None:
            return
        query = replace(query, after=page.next_after)


def _tell(context: AuthContext, row: PartnerRow, as_json: bool) -> None:
    members = context.store.partners.all_members(row.partner_id)
    if as_json:
        click.echo(json.dumps(described(row, members), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(row, members)))
