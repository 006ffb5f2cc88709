"""`baton token`: access tokens made and ended by the operator of the host."""

from __future__ import annotations

import json
from datetime import timedelta

import click

from server.auth.access import resource_types
from server.auth.scopes import is_known, parse_scopes
from server.auth.tokens import Claims, mint, revoke
from server.command_context import command_context

CLIENT_ID = "baton-token"
ROLE_WITHOUT_ACCOUNT = "clinician"


@click.group()
def token() -> None:
    """Make and end access tokens, beside a running server or without one.

    Needs BATON_HOME and its secret key: whoever can read those may act as anybody. Everything is audited.
    """


@token.command("mint")
@click.option("--scope", required=True, help='SMART scopes, e.g. "patient/*.rs" or "system/Patient.rs".')
@click.option(
    "--patient", metavar="ID", help="The patient that patient/ scopes reach; without it they reach nothing."
)
@click.option(
    "--user",
    metavar="Practitioner/ID",
    help="The user that user/ scopes act for; without it they reach nothing. The role is that of the user's "
    "account here, else `clinician`.",
)
@click.option("--minutes", type=click.IntRange(1, 60 * 24 * 90), default=60, show_default=True)
def mint_command(scope: str, patient: str | None, user: str | None, minutes: int) -> None:
    """Print a new access token, alone on its line.

    \b
    Examples:
      baton token mint --scope "system/*.cruds"
      baton token mint --scope "patient/*.rs launch/patient" --patient 123
      baton token mint --scope "user/*.crus" --user Practitioner/7 --minutes 15
      curl -H "Authorization: Bearer $(baton token mint --scope system/Patient.rs)" http://127.0.0.1:8000/fhir/Patient
    """
    words = scope.split()
    unknown = [word for word in words if not is_known(word, resource_types())]
    if unknown or not words:
        raise click.ClickException(
            f"{' '.join(unknown) or 'nothing'} is no SMART scope; examples: patient/*.rs, user/Task.crus"
        )
    user = _user(user)
    patient = patient.removeprefix("Patient/") if patient else None
    levels = {parsed.level for parsed in parse_scopes(scope)}
    for level, claim, option in (("patient", patient, "--patient"), ("user", user, "--user")):
        if level in levels and claim is None:
            click.echo(f"Note: without {option} the {level}/ scopes of this token reach nothing.", err=True)
    context = command_context()
    account = next(
        (row for row in context.rows.users() if user and f"Practitioner/{row.practitioner_id}" == user), None
    )
    claims = Claims(
        client_id=CLIENT_ID,
        scope=" ".join(dict.fromkeys(words)),
        username=account.username if account else "",
        fhir_user=user,
        role=account.role if account else ROLE_WITHOUT_ACCOUNT if user else "",
        patient=patient,
    )
    click.echo(mint(context, claims, timedelta(minutes=minutes)))


def _user(user: str | None) -> str | None:
    if user is None:
        return None
    resource_type, _, id = user.rpartition("/")
    if resource_type not in ("", "Practitioner") or not id:
        raise click.ClickException("--user is Practitioner/ID: staff act in this server as Practitioners")
    return f"Practitioner/{id}"


# One token in 64 begins with a hyphen: it is no option.
@token.command("revoke", context_settings={"ignore_unknown_options": True})
@click.argument("value", metavar="TOKEN")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def revoke_command(value: str, as_json: bool) -> None:
    """End a token at once, in every process; with a refresh token everything made from its grant.

    Exit 2 when there was no such token in force.
    """
    ended = revoke(command_context(), value, principal="operator")
    if as_json:
        click.echo(json.dumps({"revoked": ended}))
    else:
        click.echo("revoked" if ended else "there was no such token in force")
    if not ended:
        raise click.exceptions.Exit(2)
