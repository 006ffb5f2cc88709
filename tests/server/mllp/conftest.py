"""A listener on real sockets over a real database, its event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.fhir.dates import microseconds
from server.hl7v2.intake import Intake
from server.hl7v2.sources import Sources
from server.logs import Log
from server.mllp.limits import Limits
from server.mllp.listener import Listener
from server.mllp.return_address import Returns
from server.mllp.tls import Certificates
from server.outbound_networks import Networks
from server.storage import open_store
from server.storage.database_store import DatabaseStore
from server.storage.hl7v2_sources import SourceRow


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Running:
    """A listener that runs. wire: tests/hl7v2_sender.py."""

    store: DatabaseStore
    listener: Listener
    returns: Returns
    loop: asyncio.AbstractEventLoop
    wire: ModuleType
    log: BinaryIO
    port: int = 0
    senders: list[Any] = field(default_factory=list)

    def sender(self, **options: Any) -> Any:
        """A new connection."""
        made = self.wire.Sender(self.port, **options)
        self.senders.append(made)
        return made

    def call(self, work: Any, seconds: float = 20.0) -> Any:
        """Run a coroutine in the listener's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def rows(self, columns: str = "control_id, state, error, warnings") -> list[tuple[Any, ...]]:
        """What the log holds, in order."""
        with self.store.database.reading() as connection:
            return connection.execute(f"SELECT {columns} FROM hl7v2_message ORDER BY id").fetchall()

    def becomes(self, control_id: str, state: str, error: str = "") -> None:
        """What a worker does with a message, as the log shows it."""
        with self.store.database.writing() as connection:
            changed = connection.execute(
                "UPDATE hl7v2_message SET state = :state, error = :error WHERE control_id = :control_id"
                " AND duplicate_of IS NULL",
                {"state": state, "error": error, "control_id": control_id},
            )
            assert changed.rowcount == 1

    def age(self, seconds: int) -> None:
        """Make all messages older."""
        with self.store.database.writing() as connection:
            connection.execute(
                "UPDATE hl7v2_message SET received = received - :by", {"by": seconds * 1_000_000}
            )

    def until(self, condition: Callable[[], object], what: str, seconds: float = 15.0) -> None:
        """Wait for something that the listener does. what: what is missing where it does not come about."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, what
            time.sleep(0.02)

    def begin(self, work: Any) -> Any:
        """The future of a coroutine that runs in the listener's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    @property
    def counts(self) -> Any:
        return self.listener.counts


def _source(settings: dict[str, Any]) -> SourceRow:
    return SourceRow("north", "ADT1", "NORTH", "confirmed", json.dumps(settings), 0)


class Authority:
    """A certificate authority of a test's own, and what it has signed, as PEM files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of these tests")])
        self._made = 0
        self.ca = str(folder / "ca.pem")
        own = self._certificate(self._name, self._key, None)
        Path(self.ca).write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def server(self) -> tuple[str, str]:
        """Certificate and key of a server on loopback."""
        return self._signed("127.0.0.1", x509.IPAddress(ip_address("127.0.0.1")))

    def client(self, name: str = "") -> ssl.SSLContext:
        """The context of a client, with a certificate of this name."""
        context = ssl.create_default_context(cafile=self.ca)
        if name:
            context.load_cert_chain(*self._signed(name, x509.DNSName(name)))
        return context

    def _signed(self, name: str, alternative: x509.GeneralName) -> tuple[str, str]:
        self._made += 1
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._certificate(subject, key, alternative)
        cert, private = self._folder / f"{self._made}.pem", self._folder / f"{self._made}.key"
        cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        private.write_bytes(key.private_bytes(*form))
        return str(cert), str(private)

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, alternative: x509.GeneralName | None
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - timedelta(days=1))
            .not_valid_after(now() + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=alternative is None, path_length=None), critical=True)
        )
        if alternative is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority."""
    folder = tmp_path / "authority"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture
def listen(database_url: str, hl7v2_wire: ModuleType, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """`listen(limits=Limits(...), source={...}, certificates=...)`: a listener on a free port.

    source: settings of the source that `hl7v2_wire.admit` sends as.
    """
    made: list[tuple[Running, threading.Thread]] = []

    def start(
        *,
        limits: Limits | None = None,
        source: dict[str, Any] | None = None,
        rows: tuple[SourceRow, ...] = (),
        certificates: Certificates | None = None,
        networks: str = "127.0.0.0/8",
        outbound: Networks | None = None,
        port: int = 0,
    ) -> Running:
        store = open_store(database_url)
        store.upgrade()
        if source is not None:
            rows = (*rows, _source(source))
        for row in rows:
            store.hl7v2_sources.put(row)
        stream = (tmp_path / "listener.log").open("ab")
        log = Log("INFO", stream.fileno())
        loop = asyncio.new_event_loop()
        sources = Sources(store.hl7v2_sources, lambda: microseconds(now()))
        intake = Intake(store.hl7v2_log, sources, now, "America/New_York", log)
        listener = Listener(
            intake,
            store.hl7v2_log,
            sources,
            now,
            log,
            (ip_network(networks),),
            limits or Limits(),
            certificates,
        )
        allowed = outbound or Networks()
        returns = Returns(
            store.hl7v2_log,
            store.hl7v2_sources,
            intake,
            now,
            allowed,
            lambda: listener.awaited,
            listener.ask,
            log,
        )
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        running = Running(store, listener, returns, loop, hl7v2_wire, stream)
        made.append((running, thread))
        running.call(listener.start())
        running.port = running.call(listener.listen("127.0.0.1", port, tls=certificates is not None))
        return running

    yield start
    for running, thread in made:
        for sender in running.senders:
            sender.close()
        running.call(running.listener.stop(), 30)
        running.loop.call_soon_threadsafe(running.loop.stop)
        thread.join(10)
        running.loop.close()
        running.store.close()
        running.log.close()  # not before: its number would be somebody else's, a connection's


@pytest.fixture(scope="session")
def process_module() -> ModuleType:
    """process.py"""
    path = Path(__file__).parent / "process.py"
    spec = importlib.util.spec_from_file_location("mllp_process", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mllp_process"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def serve(process_module: ModuleType, database_url: str, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`serve(environment={...})`: a listener process on a free port; killed at the end."""
    made: list[Any] = []

    def start(**options: Any) -> Any:
        process = process_module.Process(tmp_path / "home", database_url, **options)
        made.append(process)
        return process.start()

    yield start
    for process in made:
        process.kill()
