"""The listener as a process: begins, holds a thousand connections, ends in good order, and says why it cannot.

Covers server/listening.py, the parts of server/cli.py and server/parts.py that start it, server/mllp/counts.py.
"""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.mllp.counts import read
from server.storage import open_store

pytestmark = pytest.mark.network

Serve = Callable[..., Any]


def rows(process: Any, columns: str) -> list[tuple[Any, ...]]:
    store = open_store(process.database_url)
    with store.database.reading() as connection:
        found = connection.execute(f"SELECT {columns} FROM hl7v2_message ORDER BY id").fetchall()
    store.close()
    return found


@pytest.mark.requirement("MLLP15")
def test_a_thousand_idle_connections_cost_less_than_100_megabytes(
    serve: Serve, hl7v2_wire: Any, process_module: Any
) -> None:
    process_module.open_files(2_500)
    process = serve()
    first = hl7v2_wire.Sender(process.port)
    assert first.send(hl7v2_wire.admit("m0")).msa() == ("AA", "m0")
    before = process.resident()
    senders = [hl7v2_wire.Sender(process.port) for _ in range(1_000)]
    try:
        assert first.send(hl7v2_wire.admit("m1")).msa() == ("AA", "m1")
        for place in (0, 499, 999):
            name = f"late{place}"
            assert senders[place].send(hl7v2_wire.admit(name)).msa(30) == ("AA", name)
        assert process.resident() - before < 100_000_000
    finally:
        for sender in (first, *senders):
            sender.close()


@pytest.mark.requirement("MLLP15")
def test_it_ends_when_told_to_and_can_be_started_again_at_once(serve: Serve, hl7v2_wire: Any) -> None:
    process = serve()
    idle, busy = hl7v2_wire.Sender(process.port), hl7v2_wire.Sender(process.port)
    half = hl7v2_wire.Sender(process.port).raw(b"\x0b" + hl7v2_wire.admit("half")[:60])
    assert busy.send(hl7v2_wire.admit("m1")).msa() == ("AA", "m1")
    started = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - started < 9
    assert idle.is_closed()
    assert half.is_closed()
    process.start()
    again = hl7v2_wire.Sender(process.port)
    assert again.send(hl7v2_wire.admit("m1"), hl7v2_wire.admit("m2")).msa() == ("AA", "m1")
    assert again.msa() == ("AA", "m2")
    assert [row for row in rows(process, "control_id, state") if row[0] in ("m1", "m2")] == [
        ("m1", "received"),
        ("m1", "duplicate"),
        ("m2", "received"),
    ]


@pytest.mark.requirement("MLLP15")
def test_a_port_that_is_taken_ends_it_with_plain_words(process_module: Any, tmp_path: Path) -> None:
    made = process_module.Process(tmp_path / "home", f"sqlite:///{tmp_path / 'home' / 'b.sqlite3'}")
    with socket.create_server(("127.0.0.1", made.port)):
        done = subprocess.run(
            [sys.executable, "-m", "server.cli", "serve", "mllp"],
            cwd=process_module.ROOT,
            env=made.variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"127.0.0.1:{made.port} (BATON_PORT_MLLP): somebody else listens there" in done.stderr


def test_the_supervisor_says_that_it_is_ready_and_where(process_module: Any, tmp_path: Path) -> None:
    made = process_module.Process(tmp_path / "home", f"sqlite:///{tmp_path / 'home' / 'b.sqlite3'}")
    web = str(process_module.free_port())
    log = tmp_path / "said"
    with log.open("wb") as said:
        running = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "serve", "web", "mllp"],
            cwd=process_module.ROOT,
            env=made.variables | {"BATON_PORT_WEB": web, "BATON_WORKERS": "1"},
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 90
        while "ready " not in log.read_text():
            assert running.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        assert f" mllp 127.0.0.1:{made.port}" in log.read_text()
        socket.create_connection(("127.0.0.1", made.port), 2).close()
    finally:
        running.terminate()
        running.wait(20)


def test_it_takes_files_and_tells_what_it_counts(serve: Serve, hl7v2_wire: Any, tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    process = serve(environment={"BATON_HL7V2_FOLDER": str(folder)})
    deadline = time.monotonic() + 30
    while not (folder / "done").is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (folder / ".coming").write_bytes(hl7v2_wire.admit("f1"))
    (folder / ".coming").rename(folder / "one.hl7")
    while not (folder / "done" / "one.hl7").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert hl7v2_wire.fields((folder / "done" / "one.hl7.ack").read_bytes(), "MSA")[1:3] == ["AA", "f1"]
    assert rows(process, "control_id, listener") == [("f1", "file")]
    while not any(counts.messages["stored"] for counts in read(process.home)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert process.stop() == 0
    assert read(process.home) == []


@pytest.mark.sqlite("the database is a file that the test locks")
def test_no_patient_data_is_logged_when_the_database_is_away(
    serve: Serve, hl7v2_wire: Any, tmp_path: Path
) -> None:
    process = serve()
    sender = hl7v2_wire.Sender(process.port, timeout=60)
    assert sender.send(hl7v2_wire.admit("m1", "4711", family="Quince")).msa() == ("AA", "m1")
    with sqlite3.connect(process.database_url.removeprefix("sqlite:///")) as connection:
        connection.execute("ALTER TABLE hl7v2_message RENAME TO gone")
    assert sender.send(hl7v2_wire.admit("m2", "4712", family="Quince")).msa() == ("AR", "m2")
    with sqlite3.connect(process.database_url.removeprefix("sqlite:///")) as connection:
        connection.execute("ALTER TABLE gone RENAME TO hl7v2_message")
    assert sender.send(hl7v2_wire.admit("m2", "4712", family="Quince")).msa() == ("AA", "m2")
    said = process.log.read_text()
    assert "hl7v2-not-stored" in said
    assert not any(word in said for word in ("Quince", "4711", "4712", "m2"))
