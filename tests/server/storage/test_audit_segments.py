"""The audit trail of reads: appended by the process, moved into the table once, whatever breaks in between."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from server.errors import FhirError
from server.storage import audit_segments
from server.storage.audit_segments import AuditSegment
from server.storage.audit_values import AuditRow

NOW = datetime(2026, 3, 1, 12, 0, 0, 5_000, tzinfo=UTC)
ROW = AuditRow(NOW, "Practitioner/p", "app", "read", "Patient", "a", 1, "a", 200, "request-1")


def rows(count: int) -> list[AuditRow]:
    return [replace(ROW, request_id=f"request-{number}") for number in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def test_a_row_of_a_write_shares_its_transaction(store: Any) -> None:
    with store.writing() as writer:
        writer.audit(ROW)
        assert store.audit_rows(limit=5) == (ROW,)
    with pytest.raises(ZeroDivisionError):
        _audit_and_fail(store)
    assert store.audit_rows(limit=5) == (ROW,)


def _audit_and_fail(store: Any) -> None:
    with store.writing() as writer:
        writer.audit(replace(ROW, request_id="failed"))
        raise ZeroDivisionError


def test_rows_are_moved_in_order_and_once(store: Any, folder: Path) -> None:
    segment = AuditSegment(folder)
    for row in rows(3):
        segment.append(row)
    assert store.ingest_audit(folder) == 3
    assert store.ingest_audit(folder) == 0
    for row in rows(5)[3:]:
        segment.append(row)
    assert store.ingest_audit(folder) == 2
    assert store.audit_rows(limit=10) == tuple(reversed(rows(5)))
    assert len(list(folder.iterdir())) == 1  # its process lives on
    segment.close()
    assert store.ingest_audit(folder) == 0
    assert list(folder.iterdir()) == []


def test_segments_are_readable_by_their_owner_alone(folder: Path) -> None:
    segment = AuditSegment(folder)
    segment.append(ROW)
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0
    segment.close()


def test_a_long_segment_is_followed_by_a_new_one(
    store: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_segments, "SEGMENT_BYTES", 500)
    monkeypatch.setattr(audit_segments, "BATCH_BYTES", 700)
    segment = AuditSegment(folder)
    for row in rows(20):
        segment.append(row)
    assert len(list(folder.iterdir())) > 3
    assert store.ingest_audit(folder) == 20
    assert len(list(folder.iterdir())) == 1
    assert {row.request_id for row in store.audit_rows(limit=30)} == {row.request_id for row in rows(20)}
    segment.close()


def test_a_killed_process_leaves_its_rows(store: Any, folder: Path) -> None:
    child = os.fork()
    if child == 0:
        segment = AuditSegment(folder)
        for row in rows(4):
            segment.append(row)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert store.ingest_audit(folder) == 4
    assert list(folder.iterdir()) == []


def test_a_forked_process_writes_a_segment_of_its_own(store: Any, folder: Path) -> None:
    segment = AuditSegment(folder)
    segment.append(ROW)
    child = os.fork()
    if child == 0:
        segment.append(replace(ROW, request_id="child"))
        os._exit(0)
    os.waitpid(child, 0)
    segment.append(replace(ROW, request_id="parent"))
    assert len(list(folder.iterdir())) == 2
    assert store.ingest_audit(folder) == 3
    assert {row.request_id for row in store.audit_rows(limit=5)} == {"request-1", "child", "parent"}
    segment.close()


def test_what_is_no_row_leaves_a_note_where_it_stood_and_the_rest_is_kept(store: Any, folder: Path) -> None:
    segment = AuditSegment(folder)
    segment.append(ROW)
    (path,) = folder.iterdir()
    with path.open("ab") as stream:
        stream.write(b'{"recorded": 17, "prin\n{"recorded": 1}\n[]\n')
    segment.append(replace(ROW, request_id="after"))
    first = path.read_bytes().index(b"\n") + 1
    assert store.ingest_audit(folder) == 5
    after, third, second, torn, _ = store.audit_rows(limit=10)
    assert after == replace(ROW, request_id="after")
    assert {row.interaction for row in (torn, second, third)} == {"audit-malformed"}
    assert torn.detail == f"{path.name} at byte {first}, 23 bytes"
    assert torn.request_id == torn.principal == torn.patient == ""
    segment.close()


def test_what_a_killed_process_wrote_of_its_last_line_is_noted(store: Any, folder: Path) -> None:
    child = os.fork()
    if child == 0:
        segment = AuditSegment(folder)
        segment.append(ROW)
        os.write(segment._descriptor, b'{"recorded": 17')
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert store.ingest_audit(folder) == 2
    note, row = store.audit_rows(limit=5)
    assert (row, note.interaction) == (ROW, "audit-malformed")
    assert list(folder.iterdir()) == []


def test_a_segment_of_the_first_release_is_read(store: Any, folder: Path) -> None:
    folder.mkdir()
    line = (
        b'{"recorded":1772366400005,"principal":"Practitioner/p","client_id":"app","interaction":"read",'
        b'"resource_type":"Patient","id":"a","version_id":1,"patient":"a","outcome":200,"request_id":"request-1"}\n'
    )
    (folder / "77-0123456789abcdef.jsonl").write_bytes(line)
    assert store.ingest_audit(folder) == 1
    assert store.audit_rows(limit=5) == (ROW,)


@pytest.mark.parametrize("field", ["principal", "patient", "request_id", "detail"])
@pytest.mark.parametrize("text", ["a\0b", "a\ud800b", "ümlaut \u2028", 'quote " \\ \n'])
def test_any_text_passes_through_segment_and_table(store: Any, folder: Path, field: str, text: str) -> None:
    row = replace(ROW, **{field: text})
    segment = AuditSegment(folder)
    segment.append(row)
    segment.close()
    with store.writing() as writer:
        writer.audit(row)
    assert store.ingest_audit(folder) == 1
    kept = {getattr(known, field) for known in store.audit_rows(limit=5)}
    assert kept == {text.replace("\0", "\ufffd").replace("\ud800", "?")}


def test_a_line_that_is_not_finished_is_not_moved_yet(store: Any, folder: Path) -> None:
    segment = AuditSegment(folder)
    segment.append(ROW)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    with path.open("ab") as stream:
        stream.write(whole[:20])
    assert store.ingest_audit(folder) == 1
    with path.open("ab") as stream:
        stream.write(whole[20:])
    assert store.ingest_audit(folder) == 1
    segment.close()


def test_an_interrupted_move_is_not_repeated(store: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows and the position they reach are one transaction; dying before removing the file is harmless."""
    segment = AuditSegment(folder)
    segment.append(ROW)
    segment.close()
    monkeypatch.setattr(Path, "unlink", _fail)
    with pytest.raises(ZeroDivisionError):
        store.ingest_audit(folder)
    monkeypatch.undo()
    assert store.ingest_audit(folder) == 0
    assert store.audit_rows(limit=5) == (ROW,)
    assert list(folder.iterdir()) == []


def _fail(*arguments: Any, **more: Any) -> None:
    raise ZeroDivisionError


def test_a_disk_that_takes_no_row_refuses_the_interaction(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = AuditSegment(folder)
    segment.append(ROW)
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, line: real(descriptor, line[:10]))
    with pytest.raises(FhirError) as refused:
        segment.append(ROW)
    assert refused.value.status == 507
    monkeypatch.undo()
    segment.append(replace(ROW, request_id="after"))
    (path,) = folder.iterdir()
    lines = path.read_bytes().splitlines()
    assert len(lines) == 3
    assert b'"after"' in lines[2]
    segment.close()


def test_rows_are_synced_soon_after_they_are_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[float] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (real(descriptor), synced.append(time.monotonic()))[0])
    segment = AuditSegment(folder)
    written = time.monotonic()
    segment.append(ROW)
    while not synced and time.monotonic() < written + 5:
        time.sleep(0.005)
    assert synced
    segment.close()
