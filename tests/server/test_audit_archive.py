"""Archiving the beginning of the audit trail: what stays can be verified, with the archive and without it.

Covers server/audit_archive.py, server/audit_archive_command.py, server/storage/audit_archive.py, and what
server/audit_verification.py makes of an archived beginning.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server import audit_command, command_context
from server.audit_archive import NOTE_FILE, ArchiveError, read_archive
from server.auth.audit_heads import head_signer
from server.settings import Settings
from server.storage.audit_values import AuditQuery, AuditRow

BASE = "http://127.0.0.1:8000"
NOW = datetime.now(UTC).replace(microsecond=0)
OLD = NOW - timedelta(days=8 * 365)
ROW = AuditRow(
    OLD, "Practitioner/p", "app", "read", "Patient", "a", 1, "a", 200, "ü", organization="Organization/q"
)


@pytest.fixture
def write(store: Any, authorization: Any) -> Callable[..., None]:
    """Write rows of a moment and sign the chain over them."""

    def made(count: int, recorded: datetime) -> None:
        with store.writing() as writer:
            for number in range(count):
                organization = ROW.organization if number % 2 else ""
                writer.audit(
                    replace(ROW, recorded=recorded, request_id=f"r-{number}", organization=organization)
                )
        store.seal_audit(
            head_signer(authorization.keys, BASE, lambda: recorded), recorded, sign_every=timedelta()
        )

    return made


@pytest.fixture
def trail(write: Callable[..., None], store: Any) -> Any:
    """Two old years of 5 rows, and 4 rows of now."""
    write(5, OLD)
    write(5, OLD + timedelta(days=365))
    write(4, NOW)
    return store


@pytest.fixture
def baton(monkeypatch: pytest.MonkeyPatch, settings: Settings, app: Any) -> Callable[..., Result]:
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: settings)
    return lambda *arguments: CliRunner().invoke(audit_command.audit, [str(argument) for argument in arguments])


def verified(baton: Any, *more: object) -> tuple[int, dict[str, Any]]:
    result = baton("verify", "--json", *more)
    return result.exit_code, json.loads(result.stdout) if result.stdout.startswith("{") else {
        "said": result.output
    }


def test_retention_says_what_is_older_and_changes_nothing(trail: Any, baton: Any) -> None:
    told = json.loads(baton("retention", "--json").stdout)
    assert (told["years"], told["older"], told["archived"]) == (6, 10, 0)
    assert told["oldest"] == OLD.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert "older     10 rows" in baton("retention").stdout
    assert len(trail.search_audit(AuditQuery(count=100)).rows) >= 14


def test_the_beginning_goes_into_the_file_and_the_rest_stays_whole(
    trail: Any, baton: Any, tmp_path: Path
) -> None:
    file = tmp_path / "archive.jsonl.gz"
    result = baton("archive", file)
    assert result.exit_code == 0, result.output
    assert "10 rows, as far as row 10" in result.stdout
    archived = read_archive(file)
    assert (archived.rows, archived.after.sequence, archived.end.sequence) == (10, 0, 10)
    assert file.stat().st_mode & 0o077 == 0
    left = trail.search_audit(AuditQuery(count=100)).rows
    assert min(sequence for sequence, _ in left) == 11
    code, told = verified(baton)
    assert (code, told["archived"], told["findings"]) == (0, 10, [])
    assert verified(baton, "--archive", file)[0] == 0
    assert "archived  the first 10 rows" in baton("verify").stdout
    with trail.database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM audit_patient WHERE sequence <= 10").fetchone()[0] == 0
    assert [row.detail for row in trail.audit_rows(limit=20) if row.interaction == "audit-archive"] == [
        "rows=10 until=10"
    ]


def test_archives_follow_one_another(trail: Any, baton: Any, tmp_path: Path) -> None:
    first, second = tmp_path / "1.gz", tmp_path / "2.gz"
    between = OLD + timedelta(days=100)
    assert baton("archive", first, "--before", f"{between:%Y-%m-%d}").exit_code == 0
    assert baton("archive", second).exit_code == 0
    assert (read_archive(first).end, read_archive(second).end.sequence) == (read_archive(second).after, 10)
    assert verified(baton, "--archive", first, "--archive", second)[0] == 0
    result = baton("verify", "--archive", second)
    assert result.exit_code == 1
    assert "no archive holds the rows from 1 to 5" in result.output
    assert baton("verify", "--archive", first).exit_code == 1
    assert verified(baton)[0] == 0


def test_rows_that_have_to_be_kept_are_never_archived(trail: Any, baton: Any, tmp_path: Path) -> None:
    result = baton("archive", tmp_path / "x.gz", "--before", f"{NOW:%Y-%m-%d}")
    assert result.exit_code == 2
    assert not (tmp_path / "x.gz").exists()


def test_a_young_row_among_old_ones_stops_the_archive_before_it(
    write: Callable[..., None], store: Any, baton: Any, tmp_path: Path
) -> None:
    write(3, OLD)
    write(1, NOW)
    write(3, OLD)
    write(1, NOW)
    assert baton("archive", tmp_path / "x.gz").exit_code == 0
    assert read_archive(tmp_path / "x.gz").end.sequence == 3


def test_the_end_of_the_chain_is_never_archived(
    write: Callable[..., None], store: Any, baton: Any, tmp_path: Path
) -> None:
    write(3, OLD)
    assert baton("archive", tmp_path / "x.gz").exit_code == 1
    assert verified(baton)[1]["rows"] == 3


def test_a_file_that_exists_is_never_written_over(trail: Any, baton: Any, tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(b"something")
    assert baton("archive", tmp_path / "x.gz").exit_code == 1
    assert (tmp_path / "x.gz").read_bytes() == b"something"
    assert verified(baton)[1]["archived"] == 0


def test_a_beginning_that_was_cut_off_without_an_archive_is_found(
    trail: Any, baton: Any, settings: Settings, tmp_path: Path
) -> None:
    with trail.database.writing() as connection:
        for table in ("audit_patient", "audit_chain"):
            connection.execute(f"DELETE FROM {table} WHERE sequence <= 10")
        connection.execute("DELETE FROM audit_head WHERE sequence < 10")
    code, told = verified(baton)
    assert (code, told["first_broken"]) == (2, 1)


def test_a_note_of_another_end_is_found(trail: Any, baton: Any, settings: Settings, tmp_path: Path) -> None:
    baton("archive", tmp_path / "x.gz")
    note = settings.home / NOTE_FILE
    document = json.loads(note.read_text())
    note.write_text(json.dumps({**document, "hash": "00" * 32}))
    assert verified(baton)[0] == 2
    note.write_text(json.dumps({**document, "sequence": 12}))
    assert verified(baton)[0] == 2


def test_rows_that_an_interrupted_run_left_are_removed_by_the_next(
    trail: Any, write: Callable[..., None], baton: Any, settings: Settings, tmp_path: Path, monkeypatch: Any
) -> None:
    from server import audit_archive_command

    monkeypatch.setattr(audit_archive_command, "remove", lambda database, until: 0)
    assert baton("archive", tmp_path / "1.gz").exit_code == 0
    monkeypatch.undo()
    monkeypatch.setattr(command_context, "read_settings", lambda environment, demo: settings)
    code, told = verified(baton)
    assert (code, told["archived"], told["findings"]) == (0, 10, [])
    assert min(sequence for sequence, _ in trail.search_audit(AuditQuery(count=100)).rows) == 1
    assert baton("archive", tmp_path / "2.gz").exit_code == 1  # nothing is left to archive
    assert min(sequence for sequence, _ in trail.search_audit(AuditQuery(count=100)).rows) == 11
    assert verified(baton, "--archive", tmp_path / "1.gz")[0] == 0


@pytest.mark.parametrize("line", [0, 1, 4, -1])
def test_a_changed_archive_is_found(trail: Any, baton: Any, tmp_path: Path, line: int) -> None:
    file = tmp_path / "x.gz"
    baton("archive", file)
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    changed = json.loads(lines[line])
    if isinstance(changed, list):
        changed[2] = "Practitioner/other"
    elif "after" in changed:
        changed["after"] = {"sequence": 1, "hash": "00" * 32}
    else:
        changed["sequence"] += 1
    lines[line] = json.dumps(changed)
    file.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
    with pytest.raises(ArchiveError):
        read_archive(file)
    assert baton("verify", "--archive", file).exit_code == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"nothing", gzip.compress(b""), gzip.compress(b"{}\n"), gzip.compress(b"[]\n")],
    ids=["an empty file", "no gzip", "nothing within", "an empty object", "a list"],
)
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(ArchiveError, match="archive"):
        read_archive(tmp_path / "x.gz")


def test_an_archive_that_ends_early_is_no_whole_one(trail: Any, baton: Any, tmp_path: Path) -> None:
    file = tmp_path / "x.gz"
    baton("archive", file)
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join(lines[:-1])))
    with pytest.raises(ArchiveError, match="no whole archive"):
        read_archive(file)
