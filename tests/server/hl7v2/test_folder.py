"""The drop folder: complete files only, each taken once, answered beside.

Covers server/hl7v2/folder.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from server.hl7v2.folder import Folder


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    path = tmp_path / "drop"
    path.mkdir()
    return path


@pytest.fixture
def folder(desk: Any, drop: Path) -> Folder:
    made = Folder(drop, desk.intake.take, 100_000, wall=lambda: 1_000_000.0)
    made.prepare()
    return made


def lay(path: Path, data: bytes, age: float = 60) -> Path:
    path.write_bytes(data)
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def test_files_are_taken_in_the_order_of_their_age_and_answered_beside(
    desk: Any, hl7v2_wire: Any, drop: Path, folder: Folder
) -> None:
    lay(drop / "a", hl7v2_wire.admit("second"), 10)
    lay(drop / "b", hl7v2_wire.admit("first"), 90)
    assert folder.look() == 2
    assert desk.rows("control_id, listener") == [("first", "file"), ("second", "file")]
    assert sorted(path.name for path in (drop / "done").iterdir()) == ["a", "a.ack", "b", "b.ack"]
    assert b"MSA|AA|second" in (drop / "done" / "a.ack").read_bytes()
    assert folder.look() == 0


def test_what_is_still_being_written_is_left_alone(hl7v2_wire: Any, drop: Path, folder: Folder) -> None:
    for name in (".hidden", "x.tmp", "x.PART", "x.filepart"):
        lay(drop / name, hl7v2_wire.admit(name))
    lay(drop / "fresh", hl7v2_wire.admit("fresh"), 1)
    (drop / "folder").mkdir()
    (drop / "link").symlink_to("/etc/hostname")
    assert folder.look() == 0


def test_a_batch_and_several_messages_may_be_in_a_file(
    desk: Any, hl7v2_wire: Any, drop: Path, folder: Folder
) -> None:
    two = hl7v2_wire.admit("m1", "1") + hl7v2_wire.admit("m2", "2")
    lay(drop / "two", two)
    lay(drop / "batch", b"BHS|^~\\&|A|B\r" + hl7v2_wire.admit("m3") + b"BTS|1\r", 30)
    assert folder.look() == 2
    assert [row[0] for row in desk.rows("control_id")] == ["m1", "m2", "m3"]
    assert (drop / "done" / "two.ack").read_bytes().count(b"MSA|AA|") == 2
    assert (drop / "done" / "batch.ack").read_bytes().startswith(b"BHS|")


def test_what_is_not_taken_is_put_aside(desk: Any, hl7v2_wire: Any, drop: Path, folder: Folder) -> None:
    lay(drop / "garbage", b"no message")
    lay(drop / "large", hl7v2_wire.admit("big") + b"x" * 200_000)
    assert folder.look() == 2
    assert sorted(path.name for path in (drop / "refused").iterdir()) == [
        *("garbage", "garbage.ack", "large", "large.ack"),
    ]
    assert {row[0] for row in desk.rows("state")} == {"failed"}


def test_a_file_that_was_taken_and_not_moved_is_known(
    desk: Any, hl7v2_wire: Any, drop: Path, folder: Folder
) -> None:
    data = hl7v2_wire.admit("m1")
    desk.take(data, listener="file")  # and then the power went
    lay(drop / "a", data)
    assert folder.look() == 1
    assert desk.rows("state") == [("received",), ("duplicate",)]
    assert b"MSA|AA|m1" in (drop / "done" / "a.ack").read_bytes()
    lay(drop / "a", hl7v2_wire.admit("m2"))
    assert folder.look() == 1
    assert len(list((drop / "done").glob("a*"))) == 4  # the second of that name replaces nothing


def test_a_file_that_cannot_be_moved_is_not_taken_again_and_again(
    desk: Any, hl7v2_wire: Any, drop: Path, folder: Folder
) -> None:
    lay(drop / "a", hl7v2_wire.admit("m1"))
    (drop / "done").rmdir()
    for _ in range(3):
        with pytest.raises(OSError):
            folder.look()
    assert desk.rows("state") == [("received",)]
    folder.prepare()
    assert folder.look() == 1


def test_while_nothing_can_be_stored_files_wait(desk: Any, hl7v2_wire: Any, drop: Path, folder: Folder) -> None:
    lay(drop / "a", hl7v2_wire.admit("m1"))
    with desk.store.database.writing() as connection:
        connection.execute("ALTER TABLE hl7v2_message RENAME TO gone")
    assert folder.look() == 0
    assert (drop / "a").exists()
    with desk.store.database.writing() as connection:
        connection.execute("ALTER TABLE gone RENAME TO hl7v2_message")
    assert folder.look() == 1
