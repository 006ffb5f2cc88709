"""Fifty clients at the same moment against four server processes: one wins, all others are told so, none fails.

BATON_PARALLEL_TIMES: how often each is tried (2).
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from baton_processes import Baton

pytestmark = pytest.mark.network

TIMES = int(os.environ.get("BATON_PARALLEL_TIMES") or 2)
CLIENTS = 50

turns = pytest.mark.parametrize("turn", range(TIMES))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: Any

    @property
    def id(self) -> str:
        return str(self.body["id"])


def send(
    baton: Baton, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> Answer:
    """One request over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", baton.port, timeout=60)
    given = {
        "Authorization": f"Bearer {baton.token}",
        "Content-Type": "application/fhir+json",
        **(headers or {}),
    }
    connection.request(method, f"/fhir{path}", None if body is None else json.dumps(body), given)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return Answer(answer.status, answer.headers, json.loads(text) if text else None)


def at_once(count: int, ask: Callable[[int], Answer]) -> list[Answer]:
    """ask(0), ask(1), ... at the same moment; their answers."""
    barrier = threading.Barrier(count)
    answers: list[Answer | None] = [None] * count

    def run(number: int) -> None:
        barrier.wait()
        answers[number] = ask(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert None not in answers, "a client got no answer"
    return [answer for answer in answers if answer is not None]


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def patient(value: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "identifier": [{"system": "urn:baton:test", "value": value}], **more}


@turns
def test_of_fifty_identical_conditional_creates_one_creates(baton: Baton, turn: int) -> None:
    value = uuid.uuid4().hex
    baton.token  # noqa: B018 - minted before the race
    header = {"If-None-Exist": f"identifier=urn:baton:test|{value}"}
    answers = at_once(CLIENTS, lambda _: send(baton, "POST", "/Patient", patient(value), header))
    assert statuses(answers) == {201: 1, 200: CLIENTS - 1}
    assert len({answer.id for answer in answers}) == 1
    found = send(baton, "GET", f"/Patient?identifier=urn:baton:test|{value}").body
    assert [entry["resource"]["id"] for entry in found["entry"]] == [answers[0].id]


@turns
def test_of_fifty_updates_with_one_if_match_one_wins(baton: Baton, turn: int) -> None:
    made = send(baton, "POST", "/Patient", patient(uuid.uuid4().hex)).body
    answers = at_once(
        CLIENTS,
        lambda number: send(
            baton,
            "PUT",
            f"/Patient/{made['id']}",
            made | {"name": [{"family": f"Client {number}"}]},
            {"If-Match": 'W/"1"'},
        ),
    )
    assert statuses(answers) == {200: 1, 412: CLIENTS - 1}
    won = next(answer for answer in answers if answer.status == 200)
    assert send(baton, "GET", f"/Patient/{made['id']}").body == won.body
    assert send(baton, "GET", f"/Patient/{made['id']}/_history").body["total"] == 2


@turns
def test_of_fifty_updates_that_create_one_id_one_creates(baton: Baton, turn: int) -> None:
    """Without a condition everybody may write: the others become later versions."""
    id = uuid.uuid4().hex
    answers = at_once(
        CLIENTS,
        lambda number: send(
            baton, "PUT", f"/Patient/{id}", patient(id, id=id, name=[{"family": f"Client {number}"}])
        ),
    )
    assert statuses(answers) == {201: 1, 200: CLIENTS - 1}
    history = send(baton, "GET", f"/Patient/{id}/_history?_count=100").body
    versions = sorted(int(entry["resource"]["meta"]["versionId"]) for entry in history["entry"])
    assert versions == list(range(1, CLIENTS + 1))


@turns
def test_of_fifty_updates_that_mean_to_create_one_id_one_does(baton: Baton, turn: int) -> None:
    id = uuid.uuid4().hex
    answers = at_once(
        CLIENTS,
        lambda number: send(
            baton,
            "PUT",
            f"/Patient/{id}",
            patient(id, id=id, name=[{"family": f"Client {number}"}]),
            {"If-None-Match": "*"},
        ),
    )
    counted = statuses(answers)
    assert counted[201] == 1
    assert counted[412] == CLIENTS - 1
    assert send(baton, "GET", f"/Patient/{id}/_history").body["total"] == 1


@turns
def test_parallel_transactions_with_one_condition_create_once_and_refer_to_it(baton: Baton, turn: int) -> None:
    value = uuid.uuid4().hex

    def bundle(number: int) -> dict[str, Any]:
        condition = f"identifier=urn:baton:test|{value}"
        return {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {
                    "fullUrl": "urn:uuid:6f4c0a35-41f5-4a43-9f33-6d5a4a1e1f10",
                    "resource": patient(value),
                    "request": {"method": "POST", "url": "Patient", "ifNoneExist": condition},
                },
                {
                    "resource": {
                        "resourceType": "Observation",
                        "status": "final",
                        "code": {"text": f"of client {number}"},
                        "subject": {"reference": "urn:uuid:6f4c0a35-41f5-4a43-9f33-6d5a4a1e1f10"},
                    },
                    "request": {"method": "POST", "url": "Observation"},
                },
            ],
        }

    answers = at_once(CLIENTS, lambda number: send(baton, "POST", "", bundle(number)))
    assert statuses(answers) == {200: CLIENTS}
    rows = Counter(answer.body["entry"][0]["response"]["status"][:3] for answer in answers)
    assert rows == {"201": 1, "200": CLIENTS - 1}
    found = send(baton, "GET", f"/Patient?identifier=urn:baton:test|{value}").body["entry"]
    assert len(found) == 1
    of_it = send(baton, "GET", f"/Observation?subject=Patient/{found[0]['resource']['id']}&_summary=count")
    assert of_it.body["total"] == CLIENTS


