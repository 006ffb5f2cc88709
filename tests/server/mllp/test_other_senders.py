"""Senders of other make: they get what they expect, and their messages arrive as they meant them.

PyPI `hl7` (mllp_send and its client) and npm `node-hl7-client` (tests/vendor). Covers server/mllp.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.network

VENDOR = Path(__file__).resolve().parents[2] / "vendor"
Listen = Callable[..., Any]


def test_mllp_send_of_the_hl7_package(listen: Listen, hl7v2_wire: Any, tmp_path: Path) -> None:
    running = listen()
    messages = [hl7v2_wire.admit(f"m{n}", str(n), family="Ängström") for n in range(3)]
    file = tmp_path / "messages.hl7"
    file.write_bytes(b"".join(map(hl7v2_wire.framed, messages)))
    command = [str(Path(sys.executable).with_name("mllp_send")), "-p", str(running.port), "-f", str(file)]
    done = subprocess.run([*command, "127.0.0.1"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for number in range(3):
        assert b"MSA|AA|m%d" % number in done.stdout
    # It sends them without the last carriage return.
    assert [bytes(row[0]) for row in running.rows("raw")] == [message.rstrip(b"\r") for message in messages]


def test_the_client_of_the_hl7_package(listen: Listen, hl7v2_wire: Any) -> None:
    from hl7.client import MLLPClient
    from hl7.parser import parse

    running = listen()
    with MLLPClient("127.0.0.1", running.port) as client:
        for trigger in ("A01", "A08", "A03"):
            message = parse(hl7v2_wire.admit(f"c-{trigger}", trigger=trigger).decode())
            answer = client.send_message(message)
            assert parse(answer[1:-2].decode())["MSA"][0][1][0] == "AA"
    assert [row[0] for row in running.rows("trigger")] == ["A01", "A08", "A03"]


# Its queue is flushed when it connects and not when it is answered, so that the answer sends the next one.
SCRIPT = """
const { Client, Message } = require(process.argv[2]);
const texts = JSON.parse(process.argv[4]);
const client = new Client({ host: "127.0.0.1", ipv4: true });
const codes = [];
const send = () => connection.sendMessage(new Message({ text: texts[codes.length] }));
const connection = client.createConnection({ port: Number(process.argv[3]) }, async (response) => {
  const answer = response.getMessage();
  codes.push([answer.get("MSA.1").toString(), answer.get("MSA.2").toString()]);
  if (codes.length < texts.length) {
    await send();
    return;
  }
  await connection.close();
  console.log(JSON.stringify(codes));
  process.exit(0);
});
connection.once("connect", send);
"""


def test_node_hl7_client(listen: Listen, hl7v2_wire: Any, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no node, so node-hl7-client is not tried")
        pytest.skip("there is no node")
    running = listen()
    script = tmp_path / "send.cjs"
    script.write_text(SCRIPT)
    triggers = ("A01", "A08", "A03")
    messages = [hl7v2_wire.admit(f"n-{trigger}", trigger=trigger).decode() for trigger in triggers]
    done = subprocess.run(
        [node, script, VENDOR / "node-hl7-client.cjs", str(running.port), json.dumps(messages)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["AA", f"n-{trigger}"] for trigger in triggers]
    assert running.rows("control_id, trigger, mrn") == [
        (f"n-{trigger}", trigger, "4711") for trigger in triggers
    ]
