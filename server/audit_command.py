"""`baton audit`: who did what, and whether the record of it is whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from server.audit_archive import ArchiveError, joined, read_archive
from server.audit_archive_command import archive_command, archived_end, retention_command
from server.audit_search_command import disclosures_command, export_command, moment, search_command
from server.audit_verification import Report, verify
from server.auth.audit_heads import HeadError, key_thumbprints, note_end, noted_end
from server.auth.keys import SigningKeyError, signing_keys
from server.command_context import command_settings, plain_words, require_schema
from server.settings import Settings
from server.storage import DatabaseUrlError, open_store
from server.storage.audit_chain import ChainEnd
from server.workers.sealing import HEAD_FILE

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """The audit trail: check that it is whole, search it, account for disclosures."""


for command in (search_command, export_command, disclosures_command, retention_command, archive_command):
    audit.add_command(command)


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
    "--archive",
    "archives",
    type=_FILE,
    multiple=True,
    help="Check these archives as well, which together must be the beginning of the chain; repeatable.",
)
@click.option(
    "--known-malformed",
    type=click.IntRange(0),
    default=0,
    help="So many notes of unreadable rows were looked into before; only more are a finding.",
)
def verify_command(
    as_json: bool,
    heads: tuple[Path, ...],
    note: Path | None,
    jwks: Path | None,
    archives: tuple[Path, ...],
    known_malformed: int,
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
    with plain_words(DatabaseUrlError, HeadError, SigningKeyError, ArchiveError):
        archived = archived_end(settings.home)
        read = [read_archive(path) for path in archives]
        if read:
            joined(read, max((archived, *(one.end for one in read)), key=lambda end: end.sequence))
            archived = max((one.end for one in read), key=lambda end: end.sequence)
        store = open_store(settings.database_url)
        require_schema(store)
        folder = settings.home / "audit"
        with _bar() as progress:
            report = verify(
                store.database,
                folder,
                _trusted(settings, jwks),
                archived=archived,
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
        "archived": report.archived,
        "sealed": report.end.sequence,
        "signed": report.signed_until,
        "heads": report.heads,
        "unsealed": {"rows": report.unsealed.rows, "oldest": moment(report.unsealed.oldest) or None},
        "segments": {
            "files": report.waiting.files,
            "rows": report.waiting.rows,
            "malformed": report.waiting.malformed,
            "oldest": moment(report.waiting.oldest) or None,
        },
        "malformed": report.malformed,
        "head": {"sequence": report.end.sequence, "hash": report.end.hash.hex()},
        "finding_count": report.finding_count,
        "first_broken": first.sequence if first else None,
        "findings": [{"sequence": row.sequence, "finding": row.text} for row in report.findings],
    }


def _text(report: Report) -> str:
    waiting = report.unsealed.rows + report.waiting.rows
    oldest = min((at for at in (report.unsealed.oldest, report.waiting.oldest) if at), default=None)
    lines = [
        f"rows      {report.rows} sealed, the first {report.signed_until} signed ({report.heads} heads)",
        f"waiting   {waiting}" + (f", the oldest since {moment(oldest)}" if oldest else ""),
        f"head      {report.end.sequence} {report.end.hash.hex()}",
    ]
    if report.archived:
        lines.append(f"archived  the first {report.archived} rows")
    if report.malformed or report.waiting.malformed:
        lines.append(f"malformed {report.malformed} noted, {report.waiting.malformed} waiting")
    lines += [f"FINDING   row {row.sequence}: {row.text}" for row in report.findings]
    if report.finding_count > len(report.findings):
        lines.append(f"          and {report.finding_count - len(report.findings)} more")
    return "\n".join([*lines, "ok" if not report.finding_count else f"{report.finding_count} findings"])


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on the terminal, told of (done, whole)."""
    with click.progressbar(length=1, label="Checking", file=sys.stderr) as bar:

        def progress(done: int, whole: int) -> None:
            bar.length = max(whole, 1)
            bar.update(done - bar.pos)

        yield progress