@turns
def test_transactions_that_touch_the_same_resources_in_opposite_orders_are_all_done(
    baton: Baton, turn: int
) -> None:
    """A, B and B, A: entries are processed in one order, so nobody waits for somebody who waits for him."""
    ids = [uuid.uuid4().hex for _ in range(2)]

    def bundle(number: int) -> dict[str, Any]:
        order = ids if number % 2 else ids[::-1]
        return {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {
                    "resource": patient(id, id=id, name=[{"family": f"Client {number}"}]),
                    "request": {"method": "PUT", "url": f"Patient/{id}"},
                }
                for id in order
            ],
        }

    for number in range(2):
        assert send(baton, "POST", "", bundle(number)).status == 200
    answers = at_once(CLIENTS, lambda number: send(baton, "POST", "", bundle(number + 2)))
    assert statuses(answers) == {200: CLIENTS}
    families = {send(baton, "GET", f"/Patient/{id}").body["name"][0]["family"] for id in ids}
    assert len(families) == 1, "both resources are of the same transaction"


@turns
def test_of_fifty_identical_conditional_updates_one_creates_and_none_is_lost(baton: Baton, turn: int) -> None:
    value = uuid.uuid4().hex
    baton.token  # noqa: B018 - minted before the race
    path = f"/Patient?identifier=urn:baton:test|{value}"
    answers = at_once(
        CLIENTS,
        lambda number: send(baton, "PUT", path, patient(value, name=[{"family": f"Client {number}"}])),
    )
    assert statuses(answers) == {201: 1, 200: CLIENTS - 1}
    assert len({answer.id for answer in answers}) == 1
    history = send(baton, "GET", f"/Patient/{answers[0].id}/_history?_count=100").body
    versions = sorted(int(entry["resource"]["meta"]["versionId"]) for entry in history["entry"])
    assert versions == list(range(1, CLIENTS + 1))


@turns
def test_conditional_creates_and_updates_of_one_condition_make_one_resource(baton: Baton, turn: int) -> None:
    value = uuid.uuid4().hex
    condition = f"identifier=urn:baton:test|{value}"

    def ask(number: int) -> Answer:
        content = patient(value, name=[{"family": f"Client {number}"}])
        if number % 2:
            return send(baton, "PUT", f"/Patient?{condition}", content)
        return send(baton, "POST", "/Patient", content, {"If-None-Exist": condition})

    answers = at_once(CLIENTS, ask)
    assert statuses(answers) == {201: 1, 200: CLIENTS - 1}
    assert send(baton, "GET", f"/Patient?{condition}&_summary=count").body["total"] == 1


@turns
def test_what_fifty_patches_add_is_all_there(baton: Baton, turn: int) -> None:
    """Each is applied to the version it read, or again to the next one: none overwrites another."""
    value = uuid.uuid4().hex
    made = send(baton, "POST", "/Patient", patient(value, telecom=[{"system": "other", "value": "first"}])).body

    def ask(number: int) -> Answer:
        path = f"/Patient/{made['id']}" if number % 2 else f"/Patient?identifier=urn:baton:test|{value}"
        added = [{"op": "add", "path": "/telecom/-", "value": {"system": "other", "value": str(number)}}]
        return send(baton, "PATCH", path, added, {"Content-Type": "application/json-patch+json"})

    answers = at_once(CLIENTS, ask)
    assert statuses(answers) == {200: CLIENTS}
    telecom = send(baton, "GET", f"/Patient/{made['id']}").body["telecom"]
    assert sorted(one["value"] for one in telecom) == sorted(["first", *map(str, range(CLIENTS))])


@turns
def test_of_fifty_conditional_deletes_one_deletes(baton: Baton, turn: int) -> None:
    value = uuid.uuid4().hex
    made = send(baton, "POST", "/Patient", patient(value)).body
    path = f"/Patient?identifier=urn:baton:test|{value}"
    answers = at_once(CLIENTS, lambda number: send(baton, "DELETE", path))
    assert statuses(answers) == {204: CLIENTS}
    assert send(baton, "GET", f"/Patient/{made['id']}/_history").body["total"] == 2


@turns
def test_transactions_with_the_same_conditions_in_opposite_orders_are_all_done(baton: Baton, turn: int) -> None:
    values = [uuid.uuid4().hex for _ in range(3)]

    def bundle(number: int) -> dict[str, Any]:
        order = values if number % 2 else values[::-1]
        return {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                {
                    "resource": patient(value, name=[{"family": f"Client {number}"}]),
                    "request": {"method": "PUT", "url": f"Patient?identifier=urn:baton:test|{value}"},
                }
                for value in order
            ],
        }

    answers = at_once(CLIENTS, lambda number: send(baton, "POST", "", bundle(number)))
    assert statuses(answers) == {200: CLIENTS}
    for value in values:
        found = send(baton, "GET", f"/Patient?identifier=urn:baton:test|{value}").body["entry"]
        assert len(found) == 1
        assert found[0]["resource"]["meta"]["versionId"] == str(CLIENTS)
