"""Nothing that was acknowledged is lost, and nothing is there twice, however often the listener is killed.

Senders wait for each acknowledgement and send the same bytes again until they have it, as real ones do; the
process is killed under that load at random moments and started again.

BATON_KILL_ROUNDS: rounds (3). BATON_KILL_SEED: repeats the choices of an earlier run; the moments depend on the
machine as well.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from server.storage import open_store

pytestmark = [pytest.mark.network, pytest.mark.requirement("MLLP7")]

ROUNDS = int(os.environ.get("BATON_KILL_ROUNDS") or 3)
SEED = int(os.environ.get("BATON_KILL_SEED") or random.SystemRandom().randrange(1_000_000))
SENDERS = 6


class Feed(threading.Thread):
    """One sender with messages of patients of its own. acknowledged: control ids, in order."""

    def __init__(self, wire: Any, port: int, name: str) -> None:
        super().__init__(daemon=True)
        self._wire, self._port, self._name = wire, port, name
        self.acknowledged: list[str] = []
        self.sent: dict[str, bytes] = {}
        self.retransmitted = 0
        self.over = threading.Event()

    def run(self) -> None:
        sender = None
        number = 0
        while not self.over.is_set():
            control_id = f"{self._name}-{number}"
            message = self._wire.admit(control_id, f"{self._name}{number % 5}", application=self._name)
            self.sent[control_id] = message
            while not self.over.is_set():
                try:
                    sender = sender or self._wire.Sender(self._port, timeout=5)
                    code, echoed = sender.send(message).msa()
                except (OSError, EOFError):
                    if sender is not None:
                        sender.close()
                    sender = None
                    self.retransmitted += 1
                    time.sleep(0.02)
                    continue
                assert echoed == control_id
                if code == "AA":
                    self.acknowledged.append(control_id)
                    break
                time.sleep(0.05)
            number += 1
        if sender is not None:
            sender.close()


def test_what_was_acknowledged_is_in_the_log_once_and_in_order(
    serve: Callable[..., Any], hl7v2_wire: Any
) -> None:
    print(f"BATON_KILL_SEED={SEED}")
    chance = random.Random(SEED)
    process = serve()
    feeds = [Feed(hl7v2_wire, process.port, f"F{n}") for n in range(SENDERS)]
    for feed in feeds:
        feed.start()
    for _ in range(ROUNDS):
        before = sum(len(feed.acknowledged) for feed in feeds)
        deadline = time.monotonic() + 180
        while sum(len(feed.acknowledged) for feed in feeds) < before + 20:
            assert time.monotonic() < deadline, "nothing is acknowledged any more"
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 1.0))
        process.kill()
        process.start()
    time.sleep(1.0)
    for feed in feeds:
        feed.over.set()
    for feed in feeds:
        feed.join(30)
        assert not feed.is_alive()
    assert process.stop() == 0

    store = open_store(process.database_url)
    with store.database.reading() as connection:
        rows = connection.execute(
            "SELECT id, control_id, state, raw, duplicate_of FROM hl7v2_message ORDER BY id"
        ).fetchall()
    store.close()
    originals = {control_id: (id, bytes(raw)) for id, control_id, state, raw, _ in rows if state == "received"}
    assert len(originals) == sum(state == "received" for _, _, state, _, _ in rows)
    assert {state for _, _, state, _, _ in rows} <= {"received", "duplicate", "failed"}
    assert all(raw == b"" and of is not None for _, _, state, raw, of in rows if state == "duplicate")
    for feed in feeds:
        assert len(feed.acknowledged) >= ROUNDS
        kept = [originals[control_id] for control_id in feed.acknowledged]
        assert [raw for _, raw in kept] == [feed.sent[control_id] for control_id in feed.acknowledged]
        assert [id for id, _ in kept] == sorted(id for id, _ in kept)
    assert sum(feed.retransmitted for feed in feeds) >= ROUNDS
