"""A seeded load: client threads that create, update, delete, send transactions and read back what they wrote.

Each client owns resources nobody else writes, so that the whole history of each is known; all of them also
fight for a few shared ones with If-Match and create under a few shared conditions.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import uuid
from typing import Any

from ledger import CONDITION, MARK, Entry, Ledger, Request

SHARED = 3
CONDITIONS = 40


class Client(threading.Thread):
    """One client with a connection of its own, until `stop` is set."""

    def __init__(
        self, ledger: Ledger, port: int, token: str, seed: str, stop: threading.Event, tolerated: frozenset[int]
    ) -> None:
        super().__init__(name=f"client {seed}", daemon=True)
        self._ledger, self._port, self._token, self._stop_event = ledger, port, token, stop
        self._tolerated = tolerated
        self._random = random.Random(seed)
        self._name = seed.replace(" ", "-")
        self._number = 0
        self._own: dict[str, tuple[str, int, bytes]] = {}  # id -> type, version, stored bytes
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        steps = (self._create, self._update, self._transaction, self._conditional, self._shared, self._delete)
        weights = (5, 5, 3, 2, 2, 1)
        try:
            while not self._stop_event.is_set():
                self._random.choices(steps, weights)[0]()
                if self._random.random() < 0.3:
                    self._read_back()
                if self._random.random() < 0.05:  # the next connection may be another process's
                    self._drop()
        except Exception as error:  # a defect of the test must fail it, not end a thread unseen
            self._ledger.fault(f"{self.name}: {error!r}")
            raise
        finally:
            self._drop()

    # What a client does. Each step is one request, in the ledger before it is sent.

    def _create(self) -> None:
        entry = self._entry("POST", "Observation")
        if self._write("create", "POST", "/Observation", (entry,), entry.content):
            self._remember(entry)

    def _update(self) -> None:
        if not self._own or self._random.random() < 0.2:  # a new id by PUT
            entry = self._entry("PUT", "Patient", f"{self._name}-{self._number}", 1)
        else:
            id = self._random.choice(list(self._own))
            resource_type, version, _ = self._own[id]
            entry = self._entry("PUT", resource_type, id, version + 1)
        headers = {"If-Match": f'W/"{entry.version - 1}"'} if entry.version > 1 else {"If-None-Match": "*"}
        self._own.pop(entry.id, None)  # unknown until it is answered
        path = f"/{entry.resource_type}/{entry.id}"
        if self._write("update", "PUT", path, (entry,), entry.content, headers):
            self._remember(entry)

    def _delete(self) -> None:
        if not self._own:
            return
        id = self._random.choice(list(self._own))
        resource_type, version, _ = self._own.pop(id)
        entry = Entry("DELETE", resource_type, id, version + 1)
        self._write("delete", "DELETE", f"/{resource_type}/{id}", (entry,), None)

    def _transaction(self) -> None:
        """3 to 8 entries: a new patient, observations that refer to it by its urn, updates of own resources."""
        patient = self._entry("POST", "Patient")
        entries = [patient]
        known = self._random.sample(list(self._own), min(len(self._own), 2))
        for position in range(self._random.randint(2, 7)):
            if position < len(known) and self._random.random() < 0.5:
                resource_type, version, _ = self._own.pop(known[position])
                entries.append(self._entry("PUT", resource_type, known[position], version + 1))
            else:
                observation = self._entry("POST", "Observation")
                assert observation.content is not None
                observation.content["subject"] = {"reference": patient.full_url}
                entries.append(observation)
        self._random.shuffle(entries)
        rows = []
        for entry in entries:
            url = entry.resource_type if entry.method == "POST" else f"{entry.resource_type}/{entry.id}"
            row: dict[str, Any] = {"request": {"method": entry.method, "url": url}, "resource": entry.content}
            if entry.method == "POST":
                row["fullUrl"] = entry.full_url
            else:
                row["request"]["ifMatch"] = f'W/"{entry.version - 1}"'
            rows.append(row)
        body = {"resourceType": "Bundle", "type": "transaction", "entry": rows}
        if self._write("transaction", "POST", "", tuple(entries), body):
            self._remember(*entries)

    def _conditional(self) -> None:
        condition = f"{CONDITION}|{self._random.randrange(CONDITIONS)}"
        entry = self._entry("POST", "Patient")
        assert entry.content is not None
        entry.content["identifier"].append(dict(zip(("system", "value"), condition.split("|"), strict=True)))
        headers = {"If-None-Exist": f"identifier={condition}"}
        self._write("create", "POST", "/Patient", (entry,), entry.content, headers, condition)

    def _shared(self) -> None:
        """Read a resource that all clients write, and write it with If-Match: one of those who read it wins."""
        path = f"/Patient/shared-{self._random.randrange(SHARED)}"
        request = Request(uuid.uuid4().hex, "read")
        status, headers, _ = self._send(request, "GET", path, None, {})
        if status not in (200, 404):
            return
        version = int(headers["ETag"][3:-1]) if status == 200 else 0
        entry = self._entry("PUT", "Patient", path.rpartition("/")[2], version + 1)
        condition = {"If-Match": f'W/"{version}"'} if version else {"If-None-Match": "*"}
        self._write("update", "PUT", path, (entry,), entry.content, condition, contended=True)

    def _read_back(self) -> None:
        """What was acknowledged to this client is what it reads, at any moment."""
        if not self._own:
            return
        id = self._random.choice(list(self._own))
        resource_type, _, stored = self._own[id]
        status, _, body = self._send(
            Request(uuid.uuid4().hex, "read"), "GET", f"/{resource_type}/{id}", None, {}
        )
        if status == 200 and stored and body != stored:
            self._ledger.fault(f"{resource_type}/{id} reads back as something else than was acknowledged")
        elif status != 200 and status not in self._tolerated:
            self._ledger.fault(f"{resource_type}/{id} reads back as {status}")

    # One request, its answer and its place in the ledger.

    def _entry(self, method: str, resource_type: str, id: str = "", version: int = 0) -> Entry:
        self._number += 1
        mark = f"{self._name}.{self._number}"
        content: dict[str, Any] = {
            "resourceType": resource_type,
            "identifier": [{"system": MARK, "value": mark}],
        }
        if id:
            content["id"] = id
        if resource_type == "Observation":
            content |= {"status": "final", "code": {"text": "a measurement"}}
            content["valueQuantity"] = {"value": self._random.randrange(1000), "unit": "1"}
        else:
            content |= {"name": [{"family": self._random.choice(["Adams", "Brown", "Clark", "Davis"])}]}
            content["birthDate"] = f"{self._random.randrange(1930, 2020)}-01-02"
        urn = f"urn:uuid:{uuid.UUID(int=self._random.getrandbits(128), version=4)}" if method == "POST" else ""
        return Entry(method, resource_type, id, version, content, mark, urn)

    def _write(
        self,
        interaction: str,
        method: str,
        path: str,
        entries: tuple[Entry, ...],
        body: dict[str, Any] | None,
        headers: dict[str, str] | None = None,
        condition: str = "",
        contended: bool = False,
    ) -> bool:
        """Send it; whether it was acknowledged. contended: others write this too, so it may be refused."""
        request = Request(uuid.uuid4().hex, interaction, entries, condition=condition)
        status, answered, answer = self._send(request, method, path, body, headers or {})
        if not 200 <= status < 300:
            if status not in self._tolerated and not (contended and status in (409, 412)):
                self._ledger.fault(f"{interaction} was answered {status}: {answer[:300]!r}")
            return False
        if interaction == "transaction":
            for entry, row in zip(entries, json.loads(answer)["entry"], strict=True):
                self._settle(entry, row["response"]["location"])
        elif interaction == "delete":
            entries[0].version = int(answered["ETag"][3:-1])
        else:
            request.wrote = not (condition and status == 200)
            self._settle(entries[0], answered.get("Location") or answered["Content-Location"])
            entries[0].stored = answer
        return True

    @staticmethod
    def _settle(entry: Entry, location: str) -> None:
        rest, _, version = location.partition("/_history/")
        entry.id, entry.version = rest.rpartition("/")[2], int(version)

    def _remember(self, *entries: Entry) -> None:
        for entry in entries:
            self._own[entry.id] = (entry.resource_type, entry.version, entry.stored)

    def _send(
        self, request: Request, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
    ) -> tuple[int, Any, bytes]:
        """Status, headers, body; status 0 where no complete answer came."""
        self._ledger.add(request)
        headers = {"Authorization": f"Bearer {self._token}", "X-Request-Id": request.request_id, **headers}
        if body is not None:
            headers["Content-Type"] = "application/fhir+json"
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            data = None if body is None else json.dumps(body).encode()
            self._connection.request(method, f"/fhir{path}", data, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._drop()
            time.sleep(0.02)
            return 0, {}, b""
        request.status = answer.status
        return answer.status, answer.headers, content

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Load:
    """Several clients at once. tolerated: statuses that are no fault; 0 is no answer."""

    def __init__(
        self,
        ledger: Ledger,
        port: int,
        token: str,
        seed: str,
        *,
        clients: int = 4,
        tolerated: frozenset[int] = frozenset({0, 503}),
    ) -> None:
        self._stop = threading.Event()
        self._clients = [
            Client(ledger, port, token, f"{seed} {number}", self._stop, tolerated) for number in range(clients)
        ]

    def start(self) -> None:
        for client in self._clients:
            client.start()

    def stop(self) -> None:
        """Let every client finish the request it has under way."""
        self._stop.set()
        for client in self._clients:
            client.join(40)
            assert not client.is_alive(), f"{client.name} waits for an answer for ever"
