"""Paging while others write, against four real server processes.

What matched throughout and was not changed comes exactly once over all pages and in order; nothing comes
twice unless it was changed in between. BATON_PAGING_SECONDS: how long each order is paged through (2).
Source: docs/reference/search.md, hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest
from baton_processes import Baton

pytestmark = pytest.mark.network

SECONDS = float(os.environ.get("BATON_PAGING_SECONDS") or 2)
KEPT = 60
CHANGING = 40
WRITERS = 4
DATES = tuple(f"2024-03-{day:02d}" for day in range(1, 29))
NUMBERS = tuple(str(number) for number in range(1, 9))

Json = dict[str, Any]


class Client:
    """Requests over one connection."""

    def __init__(self, baton: Baton) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", baton.port, timeout=60)
        self._headers = {
            "Authorization": f"Bearer {baton.token}",
            "Content-Type": "application/fhir+json",
            "Prefer": "return=minimal",
        }

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, f"/fhir/{path}", sent, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None


def observation(random: Random, id: str, status: str = "final") -> Json:
    """A synthetic measurement; its status decides whether it is found, the rest where it comes."""
    return {
        "resourceType": "Observation",
        "id": id,
        "status": status,
        "code": {"coding": [{"system": "urn:example:x", "code": random.choice("ab")}]},
        "subject": {"reference": f"Patient/{random.choice('pq')}"},
        "effectiveDateTime": random.choice(DATES),
        "valueQuantity": {"value": int(random.choice(NUMBERS)), "unit": "mg"},
    }


class Writer(threading.Thread):
    """Changes what it owns until told to stop: into the search and out of it, across the order, away."""

    def __init__(self, baton: Baton, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._client, self._ended, self._random = Client(baton), stop, Random(number)
        self._ids = [f"changing-{at}" for at in range(number, CHANGING, WRITERS)]
        self._number, self.done, self.fault = number, 0, ""

    def run(self) -> None:
        while not self._ended.is_set() and not self.fault:
            form, id = self._random.random(), self._random.choice(self._ids)
            if form < 0.1:
                status, answer = self._client("DELETE", f"Observation/{id}")
            elif form < 0.2:
                new = f"new-{self._number}-{self.done % 10}"
                status, answer = self._client("PUT", f"Observation/{new}", observation(self._random, new))
            else:
                state = self._random.choice(("final", "final", "amended"))
                changed = observation(self._random, id, state)
                status, answer = self._client("PUT", f"Observation/{id}", changed)
            if status not in (200, 201, 204):
                self.fault = f"{status}: {answer}"
            self.done += 1


@pytest.fixture(scope="module")
def kept(baton: Baton) -> dict[str, Json]:
    """What nobody changes, by id; and a state of what is changed."""
    client, random = Client(baton), Random(0)
    found = {}
    for number in range(KEPT):
        made = observation(random, f"kept-{number:02d}")
        assert client("PUT", f"Observation/{made['id']}", made)[0] == 201
        found[made["id"]] = made
    for number in range(CHANGING):
        made = observation(random, f"changing-{number}")
        assert client("PUT", f"Observation/{made['id']}", made)[0] == 201
    return found


@pytest.fixture
def written(baton: Baton, kept: dict[str, Json]) -> Iterator[Callable[[], int]]:
    """While the test runs, four clients write; `written()`: how often so far."""
    stop = threading.Event()
    writers = [Writer(baton, number, stop) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    yield lambda: sum(writer.done for writer in writers)
    stop.set()
    for writer in writers:
        writer.join(30)
        assert not writer.fault, writer.fault


def walked(client: Client, sort: str) -> list[tuple[str, str]]:
    """(id, version) of every match over all pages."""
    query = {"status": "final", "_count": "7"} | ({"_sort": sort} if sort else {})
    path = f"Observation?{urlencode(query)}"
    found: list[tuple[str, str]] = []
    while path:
        status, bundle = client("GET", path)
        assert status == 200, bundle
        rows = [entry["resource"] for entry in bundle.get("entry", ())]
        assert all(row["status"] == "final" for row in rows)
        found += [(row["id"], row["meta"]["versionId"]) for row in rows]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        path = following[0].partition("/fhir/")[2] if following else ""
        assert len(found) < 100_000, "the pages do not end"
    return found


def in_order(kept: dict[str, Json], sort: str) -> list[str]:
    """The ids of what nobody changes, as a search sorts them."""
    keys: dict[str, Callable[[Json], Any]] = {
        "date": lambda row: row["effectiveDateTime"],
        "value-quantity": lambda row: row["valueQuantity"]["value"],
        "_id": lambda row: row["id"],
        "_lastUpdated": lambda row: row["id"],  # written in this order
    }
    rows = list(kept.values())
    for part in reversed(sort.split(",") if sort else []):
        rows.sort(key=keys[part.removeprefix("-")], reverse=part.startswith("-"))
    return [row["id"] for row in rows]


@pytest.mark.requirement("U1")
@pytest.mark.parametrize(
    "sort",
    ["", "_id", "date", "-date", "-date,value-quantity", "value-quantity,-date,-_id", "-_lastUpdated"],
)
def test_what_nobody_changes_comes_exactly_once_and_in_order(
    baton: Baton, kept: dict[str, Json], written: Callable[[], int], sort: str
) -> None:
    client, wanted = Client(baton), in_order(kept, sort)
    until = time.monotonic() + SECONDS
    walks = 0
    while walks < 2 or time.monotonic() < until:
        found = walked(client, sort)
        assert [id for id, _ in found if id in kept] == wanted
        assert len(set(found)) == len(found), "a version comes twice"
        if sort in ("", "_id"):  # a change does not move a resource in these orders
            assert len({id for id, _ in found}) == len(found), "a resource comes twice"
        walks += 1
    assert written() > WRITERS, "nobody wrote meanwhile"
