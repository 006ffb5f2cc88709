"""`baton audit`: who did what, and whether the record of it is whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from server.audit_verification import Report, verify
from server.auth.audit_heads import HeadError, key_thumbprints, note_end, noted_end
from server.auth.context import record
from server.auth.keys import SigningKeyError, signing_keys
from server.command_context import command_context, command_settings, plain_words, require_schema
from server.interactions.audit import is_id
from server.settings import Settings
from server.storage import DatabaseUrlError, open_store
from server.storage.audit_chain import ChainEnd
from server.storage.interface import AuditQuery, AuditRow
from server.workers.sealing import HEAD_FILE

_FILE = click.Path(dir_okay=False, path_type=Path)
_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.group()
def audit() -> None:
    """The audit trail: check that it is whole, and search it."""


@audit.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
@click.option(
    "--head",
    "heads",
    type=_FILE,
    multiple=True,
    help="Compare with an end of the chain noted earlier; repeatable.",
)
@click.option("--note", type=_FILE, help="Note the end of the chain in this file. Keep it on another machine.")
@click.option("--jwks", type=_FILE, help="Trust these signing keys (a JWKS) as well, such as retired ones.")
@click.option(
    "--known-malformed",
    type=click.IntRange(0),
    default=0,
    help="So many notes of unreadable rows were looked into before; only more are a finding.",
)
def verify_command(
    as_json: bool, heads: tuple[Path, ...], note: Path | None, jwks: Path | None, known_malformed: int
) -> None:
    """Check every row of the audit trail against its hash, its number and the signed heads.

    Runs beside a server. Exit 0 when all is as it was written, 2 when not; docs/explanation/audit.md says what
    each finding means. Without --head, what was cut off the end is found only where the worker's own note of
    the head, in BATON_HOME, is newer.

    \b
    Examples:
      baton audit verify --note /mnt/other/audit-head.json
      baton audit verify --head /mnt/other/audit-head.json
    """
    settings = command_settings()
    with plain_words(DatabaseUrlError, HeadError, SigningKeyError):
        store = open_store(settings.database_url)
        require_schema(store)
        folder = settings.home / "audit"
        with _bar() as progress:
            report = verify(
                store.database,
                folder,
                _trusted(settings, jwks),
                noted=_noted((*heads, *(path for path in [folder / HEAD_FILE] if path.exists()))),
                progress=progress,
            )
        store.close()
    if report.waiting.malformed + report.malformed > known_malformed:
        report.found(0, f"{report.malformed} rows could not be read; they are noted as `audit-malformed`")
    if note is not None:
        with plain_words(DatabaseUrlError, HeadError, SigningKeyError):
            note_end(note, report.end, report.head)
    click.echo(json.dumps(_document(report), indent=2) if as_json else _text(report))
    sys.exit(2 if report.finding_count else 0)


def _trusted(settings: Settings, jwks: Path | None) -> frozenset[str]:
    keys = signing_keys(settings.home, settings.secret_key)
    known = [keys.pair(key).as_dict(private=False) for key in keys.schedule()]
    if jwks is not None:
        try:
            known += json.loads(jwks.read_bytes())["keys"]
        except (ValueError, TypeError, KeyError):
            raise click.ClickException(f"{jwks.name} is no JWKS") from None
    return key_thumbprints(known)


def _noted(paths: tuple[Path, ...]) -> tuple[ChainEnd, ...]:
    return tuple(noted_end(path) for path in paths)


def _document(report: Report) -> dict[str, Any]:
    first = report.findings[0] if report.findings else None
    return {
        "rows": report.rows,
        "sealed": report.end.sequence,
        "signed": report.signed_until,
        "heads": report.heads,
        "unsealed": {"rows": report.unsealed.rows, "oldest": _moment(report.unsealed.oldest) or None},
        "segments": {
            "files": report.waiting.files,
            "rows": report.waiting.rows,
            "malformed": report.waiting.malformed,
            "oldest": _moment(report.waiting.oldest) or None,
        },
        "malformed": report.malformed,
        "head": {"sequence": report.end.sequence, "hash": report.end.hash.hex()},
        "finding_count": report.finding_count,
        "first_broken": first.sequence if first else None,
        "findings": [{"sequence": row.sequence, "finding": row.text} for row in report.findings],
    }


def _text(report: Report) -> str:
    waiting = report.unsealed.rows + report.waiting.rows
    oldest = min((moment for moment in (report.unsealed.oldest, report.waiting.oldest) if moment), default=None)
    lines = [
        f"rows      {report.rows} sealed, the first {report.signed_until} signed ({report.heads} heads)",
        f"waiting   {waiting}" + (f", the oldest since {_moment(oldest)}" if oldest else ""),
        f"head      {report.end.sequence} {report.end.hash.hex()}",
    ]
    if report.malformed or report.waiting.malformed:
        lines.append(f"malformed {report.malformed} noted, {report.waiting.malformed} waiting")
    lines += [f"FINDING   row {row.sequence}: {row.text}" for row in report.findings]
    if report.finding_count > len(report.findings):
        lines.append(f"          and {report.finding_count - len(report.findings)} more")
    return "\n".join([*lines, "ok" if not report.finding_count else f"{report.finding_count} findings"])


def _patient_id(context: click.Context, option: click.Parameter, value: str) -> str:
    id = value.removeprefix("Patient/")
    if value and not is_id(id):
        raise click.BadParameter("an id is 1 to 64 letters, digits, '-' and '.'")
    return id


@audit.command("search")
@click.option("--since", type=_MOMENT, help="Recorded at or after (UTC).")
@click.option("--until", type=_MOMENT, help="Recorded before (UTC).")
@click.option("--patient", default="", metavar="ID", callback=_patient_id, help="Whose record was touched.")
@click.option("--principal", default="", help="Who acted: Practitioner/ID, User/NAME, Client/ID.")
@click.option("--client", "client_id", default="", metavar="ID", help="Through which app.")
@click.option("--interaction", default="", help="What: read, search-type, update, login, token-issue, ...")
@click.option("--outcome", default="", help="done, refused, or an HTTP status.")
@click.option("--resource", default="", metavar="TYPE[/ID]", help="Which resource.")
@click.option("--request-id", default="", help="Of which request.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def search_command(
    since: datetime | None,
    until: datetime | None,
    patient: str,
    principal: str,
    client_id: str,
    interaction: str,
    outcome: str,
    resource: str,
    request_id: str,
    limit: int,
    as_json: bool,
) -> None:
    """Print sealed audit rows, the latest first. That somebody looked is audited, too.

    \b
    Examples:
      baton audit search --patient 123 --since 2026-01-01
      baton audit search --outcome refused --limit 20
    """
    resource_type, _, id = resource.partition("/")
    query = AuditQuery(
        since=since and since.replace(tzinfo=UTC),
        until=until and until.replace(tzinfo=UTC),
        patient=patient,
        principal=principal,
        client_id=client_id,
        interaction=interaction,
        outcome=outcome,
        resource_type=resource_type,
        id=id,
        request_id=request_id,
        count=min(limit, 500),
    )
    context = command_context()
    asked = {"patient", "principal", "client_id", "interaction", "outcome", "request_id"}
    record(
        context,
        "audit-search",
        200,
        principal="operator",
        patient=query.patient,
        detail=" ".join(sorted(name for name in asked if getattr(query, name))),
    )
    with plain_words(DatabaseUrlError, HeadError, SigningKeyError):
        for sequence, row in _rows(context.store.search_audit, query, limit):
            click.echo(_json_line(sequence, row) if as_json else _line(sequence, row))


def _rows(search: Callable[[AuditQuery], Any], query: AuditQuery, limit: int) -> Iterator[tuple[int, AuditRow]]:
    while limit > 0:
        page = search(query)
        yield from page.rows[:limit]
        limit -= len(page.rows)
        if page.next_after is None:
            return
        query = replace(query, after=page.next_after)


def _line(sequence: int, row: AuditRow) -> str:
    resource = "/".join(part for part in (row.resource_type, row.id) if part)
    what = f"{row.interaction} {resource}".rstrip()
    who = (row.principal, row.client_id)
    cells = (str(sequence), _moment(row.recorded), *who, what, str(row.outcome), row.patient)
    return "\t".join(cell or "-" for cell in cells)


def _json_line(sequence: int, row: AuditRow) -> str:
    return json.dumps({"sequence": sequence, **asdict(row), "recorded": _moment(row.recorded)})


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on the terminal, told of (done, whole)."""
    with click.progressbar(length=1, label="Checking", file=sys.stderr) as bar:

        def progress(done: int, whole: int) -> None:
            bar.length = max(whole, 1)
            bar.update(done - bar.pos)

        yield progress
