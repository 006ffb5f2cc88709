"""Bytes and structures that no sender should send: the listener goes on, each message ends in a known state.

What could be stored is given to a worker, which applies it or says why not; that the program failed on it
(`internal`) is no such reason. Whole messages among them are acknowledged and applied, every one.

BATON_HL7V2_FUZZ: messages (2000). BATON_HL7V2_FUZZ_SEED: repeats an earlier run.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from server.storage import open_store

pytestmark = pytest.mark.network

MESSAGES = int(os.environ.get("BATON_HL7V2_FUZZ") or 2_000)
SEED = int(os.environ.get("BATON_HL7V2_FUZZ_SEED") or random.SystemRandom().randrange(1_000_000))
BACKLOG = 400  # messages on their way; a real sender would send again what an ended connection has not read
DONE_SECONDS = 120 + MESSAGES * 0.1  # for a worker to do what was stored
WHOLE = 100  # of so many messages one is whole
GROWTH = 20_000_000  # bytes of memory between the first half and the end

SEGMENTS = (
    b"EVN|A01|20260102030405",
    b"PID|1||4711^^^NORTH^MR~12^^^&1.2.3&ISO^PI||Amber^Test^^^^^L||19700101|F|||1 Way^^Town^^1234",
    b"PV1|1|I|2000^2012^01||||||||||||||||V1^^^NORTH",
    b"MRG|2^^^NORTH^MR",
    b"OBR|1|||24331-1^Lipids^LN",
    b"OBX|1|NM|2093-3^Cholesterol^LN||196|mg/dL|0-200||||F",
    b"NTE|1||a\\.br\\b\\X41\\\\F\\\\Q",
    b"ZZZ|own^things",
    b"BTS|3",
    b"ORC|NW|1^A|2^B",
)
ODD = (
    b"",
    b'""',
    b"\xff\xfe",
    b"\x00",
    "李".encode(),
    b"\\",
    b"|||||",
    b"^~\\&",
    b"\x0b",
    b"\x1c",
    b"x" * 5_000,
)
CHARACTER_SETS = (b"", b"UNICODE UTF-8", b"8859/1", b"ASCII", b"ISO IR87", b"nonsense", b"8859/1~UNICODE UTF-8")


def message(chance: random.Random, number: int) -> bytes:
    """A message that may still be one."""
    separator = chance.choice([b"|"] * 8 + [b"#", b"^", b"A", b"\xc3", b"\x00"])
    encoding = chance.choice([b"^~\\&"] * 8 + [b"^~\\&#", b"", b"^", b"||||", b"\\&~^", b"^^^^", b"x" * 100])
    kind = chance.choice(
        [b"ADT^A01^ADT_A01", b"ADT^A40", b"ORU^R01^ORU_R01", b"ADT", b"", b"ACK", b"^^^", b"Q^Q^Q"]
    )
    control_id = chance.choice([b"f%d" % number] * 6 + [b"", b"same", b"y" * 300, b"\xff\x80", b"\t "])
    sender = chance.choice([b"ADT1"] * 10 + [b"", b"s%d" % chance.randrange(2_000), b"^1.2.3^ISO", b"z" * 400])
    times = chance.choice(
        [b"20260102030405", b"", b"2026", b"99999999999999", b"-", b"20260102030405.9999+9999"]
    )
    header = [b"MSH" + separator + encoding, sender, b"NORTH", b"BATON", b"HOME", times, b"", kind, control_id]
    header += [b"P", chance.choice([b"2.5.1", b"2.3", b"9.9", b"", b"2.5.1^x"]), b"", b""]
    header += [chance.choice([b"", b"AL", b"NE", b"ER", b"SU", b"??"]), chance.choice([b"", b"NE", b"SU"]), b""]
    header += [chance.choice(CHARACTER_SETS)]
    lines = [separator.join(header), *chance.sample(SEGMENTS, chance.randrange(len(SEGMENTS)))]
    if chance.random() < 0.03:
        lines.append(b"MSA|AA|m1")  # an acknowledgement, which is not kept
    end = chance.choice([b"\r"] * 6 + [b"\n", b"\r\n", b"\r\r", b""])
    return end.join(lines) + end


def broken(chance: random.Random, data: bytes) -> bytes:
    """The same after something has happened to it."""
    made = bytearray(data)
    for _ in range(chance.choice([0, 0, 1, 1, 3, 20])):
        at = chance.randrange(len(made) + 1)
        what = chance.randrange(5)
        if what == 0:
            made[at:at] = chance.choice(ODD)
        elif what == 1:
            del made[at : at + chance.randrange(1, 40)]
        elif what == 2:
            made[at : at + 1] = bytes([chance.randrange(256)])
        elif what == 3:
            part = made[at : at + 60]
            made[at:at] = part * chance.randrange(1, 5)
        else:
            made[at:at] = chance.randbytes(chance.randrange(1, 30))
    return bytes(made)


def wrapped(chance: random.Random, data: bytes, number: int) -> bytes:
    """A frame, mostly a whole one; sometimes a batch or several messages in it."""
    if chance.random() < 0.05:
        more = message(chance, number + 1_000_000)
        data = (
            b"FHS|^~\\&|A\rBHS|^~\\&|A\r"
            + data
            + more
            + chance.choice([b"BTS|2\rFTS|1\r", b"BTS|x", b"", b"FTS"])
        )
    start = chance.choice([b"\x0b"] * 30 + [b"", b"\x0b\x0b", b"noise\x0b"])
    end = chance.choice([b"\x1c\r"] * 30 + [b"\x1c", b"\r", b"", b"\x1c\x1c\r"])
    return start + data + end


def drain(sender: Any) -> None:
    """Take the answers that are there."""
    while select.select([sender.socket], [], [], 0)[0]:
        if not sender.socket.recv(65_536):
            raise EOFError


def whole(wire: Any, number: int) -> bytes:
    """The admission of a patient of its own."""
    data: bytes = wire.admit(f"whole-{number}", f"w{number}")
    return data.replace(b"|V1^^^NORTH", b"|w%d^^^NORTH" % number)


def finish(senders: list[Any]) -> None:
    """Say no more, and wait until everything was answered."""
    open_ones = [sender for sender in senders if sender is not None]
    for sender in open_ones:
        with contextlib.suppress(OSError):
            sender.socket.shutdown(socket.SHUT_WR)
    for sender in open_ones:
        assert sender.is_closed(300)
    senders[:] = [None] * len(senders)


def test_whatever_comes_it_goes_on_and_says_what_became_of_it(
    serve: Callable[..., Any], process_module: Any, hl7v2_wire: Any
) -> None:
    print(f"BATON_HL7V2_FUZZ_SEED={SEED}")
    chance = random.Random(SEED)
    process = serve(environment={"BATON_MLLP_LIMITS": "message-bytes=100000,idle-seconds=2,linger-seconds=1"})
    senders: list[Any] = [None] * 8
    settled = 0
    for number in range(MESSAGES):
        place = chance.randrange(len(senders))
        data = wrapped(chance, broken(chance, message(chance, number)), number)
        for _ in range(2):
            try:
                senders[place] = senders[place] or hl7v2_wire.Sender(process.port)
                drain(senders[place])
                senders[place].raw(data)
                break
            except (OSError, EOFError):  # it was closed for what it had sent before
                senders[place].close()
                senders[place] = None
        if senders[place] is not None and chance.random() < 0.01:
            senders[place].close()  # without waiting for anything
            senders[place] = None
        if number % WHOLE == 0:
            sound = hl7v2_wire.Sender(process.port, timeout=60)
            assert sound.send(whole(hl7v2_wire, number)).msa() == ("AA", f"whole-{number}")
            sound.close()
        if number % BACKLOG == BACKLOG - 1:
            finish(senders)
        if number == MESSAGES // 2:
            finish(senders)
            settled = process.resident()
        if number % 500 == 0:
            assert process.process.poll() is None, process.log.read_text("utf-8", "replace")[-2_000:]
    finish(senders)
    last = hl7v2_wire.Sender(process.port, timeout=60)
    assert last.send(hl7v2_wire.admit("the-last")).msa() == ("AA", "the-last")
    resident = process.resident()
    print(
        f"{MESSAGES} messages, memory {settled / 1e6:.1f} MB in the middle, {resident / 1e6:.1f} MB at the end"
    )
    assert resident - settled < GROWTH
    assert process.stop() == 0
    assert "hl7v2-defect" not in process.log.read_text("utf-8", "replace")
    assert "hl7v2-not-stored" not in process.log.read_text("utf-8", "replace")

    states = told(process, "state")
    assert set(states) <= {"received", "failed", "duplicate"}
    assert sum(states.values()) > MESSAGES * 0.7
    assert states["received"] > MESSAGES * 0.3
    assert told(process, "'sources'", "hl7v2_source")["sources"] <= 502

    worker = process_module.Process(process.home, process.database_url, part="worker").launch()
    try:
        deadline = time.monotonic() + DONE_SECONDS
        while told(process, "state").keys() & {"received", "mapped"}:
            assert worker.process.poll() is None, worker.log.read_text("utf-8", "replace")[-2_000:]
            assert time.monotonic() < deadline, told(process, "state")
            time.sleep(0.5)
        print(f"worker: {worker.resident() / 1e6:.1f} MB at the end; {told(process, 'state')}")
        assert worker.stop() == 0
    finally:
        worker.kill()
    states = told(process, "state")
    assert set(states) <= {"applied", "failed", "duplicate"}
    assert states["applied"] > MESSAGES * 0.005
    kept = told(process, "state", where="control_id LIKE 'whole-%' AND mrn LIKE 'w%'")
    assert kept == {"applied": len(range(0, MESSAGES, WHOLE))}
    reasons = told(process, "error", where="state = 'failed'")
    codes: Counter[str] = Counter()
    for reason, count in reasons.items():
        codes[reason.partition(" ")[0]] += count
    print(f"reasons: {dict(codes)}")
    assert codes[""] == 0
    assert (codes["internal"], codes["given-up"], codes["map-failed"]) == (0, 0, 0)


def told(process: Any, column: str, table: str = "hl7v2_message", where: str = "1 = 1") -> dict[str, int]:
    """How often each value stands in a column."""
    store = open_store(process.database_url)
    try:
        with store.database.reading() as connection:
            sql = f"SELECT {column}, count(*) FROM {table} WHERE {where} GROUP BY 1"
            return dict(connection.execute(sql).fetchall())
    finally:
        store.close()
