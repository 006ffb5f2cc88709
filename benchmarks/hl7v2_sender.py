"""Sends synthetic ADT messages over MLLP, by a process of its own that costs the machine little else.

    python benchmarks/hl7v2_sender.py PORT FIRST PATIENTS

20 connections; each waits for its acknowledgement before it sends the next message. What is sent is made, and
the connections are open, before it says `ready`; it begins when it reads a line.
"""

from __future__ import annotations

import asyncio
import sys

from hl7v2_feed import EVENTS, adt

CONNECTIONS = 20


async def _connection(port: int, messages: list[bytes], begin: asyncio.Event, ready: asyncio.Barrier) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await ready.wait()
    await begin.wait()
    for message in messages:
        writer.write(message)
        answer = await reader.readuntil(b"\x1c\r")
        if b"\rMSA|CA|" not in answer:
            raise SystemExit(f"not accepted: {answer!r}")
    writer.close()


async def send(port: int, first: int, patients: int) -> None:
    """All events of some patients, one event of each of them after the other."""
    begin, ready = asyncio.Event(), asyncio.Barrier(CONNECTIONS + 1)
    shares = [
        [
            b"\x0b" + adt(patient, event, step) + b"\x1c\r"
            for step, event in enumerate(EVENTS)
            for patient in range(first + number, first + patients, CONNECTIONS)
        ]
        for number in range(CONNECTIONS)
    ]
    sending = asyncio.gather(*(_connection(port, share, begin, ready) for share in shares))
    await asyncio.wait((sending, asyncio.ensure_future(ready.wait())), return_when=asyncio.FIRST_COMPLETED)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    begin.set()
    await sending


if __name__ == "__main__":
    asyncio.run(send(*map(int, sys.argv[1:])))
