"""The queue with everybody at it at once: writers, relays, carriers that come late, fail, give back or die.

Threads with connections of their own, so that on PostgreSQL transactions really overlap. Covers
server/storage/outbox.py and claimable.py; test_outbox.py has the same laws one step after the other.

BATON_RACE_ROUNDS: rounds (1), each a few seconds. BATON_RACE_SEED: repeats the choices of an earlier run; how
the threads interleave is the machine's affair.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.visibility import EVERYTHING
from server.storage.outbox import Failure, OutboxEvent
from server.storage.versions import VersionConflict

ROUNDS = int(os.environ.get("BATON_RACE_ROUNDS") or 1)
SEED = int(os.environ.get("BATON_RACE_SEED") or random.SystemRandom().randrange(1_000_000))

CONSUMERS = ("one", "two")
RESOURCES, CHARTS = 6, 3
WRITERS, COMMITS = 3, 25
CARRIERS = 4
LEASE = timedelta(seconds=30)
LONG = timedelta(days=1)
GIVE_UP_AFTER = 5
ENOUGH_SECONDS = 60.0


@dataclass
class Race:
    """What the threads of one round share. Time is theirs: leases end when somebody lets time pass."""

    chart: Any
    now: datetime
    lock: threading.Lock = field(default_factory=threading.Lock)
    written: list[list[tuple[str, int]]] = field(default_factory=list)  # a writer's commits, in its order
    tokens: list[str] = field(default_factory=list)  # batches that nobody carries at the moment
    telling: dict[str, set[int]] = field(default_factory=lambda: {name: set() for name in CONSUMERS})
    told: dict[str, list[OutboxEvent]] = field(default_factory=lambda: {name: [] for name in CONSUMERS})
    writing: int = WRITERS

    @property
    def outbox(self) -> Any:
        return self.chart.store.outbox

    # -- writers

    def write(self, seed: str) -> None:
        """Commit versions of a few resources that move between a few charts; what loses a race is left."""
        chance, own = random.Random(seed), []
        try:
            for _ in range(COMMITS):
                versions = []
                try:
                    with self.chart.store.writing() as writer:
                        for number in chance.sample(range(RESOURCES), chance.randint(1, 3)):
                            resource: dict[str, Any] = {
                                "resourceType": "Observation",
                                "id": f"o{number}",
                                "status": "final",
                                "code": {"text": "synthetic"},
                                "subject": {"reference": f"Patient/p{chance.randrange(CHARTS)}"},
                            }
                            current = writer.read("Observation", resource["id"], EVERYTHING)
                            expected = current.version_id if current else 0
                            writer.put(self.chart.version(resource, expected, self.now))
                            versions.append((resource["id"], expected + 1))
                except (FhirError, VersionConflict):
                    continue
                own += versions
                time.sleep(chance.uniform(0, 0.01))
        finally:
            with self.lock:
                self.written.append(own)
                self.writing -= 1

    # -- relays and carriers

    def work(self, seed: str) -> None:
        """Do this and that until everything written is settled."""
        chance = random.Random(seed)
        steps: list[Callable[[random.Random], object]] = [
            self.hand_over, self.claim, self.claim, self.carry, self.carry, self.carry,
            self.give_back, self.die, self.pass_time,
        ]  # fmt: skip
        deadline = time.monotonic() + ENOUGH_SECONDS
        while time.monotonic() < deadline:
            if not self.writing and set(self.outbox.waiting()) <= {"dead"}:
                return
            for _ in range(20):
                chance.choice(steps)(chance)
        raise AssertionError(f"still waiting: {self.outbox.waiting()}")

    def hand_over(self, chance: random.Random) -> None:
        self.outbox.hand_over(limit=chance.randint(1, 8))

    def claim(self, chance: random.Random) -> None:
        batch = self.outbox.claim(
            chance.choice(CONSUMERS), self.now, lease=LEASE, limit=chance.choice((1, 2, 5, 50))
        )
        if batch is not None:
            assert batch.events
            self.tokens.append(batch.token)

    def take(self, chance: random.Random) -> str:
        """A batch for this thread alone, maybe one whose lease ended long ago."""
        with self.lock:
            return self.tokens.pop(chance.randrange(len(self.tokens))) if self.tokens else ""

    def carry(self, chance: random.Random) -> None:
        """As `Carrier.carry` does: renew, look what is still held, tell it up to what fails, settle."""
        token = self.take(chance)
        if not token or not self.outbox.renew(token, self.now + LONG):
            return
        batch = self.outbox.batch(token)
        keys = {key for event in batch.events for key in event.keys}
        telling = self.telling[batch.consumer]
        with self.lock:
            assert telling.isdisjoint(keys), "two carriers tell of one chart or resource"
            telling |= keys
        end = chance.choice((len(batch.events), len(batch.events), chance.randrange(len(batch.events))))
        for event in batch.events[:end]:
            time.sleep(chance.choice((0, 0, 0.001)))
            self.told[batch.consumer].append(event)
        with self.lock:
            telling -= keys
        retry = self.now + timedelta(seconds=20)
        failed = [
            Failure(event.number, "ValueError", None if event.attempts >= GIVE_UP_AFTER else retry)
            for event in batch.events[end : end + 1]
        ]
        held = self.outbox.settle(
            batch,
            done=[event.number for event in batch.events[:end]],
            failed=failed,
            back=[event.number for event in batch.events[end + 1 :]],
            again=retry if chance.random() < 0.5 else self.now,
        )
        assert held == len(batch.events), "somebody took what was held"

    def give_back(self, chance: random.Random) -> None:
        if chance.random() < 0.3 and (token := self.take(chance)):
            self.outbox.give_back(token, self.now)

    def die(self, chance: random.Random) -> None:
        if chance.random() < 0.3:
            self.take(chance)

    def pass_time(self, chance: random.Random) -> None:
        with self.lock:
            self.now += timedelta(seconds=chance.randint(1, 25))

    # -- laws

    def check(self) -> None:
        assert set(self.outbox.waiting()) <= {"dead"}
        versions = {
            f"o{number}": self.chart.reading(
                lambda reader, id=f"o{number}": reader.read("Observation", id, EVERYTHING)
            )
            for number in range(RESOURCES)
        }
        written = {
            (id, version) for id, last in versions.items() if last for version in range(1, last.version_id + 1)
        }
        assert {pair for own in self.written for pair in own} == written
        dead = self.chart.store.dead_letters.letters(limit=10_000)
        for consumer in CONSUMERS:
            given_up = {
                (letter.id, letter.version_id): letter.number for letter in dead if letter.consumer == consumer
            }
            firsts = list({event.number: event for event in self.told[consumer]}.values())
            assert {(event.id, event.version_id) for event in firsts} | set(given_up) == written
            for key in {key for event in firsts for key in event.keys}:
                numbers = [event.number for event in firsts if key in event.keys]
                assert numbers == sorted(numbers), "a chart or resource out of its order"
            number_of = {(event.id, event.version_id): event.number for event in firsts} | given_up
            assert len(set(number_of.values())) == len(number_of)
            for own in [*self.written, *([(id, v) for i, v in sorted(written) if i == id] for id in versions)]:
                in_order = [number_of[pair] for pair in own]
                assert in_order == sorted(in_order), "numbers against the order of the commits"


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_all_at_once_every_consumer_hears_everything_and_each_chart_in_its_order(chart: Any, turn: int) -> None:
    print(f"BATON_RACE_SEED={SEED}")
    race = Race(chart, chart.now)
    race.outbox.register(CONSUMERS, chart.now)
    with ThreadPoolExecutor(WRITERS + CARRIERS) as threads:
        futures = [threads.submit(race.write, f"{SEED} {turn} writer {n}") for n in range(WRITERS)]
        futures += [threads.submit(race.work, f"{SEED} {turn} carrier {n}") for n in range(CARRIERS)]
    for future in futures:
        future.result()
    race.check()
