"""`baton audit retention` and `archive`: what is older than it has to be, and taking it out of the database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from server.audit_archive import NO_ROW, NOTE_FILE, ArchiveError, read_archive, write_archive
from server.audit_search_command import moment
from server.auth.audit_heads import HeadError, note_end, noted_end
from server.auth.context import record
from server.auth.keys import SigningKeyError
from server.command_context import command_context, command_settings, plain_words, require_schema
from server.policy.audit_retention import kept_since, retention_years
from server.storage import DatabaseUrlError, open_store
from server.storage.audit_archive import aged, archivable, remove
from server.storage.audit_chain import ChainEnd

_FILE = click.Path(dir_okay=False, path_type=Path)
_ERRORS = (DatabaseUrlError, HeadError, SigningKeyError, ArchiveError)


def archived_end(home: Path) -> ChainEnd:
    """How far the chain was archived: before row 1 where it never was. Raises: OSError, HeadError."""
    path = home / NOTE_FILE
    return noted_end(path) if path.exists() else NO_ROW


@click.command("retention")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def retention_command(as_json: bool) -> None:
    """Say how many audit rows are older than they have to be kept. Nothing is changed."""
    settings = command_settings()
    with plain_words(*_ERRORS):
        store = open_store(settings.database_url)
        require_schema(store)
        since = kept_since(datetime.now(UTC))
        old = aged(store.database, since)
        end = archived_end(settings.home)
        store.close()
    document = {
        "years": retention_years(),
        "kept_since": moment(since),
        "older": old.rows,
        "oldest": moment(old.oldest) or None,
        "archived": end.sequence,
    }
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    oldest = f", the oldest of {moment(old.oldest)}" if old.oldest else ""
    click.echo(f"kept      {retention_years()} years: since {moment(since)}")
    click.echo(f"older     {old.rows} rows{oldest}")
    click.echo(f"archived  as far as row {end.sequence}" if end.sequence else "archived  nothing")


@click.command("archive")
@click.argument("file", type=_FILE)
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Only rows recorded before this day (UTC); without it, all that are older than they have to be kept.",
)
def archive_command(file: Path, before: datetime | None) -> None:
    """Move the beginning of the audit trail into FILE, as far as a signed head. Keep the file: rows are nowhere
    else.

    FILE is checked before anything is removed. `baton audit verify --archive FILE` checks it again, with all
    the files before it. Runs beside a server; when it is interrupted, run it again with another FILE name or
    none.

    \b
    Examples:
      baton audit archive /archive/audit-2026.jsonl.gz
    """
    settings = command_settings()
    with plain_words(*_ERRORS):
        context = command_context()
        store = open_store(settings.database_url)
        since = kept_since(context.clock())
        chosen = before.replace(tzinfo=UTC) if before else since
        if chosen > since:
            raise click.BadParameter(f"rows recorded since {moment(since)} are kept", param_hint="--before")
        after = archived_end(settings.home)
        if after.sequence:
            remove(store.database, after.sequence)  # what an interrupted run left
        head = archivable(store.database, chosen)
        if head is None:
            raise click.ClickException("There is nothing to archive: no signed head is over old rows alone.")
        write_archive(store.database, file, after, head)
        written = read_archive(file)
        detail = f"rows={written.rows} until={written.end.sequence}"
        record(context, "audit-archive", 200, principal="operator", detail=detail)
        note_end(settings.home / NOTE_FILE, written.end, head)
        removed = remove(store.database, written.end.sequence)
        store.close()
    click.echo(f"{removed} rows, as far as row {written.end.sequence}, are in {file}")
