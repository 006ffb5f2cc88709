"""The intake over a real database of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.fhir.dates import microseconds
from server.hl7v2.intake import Intake
from server.hl7v2.received import Origin, Receipt, Received
from server.hl7v2.sources import Sources
from server.logs import Log
from server.storage import open_store
from server.storage.database_store import DatabaseStore
from server.storage.hl7v2_sources import SourceRow

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Desk:
    """An intake, and what it leaves."""

    store: DatabaseStore
    intake: Intake
    sources: Sources
    log: Path
    now: datetime = NOW

    def take(self, *data: bytes, flaw: str = "", **origin: Any) -> list[Receipt]:
        where = Origin(**{"listener": "mllp", "address": "10.1.2.3", **origin})
        return self.intake.take([Received(one, where, flaw) for one in data])

    def put(self, name: str = "north", state: str = "confirmed", **settings: Any) -> None:
        """Change a source; known at once."""
        self.store.hl7v2_sources.put(SourceRow(name, "ADT1", "NORTH", state, json.dumps(settings), 0))
        self.now += timedelta(seconds=2)

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        with self.store.database.reading() as connection:
            return connection.execute(f"SELECT {columns} FROM hl7v2_message ORDER BY id").fetchall()


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    store = open_store(database_url)
    store.upgrade()
    path = tmp_path / "log"
    with path.open("ab") as stream:
        sources = Sources(store.hl7v2_sources, lambda: microseconds(made.now))
        log = Log("INFO", stream.fileno())
        intake = Intake(store.hl7v2_log, sources, lambda: made.now, "America/New_York", log)
        made = Desk(store, intake, sources, path)
        yield made
    store.close()


@pytest.fixture
def msa(hl7v2_wire: Any) -> Callable[[Receipt], str]:
    """MSA-1 of the one answer of a receipt."""

    def find(receipt: Receipt) -> str:
        (answer,) = receipt.answers
        return str(hl7v2_wire.fields(answer, "MSA")[1])

    return find
