"""`baton backup` and `baton restore`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from server.auth.credentials import derived_key
from server.backup.home_files import RECORD
from server.backup.manifest import HOME_FOLDER, BackupError, Manifest, private_file, read_manifest
from server.backup.restore import restore, verify
from server.backup.take import Facts, Progress, back_up
from server.command_context import command_settings, plain_words, require_schema
from server.settings import Settings, SettingsError, read_settings
from server.storage import DatabaseUrlError, open_store
from server.storage.migrations import SchemaTooNew

_DEMO_KEY_FILE = "secret-key"  # a demonstration's BATON_SECRET_KEY, in its home


@click.command("backup")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def backup(folder: Path, as_json: bool) -> None:
    """Copy the whole deployment into DIR, beside a running server.

    One consistent snapshot: the database (SQLite or PostgreSQL alike), the audit trail, and the files of
    BATON_HOME with its keys and the app's sessions. DIR must not exist, or be empty; it is readable by its
    owner alone and holds patient data and keys: keep it as safe as the server. A DIR without manifest.json is
    a backup that never ended.

    Not in it are secrets that come by environment, above all BATON_SECRET_KEY: keep them elsewhere, since the
    backup's tokens and keys are of no use without it. (A demonstration has its key in BATON_HOME.)

    \b
    Example:
      baton backup /backups/$(date +%Y-%m-%d)
    """
    settings = command_settings()
    started = time.monotonic()
    with plain_words(BackupError, DatabaseUrlError, SchemaTooNew):
        store = open_store(settings.database_url)
        require_schema(store)
        with _bar("Copying") as progress:
            manifest = back_up(
                store.database, settings.home, folder, _facts(settings), progress=progress, clock=_now
            )
        store.close()
        _record(settings.home, folder, manifest)
    _report(
        {
            "directory": str(folder),
            "taken": manifest.taken.isoformat(timespec="seconds"),
            "schema": manifest.schema,
            "database": manifest.database,
            "rows": manifest.rows,
            "files": len(manifest.files),
            "bytes": manifest.size,
            "secrets_needed": list(manifest.secrets),
            "seconds": round(time.monotonic() - started, 1),
        },
        as_json,
    )


@click.command("restore")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--database-only", is_flag=True, help="Leave BATON_HOME as it is: to move between SQLite and PostgreSQL."
)
@click.option(
    "--other-secret-key",
    is_flag=True,
    help="The BATON_SECRET_KEY of the backup is lost: go on with the one given now. All tokens, sessions,"
    " client secrets and signing keys of the backup end.",
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
def restore_command(folder: Path, database_only: bool, other_secret_key: bool, as_json: bool) -> None:
    """Put the backup in DIR into BATON_HOME and an empty database.

    The whole backup is read and compared with its manifest before anything is touched. The database may be of
    the other kind than the one backed up (BATON_DATABASE_URL), so this is also the way from SQLite to
    PostgreSQL and back. A backup of an older release is brought to this one's schema; one of a newer release is
    refused, and so is a database that holds data or is in use.

    Access that was ended after the backup was taken (revoked tokens, disabled clients and accounts) is in force
    again: end it again. Exit status 2: restored, but something is to be looked at.

    \b
    Example:
      BATON_HOME=/srv/baton-new baton restore /backups/2026-11-22
    """
    started = time.monotonic()
    with plain_words(BackupError, DatabaseUrlError, SchemaTooNew):
        manifest = read_manifest(folder)
        settings = _settings_for(folder, manifest)
        same_key = _key_check(settings.secret_key) == manifest.secret_key
        if not same_key and not other_secret_key:
            raise click.ClickException(
                "BATON_SECRET_KEY is not the one of the backup, whose tokens, client secrets and signing keys"
                " need it. Give that key, or say --other-secret-key to go on without them"
            )
        with _bar("Checking") as progress:
            verify(folder, manifest, progress)
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with closing(open_store(settings.database_url)) as store, _bar("Restoring") as progress:
            schema = restore(
                folder,
                manifest,
                store.database,
                settings.home,
                with_files=not database_only,
                with_keys=same_key,
                now=_now(),
                progress=progress,
            )
    notes = list(_notes(settings, manifest, same_key))
    _report(
        {
            "directory": str(folder),
            "taken": manifest.taken.isoformat(timespec="seconds"),
            "schema": schema,
            "rows": manifest.rows,
            "notes": notes,
            "seconds": round(time.monotonic() - started, 1),
        },
        as_json,
    )
    if notes:
        sys.exit(2)


def _now() -> datetime:
    return datetime.now(UTC)


def _key_check(secret_key: bytes) -> str:
    """Tells whether a key is the backup's without giving it away: 64 bits derived from it."""
    return derived_key(secret_key, "backup check").hex()[:16]


def _facts(settings: Settings) -> Facts:
    secrets = ["BATON_SECRET_KEY"] if not (settings.home / _DEMO_KEY_FILE).exists() else []
    secrets += [name for name in ("BATON_TLS_CERT", "BATON_TLS_KEY") if os.environ.get(name)]
    return Facts(
        release=version("baton-fhir"),
        demo=settings.demo,
        secret_key=_key_check(settings.secret_key),
        settings=_told(settings),
        secrets=tuple(secrets),
    )


def _told(settings: Settings) -> dict[str, str]:
    """The settings on which stored data rests."""
    return {
        "BATON_BASE_URL": settings.base_url,
        "BATON_APP_URL": settings.app_url,
        "BATON_TIME_ZONE": settings.time_zone,
    }


def _settings_for(folder: Path, manifest: Manifest) -> Settings:
    """The settings to restore with; a demonstration brings its own secret key."""
    environment = dict(os.environ)
    key = folder / HOME_FOLDER / _DEMO_KEY_FILE
    given = environment.get("BATON_SECRET_KEY") or environment.get("BATON_SECRET_KEY_FILE")
    if manifest.demo and key.exists() and not given:
        environment["BATON_SECRET_KEY_FILE"] = str(key)
    try:
        return read_settings(environment, demo=manifest.demo)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def _notes(settings: Settings, manifest: Manifest, same_key: bool) -> Iterator[str]:
    for name, now in _told(settings).items():
        before = manifest.settings.get(name, now)
        if before != now:
            yield f"{name} was {before} when the backup was taken and is {now} now"
    if not same_key:
        yield "signing keys were left out, and no token or client secret of the backup is accepted any more"


def _record(home: Path, folder: Path, manifest: Manifest) -> None:
    """Remember the backup for `baton doctor`."""
    draft = home / f".{RECORD}.{os.getpid()}"
    draft.unlink(missing_ok=True)
    with private_file(draft) as stream:
        row = {"taken": manifest.taken.isoformat(), "directory": str(folder.resolve()), "rows": manifest.rows}
        stream.write(json.dumps(row).encode())
    draft.replace(home / RECORD)


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def begin(total: int) -> Callable[[int], None]:
            bar.length = max(total, 1)
            return bar.update

        yield begin


def _report(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    for name, value in summary.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        if shown != "":
            click.echo(f"{name.replace('_', ' '):<16} {shown}")
