"""A feed whose maps are the tests': messages stand in the log, and what a map makes of each is said here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import structs

from mappings.result import Identity, Intent, Mapped, Merge
from server.app import make_context
from server.fhir.dates import microseconds
from server.fhir.hashing import hash64
from server.fhir.json_codec import decode
from server.fhir.visibility import EVERYTHING
from server.hl7v2.apply import Applier
from server.hl7v2.work import Work
from server.settings import Settings
from server.storage.hl7v2_identities import Hl7v2Identities
from server.storage.hl7v2_log import Hl7v2Log, NewMessage
from server.storage.hl7v2_traces import Hl7v2Traces
from server.storage.hl7v2_work import Hl7v2Work, Received
from server.workers.hl7v2 import TOGETHER
from server.workers.timing import Backoff

MRN = "urn:id:HOSP"
VISIT = "urn:id:VISITS"
START = microseconds(datetime(2026, 3, 1, 8, 0, tzinfo=UTC))
MINUTE = 60_000_000


def patient_key(mrn: str) -> int:
    """The order key of a patient of the feed."""
    return hash64("key", mrn) & (2**63 - 1)


class Feed:
    """One sender and the worker of its messages.

    maps: by the number of a message, what its map says: a value, or an exception that it raises.
    """

    def __init__(self, store: Any, settings: Settings, clock: Any, new_id: Callable[[], str]) -> None:
        self.store, self.clock = store, clock
        self.log = Hl7v2Log(store.database)
        self.messages = Hl7v2Work(store.database)
        self.identities = Hl7v2Identities(store.database)
        self.traces = Hl7v2Traces(store.database)
        self.context = make_context(settings, store, clock=clock, new_id=new_id)
        self.maps: dict[int, Mapped | Exception] = {}
        self.parked: set[str] = set()
        self.failures: list[tuple[str, str]] = []
        self.backoff = Backoff(lambda: 0.0, attempts=4)
        self.work = self.worker()

    def worker(self, **more: Any) -> Work:
        """Another worker of the same messages."""
        options: dict[str, Any] = {
            "store": self.store,
            "messages": self.messages,
            "traces": self.traces,
            "applier": Applier(self.context, self.identities),
            "mapper": self._mapped,
            "parks": lambda source: source in self.parked,
            "clock": self.clock,
            "retry": self.backoff.retry,
            "failed": lambda name, error: self.failures.append((name, type(error).__name__)),
            "together": TOGETHER,
        }
        return Work(**options | more)

    def _mapped(self, received: Received) -> Mapped:
        mapped = self.maps[received.id]
        if isinstance(mapped, Exception):
            raise mapped
        return mapped

    def send(
        self,
        mapped: Mapped | Exception,
        *,
        patient: str = "1",
        other: str | None = None,
        source: str = "adt",
        type: str = "ADT",
        trigger: str = "A08",
        visit: str = "",
        raw: bytes = b"",
    ) -> int:
        """Store a message; its number. other: of a merge, the patient that ends."""
        at = microseconds(self.clock())
        number = len(self.maps) + 1
        message = NewMessage(
            source=source,
            listener="mllp",
            control_id=f"C{number}",
            sha256=number.to_bytes(32, "big"),
            received=at,
            raw=raw or b"MSH|^~\\&|made by a test",
            type=type,
            trigger=trigger,
            event_at=at,
            order_key=patient_key(patient),
            second_key=None if other is None else patient_key(other),
            mrn=patient,
            visit=visit,
            ack_code="AA",
        )
        (kept,) = self.log.keep([message], since=0)
        self.maps[kept.id] = mapped
        return kept.id

    def run(self, rounds: int = 50) -> int:
        """Work until nothing is left that may go now; how many were done."""
        done = 0
        for _ in range(rounds):
            if not (count := self.work.do_some()):
                break
            done += count
        return done

    def apply(self, mapped: Mapped | Exception, **more: Any) -> int:
        """Send a message and work; its number."""
        id = self.send(mapped, **more)
        self.run()
        return id

    def row(self, id: int) -> dict[str, Any]:
        """A message as the log has it."""
        with self.store.database.reading() as connection:
            (row,) = connection.named("SELECT * FROM hl7v2_message WHERE id = :id", {"id": id})
        return dict(row)

    def states(self) -> list[str]:
        """The states of all messages, in order."""
        return [str(self.row(id)["state"]) for id in sorted(self.maps)]

    def stored(self, resource_type: str) -> list[dict[str, Any]]:
        """All resources of a type that are there, in the order of their making."""
        with self.store.database.reading() as connection:
            rows = connection.execute(
                "SELECT body FROM resource WHERE type = :type AND deleted = 0 ORDER BY rid",
                {"type": resource_type},
            ).fetchall()
        return [decode(bytes(row[0])) for row in rows]

    def one(self, resource_type: str) -> dict[str, Any]:
        """The one resource of a type."""
        (found,) = self.stored(resource_type)
        return found

    def of(self, resource_type: str, value: str) -> dict[str, Any]:
        """The one resource whose first identifier has this value."""
        (found,) = (
            one
            for one in self.stored(resource_type)
            if one.get("identifier") and one["identifier"][0]["value"] == value
        )
        return found

    def read(self, resource_type: str, id: str) -> dict[str, Any]:
        """A resource by its id."""
        with self.store.reading() as reader:
            found = reader.read(resource_type, id, EVERYTHING)
        return decode(found.body)


@pytest.fixture
def feed(store: Any, settings: Settings, clock: Any) -> Feed:
    numbers = iter(range(1, 1_000_000))
    return Feed(store, settings, clock, lambda: f"id-{next(numbers)}")


class Say:
    """Short ways to say what a map may say of a message of the feed."""

    def patient(self, mrn: str = "1", *, key: str = "patient", write: str = "merge", **elements: Any) -> Intent:
        """A Patient with an MRN."""
        resource = {
            "resourceType": "Patient",
            "identifier": [{"system": MRN, "value": mrn}],
            **elements,
        }
        return Intent(
            key,
            resource,
            (Identity(MRN, mrn),),
            write=write,
            lists={"identifier": "union:system,value"},
        )

    def encounter(self, visit: str = "V1", status: str = "in-progress", **elements: Any) -> Intent:
        """An Encounter of the patient."""
        resource = {
            "resourceType": "Encounter",
            "identifier": [{"system": VISIT, "value": visit}],
            "status": status,
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "subject": {"reference": "#intent:patient"},
            **elements,
        }
        lists = {"identifier": "union:system,value", "location": "transfer"}
        return Intent("encounter", resource, (Identity(VISIT, visit),), lists=lists)

    def observation(self, filler: str, status: str = "final", value: str = "1", **elements: Any) -> Intent:
        """A result of the patient, known by the filler's number."""
        resource = {
            "resourceType": "Observation",
            "status": status,
            "code": {"text": "made by a test"},
            "subject": {"reference": "#intent:patient"},
            "valueString": value,
            **elements,
        }
        ranks = {"registered": 0, "preliminary": 1, "final": 2, "corrected": 3}
        identity = Identity("urn:id:LAB", filler, is_identifier=False)
        return Intent(f"observation-{filler}", resource, (identity,), status="status", ranks=ranks)

    def mapped(self, *intents: Intent, at: float = 0, merges: Sequence[Merge] = (), **more: Any) -> Mapped:
        """What a map says. at: minutes after the beginning."""
        return Mapped("v1", START + int(at * MINUTE), intents, tuple(merges), **more)

    def merge(self, survivor: str, victim: str, *, at: float = 0) -> Mapped:
        """The end of one patient's record in another one's."""
        return self.mapped(
            self.patient(survivor, key="survivor"),
            self.patient(victim, key="victim"),
            at=at,
            merges=(Merge("Patient", "survivor", "victim"),),
        )

    def but(self, intent: Intent, **changes: Any) -> Intent:
        """An intent, changed."""
        return structs.replace(intent, **changes)


@pytest.fixture
def say() -> Say:
    return Say()


@pytest.fixture
def later(clock: Any) -> Callable[..., None]:
    """`later(minutes=5)`: the clock moves."""

    def move(**by: float) -> None:
        clock.advance(**by)

    return move
