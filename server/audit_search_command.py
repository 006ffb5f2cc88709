"""`baton audit search`, `export` and `disclosures`: what the sealed audit trail tells, for the operator.

Each look is audited before anything is printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import click

from server.auth.audit_heads import HeadError
from server.auth.context import AuthContext, record
from server.auth.keys import SigningKeyError
from server.command_context import command_context, command_settings, plain_words
from server.disclosures import Disclosure, as_csv, disclosures, organization_names
from server.fhir.json_codec import encode
from server.interactions.audit import is_id
from server.interactions.audit_event import audit_event
from server.policy.disclosures import accounting
from server.storage import DatabaseUrlError
from server.storage.audit_values import AuditQuery, AuditRow
from server.storage.interface import Store

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])
_PAGE = 500
# Fields of AuditQuery whose names are noted when somebody looks.
_NOTED = (
    "client_id",
    "interaction",
    "organization",
    "outcome",
    "patient",
    "principal",
    "request_id",
    "username",
)

Command = Callable[..., None]


def _patient_id(context: click.Context, option: click.Parameter, value: str) -> str:
    id = value.removeprefix("Patient/")
    if value and not is_id(id):
        raise click.BadParameter("an id is 1 to 64 letters, digits, '-' and '.'")
    return id


_FILTERS = (
    click.option("--since", type=_MOMENT, help="Recorded at or after (UTC)."),
    click.option("--until", type=_MOMENT, help="Recorded before (UTC)."),
    click.option("--patient", default="", metavar="ID", callback=_patient_id, help="Whose record was touched."),
    click.option("--principal", default="", help="Who acted: Practitioner/ID, User/NAME, Client/ID."),
    click.option("--user", "username", default="", metavar="NAME", help="By which account."),
    click.option("--partner", "organization", default="", metavar="ID", help="Which partner: Organization/ID."),
    click.option("--client", "client_id", default="", metavar="ID", help="Through which app."),
    click.option("--interaction", default="", help="What: read, search-type, update, login, token-issue, ..."),
    click.option("--outcome", default="", help="done, refused, or an HTTP status."),
    click.option("--resource", default="", metavar="TYPE[/ID]", help="Which resource."),
    click.option("--request-id", default="", help="Of which request."),
)


def _filtered(command: Command) -> Command:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.command("search")
@_filtered
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def search_command(limit: int, as_json: bool, **filters: Any) -> None:
    """Print sealed audit rows, the latest first. That somebody looked is audited, too.

    \b
    Examples:
      baton audit search --patient 123 --since 2026-01-01
      baton audit search --outcome refused --limit 20
    """
    for sequence, row in _found("audit-search", filters, limit=limit):
        click.echo(_json_line(sequence, row) if as_json else _line(sequence, row))


@click.command("export")
@_filtered
@click.option("--limit", type=click.IntRange(1), help="At most so many events.")
def export_command(limit: int | None, **filters: Any) -> None:
    """Print sealed audit rows as FHIR AuditEvents, one a line (NDJSON), the oldest first.

    \b
    Examples:
      baton audit export --since 2026-01-01 --until 2026-02-01 > january.ndjson
    """
    base_url = command_settings().fhir_base
    for sequence, row in _found("audit-export", filters, limit=limit, ascending=True):
        sys.stdout.buffer.write(encode(audit_event(sequence, row, base_url)) + b"\n")
    sys.stdout.buffer.flush()


@click.command("disclosures")
@click.argument("patient", callback=_patient_id)
@click.option("--since", type=_MOMENT, help="Recorded at or after (UTC); six years ago without it.")
@click.option("--until", type=_MOMENT, help="Recorded before (UTC).")
@click.option("--all", "everything", is_flag=True, help="Treatment, payment and operations as well.")
@click.option("--json", "form", flag_value="json", help="One JSON object a line.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated values with a heading.")
def disclosures_command(
    patient: str, since: datetime | None, until: datetime | None, everything: bool, form: str | None
) -> None:
    """Print the accounting of disclosures of PATIENT, an id: who outside got what, when and for which purpose.

    Without --all only what 45 CFR 164.528 counts: not for treatment, payment and health care operations.

    \b
    Examples:
      baton audit disclosures 123
      baton audit disclosures 123 --since 2026-01-01 --all --csv > disclosures.csv
    """
    if not patient:
        raise click.BadParameter("an id is expected", param_hint="PATIENT")
    settings = command_settings()
    with plain_words(DatabaseUrlError, HeadError, SigningKeyError):
        context = command_context()
        detail = "everything" if everything else ""
        record(context, "disclosures-read", 200, principal="operator", patient=patient, detail=detail)
        first = _utc(since) or accounting().since(context.clock())
        found = list(disclosures(context.store, patient, since=first, until=_utc(until), everything=everything))
        from server.app import make_context  # the whole server, which the other commands do without

        names = dict(
            organization_names(make_context(settings, context.store), {one.recipient for one in found})
        )
        for line in _accounting(found, names, form):
            click.echo(line, nl=False)


def _accounting(found: Iterable[Disclosure], names: dict[str, str], form: str | None) -> Iterator[str]:
    if form == "csv":
        yield from as_csv(found, names)
        return
    for one in found:
        name = names.get(one.recipient, "")
        if form == "json":
            yield json.dumps({"recipient_name": name, **asdict(one)}) + "\n"
            continue
        counts = f"not counted: {one.excluded}" if one.excluded else ""
        cells = (one.recorded, name or one.recipient, one.person or one.app, one.what, str(one.resources))
        yield "\t".join(cell or "-" for cell in (*cells, one.purpose_text, counts)).removesuffix("\t-") + "\n"


def _found(
    event: str, filters: dict[str, Any], *, limit: int | None, ascending: bool = False
) -> Iterator[tuple[int, AuditRow]]:
    resource_type, _, id = filters.pop("resource").partition("/")
    given: dict[str, Any] = {
        name: _utc(value) if isinstance(value, datetime) else value for name, value in filters.items()
    }
    count = min(limit or _PAGE, _PAGE)
    query = AuditQuery(**given, resource_type=resource_type, id=id, count=count, ascending=ascending)
    context = _noted(event, query)
    with plain_words(DatabaseUrlError, HeadError, SigningKeyError):
        yield from _rows(context.store, query, limit)


def _noted(event: str, query: AuditQuery) -> AuthContext:
    context = command_context()
    record(
        context,
        event,
        200,
        principal="operator",
        patient=query.patient,
        detail=" ".join(name for name in _NOTED if getattr(query, name)),
    )
    return context


def _rows(store: Store, query: AuditQuery, limit: int | None) -> Iterator[tuple[int, AuditRow]]:
    left = limit
    while left is None or left > 0:
        page = store.search_audit(query)
        yield from page.rows[:left]
        left = None if left is None else left - len(page.rows)
        if page.next_after is None:
            return
        query = replace(query, after=page.next_after)


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(tzinfo=UTC)


def _line(sequence: int, row: AuditRow) -> str:
    resource = "/".join(part for part in (row.resource_type, row.id) if part)
    what = f"{row.interaction} {resource}".rstrip()
    who = (row.principal, row.client_id)
    cells = (str(sequence), moment(row.recorded), *who, what, str(row.outcome), row.patient)
    return "\t".join(cell or "-" for cell in cells)


def _json_line(sequence: int, row: AuditRow) -> str:
    return json.dumps({"sequence": sequence, **asdict(row), "recorded": moment(row.recorded)})


def moment(at: datetime | None) -> str:
    """A moment as it is printed, "" for none."""
    return "" if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
