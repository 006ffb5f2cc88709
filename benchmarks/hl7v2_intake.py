"""What it costs to receive HL7 v2 messages: stored durably and acknowledged over MLLP, beside bare inserts.

    python benchmarks/hl7v2_intake.py [--database sqlite|postgresql] [--rounds 5] [--seconds 60] [--check]

Throughput: 20 connections, each of which waits for its acknowledgement before it sends the next message, by a
process of their own. The bare limit takes turns with it: the same rows into the same tables by plain statements
with the same driver and settings, one durable transaction each. Latency: 20 connections that send 100 messages
a second together, from the last byte of a message to the last of its acknowledgement.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from bare import connect, mark
from bars import Verdict
from data_sets import tests_postgresql
from processes import ROOT, free_port

from server.storage import open_store

CONNECTIONS = 20
RATE = 100  # messages a second, for the latency
ROUND_SECONDS = 5.0
BARS = {"rate": 500.0, "ratio": 0.25, "milliseconds": 50.0}
_NTE = "".join(f"NTE|{n}||{'synthetic text of a note ' * 3}\r" for n in range(1, 8))


def message(control_id: str, patient: int) -> bytes:
    """A synthetic ADT^A01 of 13 segments and about 1,100 bytes."""
    return (
        f"MSH|^~\\&|ADT{patient % 3}|NORTH|BATON|HOME|20260102030405||ADT^A01^ADT_A01|{control_id}|P|2.5.1\r"
        "EVN||20260102030405\r"
        f"PID|1||{patient}^^^NORTH^MR||Amber^Test^Q||19700101|F|||1 Synthetic Way^^Town^NY^10001||5550100\r"
        "PD1||||1234^Primary^Care\r"
        "NK1|1|Amber^Next|SPO|1 Synthetic Way^^Town^NY^10001|5550101\r"
        f"PV1|1|I|2000^2012^01||||1234^Attending^Doctor|||MED||||ADM|||1234^Attending^Doctor|IP|V{patient}\r"
        f"{_NTE}"
    ).encode()


async def _connection(port: int, number: int, until: float, pause: float) -> list[float]:
    """Send until a moment; the seconds that each acknowledgement took. pause: between two, 0 for none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    unique, count, took = f"{os.getpid()}-{number}", 0, []
    due = time.perf_counter() + pause * number / CONNECTIONS
    while time.perf_counter() < until:
        if pause:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due += pause
        data = b"\x0b" + message(f"{unique}-{count}", number * 1_000 + count % 200) + b"\x1c\r"
        count += 1
        started = time.perf_counter()
        writer.write(data)
        answer = await reader.readuntil(b"\x1c\r")
        took.append(time.perf_counter() - started)
        if b"\rMSA|AA|" not in answer:
            raise SystemExit(f"not accepted: {answer!r}")
    writer.close()
    return took


async def _send(port: int, seconds: float, rate: int) -> list[float]:
    until = time.perf_counter() + seconds
    pause = CONNECTIONS / rate if rate else 0.0
    found = await asyncio.gather(*(_connection(port, n, until, pause) for n in range(CONNECTIONS)))
    return [one for each in found for one in each]


def sent(port: int, seconds: float, rate: int = 0) -> list[float]:
    """What `_send` finds, from a process of its own."""
    command = [sys.executable, __file__, "--send-to", str(port), "--seconds", str(seconds), "--rate", str(rate)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2_000:])
    return list(json.loads(done.stdout))


