"""`baton user`: the accounts of staff, for the server's own pages."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from server.auth import accounts
from server.auth import external_identities as identities
from server.auth.context import AuthContext
from server.auth.second_factor import is_enrolled
from server.auth.sessions import fhir_user
from server.command_context import command_context
from server.storage.authorization import UserRow

# Letters and digits without those that are mistaken for each other: 23 of 56 are more than 133 bits.
_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_GENERATED = 23
# One line of the longest password, in UTF-8, and then some: a wrong file is not read whole.
_MOST_READ = 8192

password_option = click.option(
    "--password-file",
    type=click.File("rb"),
    metavar="FILE",
    help="Its first line is the password; - for standard input. Without it one is made and printed this once.",
)


@click.group()
def user() -> None:
    """Make accounts of staff, list them, shut them out.

    A change takes effect at once in every process of a running server; none needs a restart.
    """


@user.command("add")
@click.argument("username")
@click.option("--role", required=True, help="What the person may do; an unknown one is answered with the list.")
@click.option(
    "--practitioner",
    metavar="Practitioner/ID",
    default="",
    help="Whom the person acts as; without it the user/ scopes of apps reach nothing.",
)
@click.option("--name", default="", help="Shown to people on the pages.")
@password_option
def add(username: str, role: str, practitioner: str, name: str, password_file: IO[bytes] | None) -> None:
    """Make an account and print it as JSON. A generated password is shown this once.

    \b
    Examples:
      baton user add a.nurse --role rn --practitioner Practitioner/123 --name "A. Nurse, RN"
      baton user add ops --role engineer --name Operations --password-file - < password
    """
    with _told() as context:
        password, made = chosen_password(password_file)
        row = accounts.add_account(context, username, password, role=role, practitioner=practitioner, name=name)
    shown = _description(context, row)
    click.echo(json.dumps(shown | ({"password": password} if made else {}), indent=2, ensure_ascii=False))


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def list_(as_json: bool) -> None:
    """List all accounts, disabled ones too."""
    context = command_context()
    rows = [_description(context, row) for row in context.rows.users()]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        shown = ("username", "role", "state", "practitioner", "name", "second_factor")
        click.echo("\t".join(row[column] for column in shown))


@user.command("disable")
@click.argument("username")
def disable(username: str) -> None:
    """Shut somebody out at once: sessions, grants and tokens end in every process."""
    with _told() as context:
        accounts.disable_account(context, username)
    click.echo("disabled")


@user.command("enable")
@click.argument("username")
def enable(username: str) -> None:
    """Let somebody in again, with the password of before; a lock after failed sign-ins is lifted."""
    with _told() as context:
        accounts.enable_account(context, username)
    click.echo("enabled")


@user.command("password")
@click.argument("username")
@password_option
def password(username: str, password_file: IO[bytes] | None) -> None:
    """Set another password and end what was begun with the old one. A generated one is printed alone."""
    with _told() as context:
        value, made = chosen_password(password_file)
        accounts.change_password(context, username, value)
    click.echo(value if made else "changed")


@user.command("role")
@click.argument("username")
@click.argument("role")
def role(username: str, role: str) -> None:
    """Give an account another role; sessions, grants and tokens of the old one end."""
    with _told() as context:
        accounts.change_role(context, username, role)
    click.echo("changed")


@user.command("reset-second-factor")
@click.argument("username")
def reset_second_factor(username: str) -> None:
    """Take the second factor of somebody who has lost it; sessions, grants and tokens end.

    Make sure by another way that it is that person who asks. The next sign-in sets up another one where the
    role needs it.
    """
    with _told() as context:
        removed = accounts.reset_second_factor(context, username)
    click.echo("reset" if removed else "there was none")


@user.command("link")
@click.argument("username")
@click.option("--issuer", required=True, help="The OpenID provider, as it calls itself: BATON_OIDC_ISSUER.")
@click.option("--subject", required=True, help="Who the person is there: `sub` of its id tokens.")
@click.option("--no-password", is_flag=True, help="Take the local password away: only the provider signs in.")
def link(username: str, issuer: str, subject: str, no_password: bool) -> None:
    """Let somebody sign in by an OpenID provider.

    \b
    Example:
      baton user link a.nurse --issuer https://login.hospital.example --subject 248289761001 --no-password
    """
    with _told() as context:
        identities.link(context, username, issuer, subject, password=not no_password)
    click.echo("linked")


@user.command("unlink")
@click.argument("username")
@click.option("--issuer", required=True, help="The OpenID provider, as it calls itself.")
def unlink(username: str, issuer: str) -> None:
    """Let somebody sign in by an OpenID provider no more; sessions end."""
    with _told() as context:
        identities.unlink(context, username, issuer)
    click.echo("unlinked")


@contextmanager
def _told() -> Iterator[AuthContext]:
    """The context of a command; what the account refuses is told to the operator."""
    try:
        yield command_context()
    except accounts.AccountError as error:
        raise click.ClickException(str(error)) from None


def chosen_password(file: IO[bytes] | None, choice: Callable[[str], str] = secrets.choice) -> tuple[str, bool]:
    """The password, and whether it was made here."""
    if file is None:
        return "".join(choice(_LETTERS) for _ in range(_GENERATED)), True
    try:
        return file.readline(_MOST_READ).decode("utf-8").rstrip("\r\n"), False
    except (UnicodeDecodeError, OSError):
        raise click.ClickException("the password file cannot be read as UTF-8 text") from None


def _description(context: AuthContext, row: UserRow) -> dict[str, Any]:
    locked = accounts.is_locked(context, row.username)
    return {
        "username": row.username,
        "name": row.display,
        "role": row.role,
        "practitioner": fhir_user(row) or "",
        "state": "disabled" if row.disabled else "locked" if locked else "enabled",
        "has_password": bool(row.password_hash),
        "second_factor": "on" if is_enrolled(context, row.username) else "off",
        "identities": [
            {"issuer": identity.issuer, "subject": identity.subject}
            for identity in context.store.sign_in.identities(row.username)
        ],
    }
