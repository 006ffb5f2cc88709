"""`baton link`: who users and patients of other EHRs are here."""

from __future__ import annotations

import json
from typing import Any

import click

from server.auth.identity_links import LinkError, confirm, end
from server.command_context import command_context
from server.storage.identity_link_rows import KINDS, PROPOSED, REFUSED, REVOKED, STATES, LinkKind, LinkRow

_LIMIT = 1_000


@click.group()
def link() -> None:
    """Link users and patients of trusted EHRs with accounts and Patients here; list, refuse and revoke links.

    The operator answers for a link made here: compare name, birth date and numbers first. A change takes
    effect at once in every process of a running server.
    """


@link.command("patient")
@click.argument("issuer")
@click.argument("there")
@click.argument("here")
def patient(issuer: str, there: str, here: str) -> None:
    """The Patient with id THERE at ISSUER is our Patient with id HERE."""
    _confirm("patient", issuer, there, here.removeprefix("Patient/"))


@link.command("staff")
@click.argument("issuer")
@click.argument("there")
@click.argument("username")
def staff(issuer: str, there: str, username: str) -> None:
    """THERE (Practitioner/ID, PractitionerRole/ID or npi|NUMBER) at ISSUER is our account USERNAME."""
    _confirm("staff", issuer, there, username)


@link.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="Only these.")
@click.option("--state", type=click.Choice(STATES), help="Only these.")
@click.option("--issuer", help="Only of this EHR.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def list_(kind: str | None, state: str | None, issuer: str | None, as_json: bool) -> None:
    """List links, the newest first."""
    wanted = {"kind": kind, "state": state, "issuer": issuer}
    given = {name: value for name, value in wanted.items() if value}
    rows = command_context().store.identity_links.links(limit=_LIMIT, **given)
    if as_json:
        click.echo(json.dumps([_description(row) for row in rows], indent=2))
        return
    for row in rows:
        click.echo(f"{row.link_id}\t{row.kind}\t{row.state}\t{row.issuer}\t{row.there}\t{row.here}")


@link.command("refuse")
@click.argument("link_id")
def refuse(link_id: str) -> None:
    """Refuse a proposal; a new launch proposes it again."""
    _end(link_id, REFUSED, PROPOSED)


@link.command("revoke")
@click.argument("link_id")
def revoke(link_id: str) -> None:
    """Revoke a link at once: what was exchanged by it ends in every process."""
    _end(link_id, REVOKED, "confirmed")


def _confirm(kind: LinkKind, issuer: str, there: str, here: str) -> None:
    try:
        row = confirm(
            command_context(), kind, issuer, there, here, principal="operator", made={"by": "command"}
        )
    except LinkError as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps(_description(row), indent=2))


def _end(link_id: str, state: str, before: str) -> None:
    if not end(command_context(), link_id, state, principal="operator"):
        raise click.ClickException(f"there is no such link that is {before}; `baton link list` shows them")
    click.echo(state)


def _description(row: LinkRow) -> dict[str, Any]:
    return {
        "link_id": row.link_id,
        "kind": row.kind,
        "state": row.state,
        "issuer": row.issuer,
        "there": row.there,
        "here": row.here,
        "created": row.created.isoformat(),
        "created_by": row.created_by,
        "decided": row.decided.isoformat() if row.decided else None,
        "decided_by": row.decided_by,
        "made": dict(row.made),
    }