class Listener:
    """`baton serve mllp` on a database."""

    def __init__(self, home: Path, url: str) -> None:
        self.port = free_port()
        home.mkdir(parents=True, exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        environment = clean | {
            "BATON_HOME": str(home),
            "BATON_DATABASE_URL": url,
            "BATON_SECRET_KEY": "of no value: it lives for a minute",
            "BATON_TIME_ZONE": "America/New_York",
            "BATON_PORT_MLLP": str(self.port),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server.cli", "serve", "mllp"], cwd=ROOT, env=environment
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the listener does not listen") from None
                time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def rows_of(url: str, most: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Columns and rows of messages that a listener has stored."""
    connection = connect(url)
    cursor = connection.execute(f"SELECT * FROM hl7v2_message ORDER BY id LIMIT {most}")
    columns = [column[0] for column in cursor.description]
    found = [row[1:] for row in cursor.fetchall()]
    connection.close()
    return columns[1:], found


def bare_rate(url: str, columns: list[str], rows: list[tuple[Any, ...]], seconds: float) -> float:
    """Plain inserts a second, each a durable transaction, of rows that differ in what they are known by."""
    connection = connect(url)
    places = ", ".join([mark(url)] * len(columns))
    statement = f"INSERT INTO hl7v2_message ({', '.join(columns)}) VALUES ({places})"
    control_id = columns.index("control_id")
    unique, count, started = time.time_ns(), 0, time.perf_counter()
    while (took := time.perf_counter() - started) < seconds:
        row = list(rows[count % len(rows)])
        row[control_id] = f"{unique}-{count}"
        connection.execute(statement, row)
        count += 1
    connection.close()
    return count / took


@contextmanager
def databases(kind: str) -> Iterator[tuple[str, str]]:
    """The URLs of two empty databases: a log that one of them leaves behind is not the other's to clear."""
    with tempfile.TemporaryDirectory(prefix="baton-hl7v2-") as folder:
        if kind == "sqlite":
            yield f"sqlite:///{folder}/baton.sqlite3", f"sqlite:///{folder}/bare.sqlite3"
            return
        cluster = tests_postgresql().Cluster()
        cluster.start()
        try:
            yield cluster.create_database("benchmark"), cluster.create_database("bare")
        finally:
            cluster.remove()


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on one database.

    rates, limits: messages a second by rounds. took: seconds of acknowledgements, in order.
    """

    database: str
    rates: tuple[float, ...]
    limits: tuple[float, ...]
    took: tuple[float, ...]

    def milliseconds(self, share: float) -> float:
        """Within which this share of the acknowledgements came."""
        return self.took[min(int(len(self.took) * share), len(self.took) - 1)] * 1_000


def steps(rounds: int) -> int:
    """How many times `measure` calls step."""
    return 2 * rounds + 1


def measure(kind: str, rounds: int, seconds: float, step: Callable[[str], None]) -> Figures:
    """All figures of one database."""
    rates: list[float] = []
    limits: list[float] = []
    with databases(kind) as (url, bare), tempfile.TemporaryDirectory(prefix="baton-home-") as home:
        store = open_store(bare)
        store.upgrade()
        store.close()
        listener = Listener(Path(home), url)
        try:
            sent(listener.port, 1.0)
            columns, rows = rows_of(url, 500)
            for _ in range(rounds):
                rates.append(len(sent(listener.port, ROUND_SECONDS)) / ROUND_SECONDS)
                step("acknowledged")
                limits.append(bare_rate(bare, columns, rows, ROUND_SECONDS / 2))
                step("bare inserts")
            took = sorted(sent(listener.port, seconds, RATE))
            step("time of an acknowledgement")
        finally:
            listener.stop()
    return Figures(kind, tuple(rates), tuple(limits), tuple(took))


def verdicts(found: Sequence[Figures]) -> list[Verdict]:
    """Whether the bars hold."""
    made = []
    for one in found:
        pairs = zip(one.rates, one.limits, strict=True)
        ratio = statistics.median(rate / limit for rate, limit in pairs)
        rate, most = statistics.median(one.rates), one.milliseconds(0.99)
        made += [
            Verdict(f"{one.database}: HL7 v2 messages acknowledged a second", rate, BARS["rate"], True),
            Verdict(f"{one.database}: of bare durable inserts", ratio, BARS["ratio"], True),
            Verdict(f"{one.database}: ms, p99 of an ACK at {RATE}/s", most, BARS["milliseconds"], False),
        ]
    return made


def table(found: Sequence[Figures]) -> list[str]:
    """A row a database."""
    lines = [
        "| database | acknowledged a second | bare inserts a second | ACK at 100/s, median | p99 | longest |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in found:
        rates, limits = (f"{statistics.median(x):,.0f}" for x in (one.rates, one.limits))
        times = (f"{one.milliseconds(share):.1f} ms" for share in (0.5, 0.99, 1.0))
        lines.append("| " + " | ".join((one.database, rates, limits, *times)) + " |")
    return lines


@click.command()
@click.option("--database", "kinds", multiple=True, type=click.Choice(["sqlite", "postgresql"]))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=60.0, show_default=True, help="Of the latency's measurement.")
@click.option("--check", is_flag=True, help="Status 1 where a bar is missed.")
@click.option("--send-to", type=int, hidden=True)
@click.option("--rate", type=int, default=0, hidden=True)
def main(
    kinds: tuple[str, ...],
    rounds: int,
    seconds: float,
    check: bool,
    send_to: int | None,
    rate: int,
) -> None:
    """Measure, and say whether the bars hold."""
    if send_to is not None:
        click.echo(json.dumps(asyncio.run(_send(send_to, seconds, rate))))
        return
    chosen = kinds or ("sqlite", "postgresql")
    found = [measure(kind, rounds, seconds, lambda what: None) for kind in chosen]
    click.echo("\n".join(table(found)))
    for verdict in verdicts(found):
        click.echo(verdict.line())
    sys.exit(int(check and not all(verdict.holds for verdict in verdicts(found))))


if __name__ == "__main__":
    main()
