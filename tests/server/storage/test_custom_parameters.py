"""Search parameters that the site defines, in the store: whoever writes at whatever moment, with whatever its
process knew, everything is found once the work is done; and what is not done is refused.

Covers server/storage/custom_parameters.py, and what resources.py and reindex.py do for it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from server.errors import FhirError
from server.fhir.custom_definitions import definitions
from server.fhir.custom_parameters import FIRST_NUMBER
from server.fhir.index_values import index_values
from server.fhir.search_parsing import parse_search
from server.fhir.visibility import EVERYTHING
from server.interactions.reindex import index_again
from server.storage import open_store, reindex
from server.storage.database import Overtaken
from server.storage.database_store import DatabaseStore
from server.storage.versions import NewVersion, VersionConflict

FORK = multiprocessing.get_context("fork")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
EXPRESSION = "Patient.extension('urn:ward').value.ofType(string)"


def definition(code: str = "ward", expression: str = EXPRESSION) -> tuple[Any, ...]:
    content = {
        "code": code,
        "type": "string",
        "base": ["Patient"],
        "url": f"urn:{code}",
        "expression": expression,
    }
    return definitions(content)


def define(store: DatabaseStore, id: str = "ward", parameters: tuple[Any, ...] | None = None) -> None:
    with store.writing() as writer:
        writer.define(id, definition() if parameters is None else parameters, 200)


def version(store: DatabaseStore, id: str, ward: str, expected: int = 0) -> NewVersion:
    """A version as the door makes it: with the parameters that this process knows."""
    body = {"resourceType": "Patient", "id": id, "extension": [{"url": "urn:ward", "valueString": ward}]}
    rows = index_values(body, custom=store.custom_parameters())
    return NewVersion("Patient", id, expected + 1, expected, NOW, json.dumps(body).encode(), "PUT", rows)


def write(store: DatabaseStore, id: str, ward: str) -> None:
    """As the door does: again from the beginning where somebody else wrote at the same moment."""
    while True:
        try:
            with store.reading() as reader:
                current = reader.read("Patient", id, EVERYTHING)
            made = version(store, id, ward, current.version_id if current else 0)
            with store.writing() as writer:
                writer.put(made)
            return
        except VersionConflict:
            continue


def step(store: DatabaseStore, what: str, count: int = 3) -> Any:
    with store.reading() as reader:
        custom = reader.custom_parameters()
    index = partial(index_again, base_url="", time_zone="UTC", custom=custom)
    try:
        return reindex.step(store.database, what, index, epoch=custom.epoch, count=count)
    except Overtaken:  # two wrote the same resource: it comes again
        return None


def finish(store: DatabaseStore) -> None:
    while states := store.reindexing():
        for state in states:
            step(store, state.what)


def search(store: DatabaseStore, ward: str, code: str = "ward") -> list[str]:
    with store.reading() as reader:
        query = parse_search("Patient", [(code, ward)], count_default=1000, known=reader.custom_parameters)
        return sorted(match.id for match in reader.search(query, EVERYTHING).matches)


def test_a_database_without_any_has_the_set_of_epoch_0(store: DatabaseStore) -> None:
    assert store.custom_parameters().epoch == 0
    assert store.parameter_states() == ()


def test_numbers_never_meet_those_of_the_registry_and_are_never_given_twice(store: DatabaseStore) -> None:
    seen = []
    for round in range(4):
        define(store, "ward", definition(expression=f"Patient.extension('urn:{round}').value.ofType(string)"))
        seen += [state.number for state in store.parameter_states()]
        define(store, "ward", ())
    assert seen == sorted(set(seen))
    assert seen[0] == FIRST_NUMBER


def test_a_write_made_with_an_older_set_is_refused_and_the_next_one_knows(
    store: DatabaseStore, database_url: str
) -> None:
    write(store, "old", "east")
    created, updated = version(store, "new", "east"), version(store, "old", "west", 1)
    other = open_store(database_url)
    try:
        define(other)
        for made in (created, updated):
            with pytest.raises(VersionConflict), store.writing() as writer:
                writer.put(made)
        with store.writing() as writer:
            writer.put(version(store, "new", "east"))
            writer.put(version(store, "old", "west", 1))
        finish(store)
        assert (search(store, "east"), search(store, "west")) == (["new"], ["old"])
    finally:
        other.close()


def test_nothing_of_a_refused_write_is_kept(store: DatabaseStore) -> None:
    write(store, "p", "east")
    made = [version(store, "q", "east"), version(store, "p", "west", 1)]
    define(store)
    for one in made:
        with pytest.raises(VersionConflict), store.writing() as writer:
            writer.put(one)
    with store.reading() as reader:
        assert reader.read("Patient", "q", EVERYTHING) is None
        kept = reader.read("Patient", "p", EVERYTHING)
        assert kept is not None
        assert kept.version_id == 1
        assert reader.history(None, None, EVERYTHING, since=None, at=None, count=10, after=None).total == 1


def test_a_definition_that_was_rolled_back_was_never_there(store: DatabaseStore) -> None:
    write(store, "p", "east")
    before = store.custom_parameters()
    with pytest.raises(OSError, match="power"), store.writing() as writer:
        writer.define("ward", definition(), 200)
        raise OSError("the power went")
    assert store.custom_parameters() == before
    assert store.reindexing() == ()
    write(store, "p", "west")


def test_a_step_made_with_an_older_set_is_not_taken(store: DatabaseStore) -> None:
    for number in range(4):
        write(store, f"p{number}", "east")
    define(store)
    changed = []

    def slow(body: bytes) -> Any:
        rows = index_again(body, base_url="", time_zone="UTC", custom=known)
        if not changed:
            changed.append(True)
            define(store, "other", definition("other", "Patient.extension('urn:ward').value.ofType(string)"))
            finish(store)
        return rows

    with store.reading() as reader:
        known = reader.custom_parameters()
    reindex.step(store.database, "SearchParameter/ward/Patient", slow, epoch=known.epoch, count=3)
    finish(store)
    everyone = [f"p{number}" for number in range(4)]
    assert search(store, "east") == everyone
    assert search(store, "east", "other") == everyone


def test_another_type_is_left_alone(store: DatabaseStore) -> None:
    body = {"resourceType": "Organization", "id": "o", "name": "x"}
    rows = index_values(body)
    with store.writing() as writer:
        writer.put(NewVersion("Organization", "o", 1, 0, NOW, json.dumps(body).encode(), "PUT", rows))
    write(store, "p", "east")
    define(store)
    asked: list[bytes] = []
    reindex.step(
        store.database,
        "SearchParameter/ward/Patient",
        lambda body: asked.append(body),  # type: ignore[func-returns-value]
        epoch=latest(store),
        count=10,
    )
    assert [json.loads(body)["resourceType"] for body in asked] == ["Patient"]


def test_an_unready_parameter_is_refused_wherever_it_stands_and_says_how_far_it_is(
    store: DatabaseStore,
) -> None:
    for number in range(4):
        write(store, f"p{number}", "east")
    define(store)
    step(store, "SearchParameter/ward/Patient", 2)
    with store.reading() as reader:
        known = reader.custom_parameters
        for kind, pairs in (
            ("Patient", [("ward", "east")]),
            ("Patient", [("_sort", "-ward")]),
            ("Patient", [("ward:missing", "true")]),
            ("Observation", [("subject:Patient.ward", "east")]),
            ("Practitioner", [("_has:Patient:general-practitioner:ward", "east")]),
        ):
            with pytest.raises(FhirError) as refused:
                reader.search(parse_search(kind, pairs, known=known), EVERYTHING)
            assert (refused.value.kind, refused.value.issues[0].expression) == ("not-ready", "http.ward")
            assert "%" in refused.value.issues[0].diagnostics
            with pytest.raises(FhirError):
                reader.total(parse_search(kind, pairs, known=known), EVERYTHING, None)
    (state,) = store.parameter_states()
    assert (state.done, state.ready) == (2, False)
    assert 0 < state.percent < 100
    finish(store)
    (state,) = store.parameter_states()
    assert (state.done, state.ready, state.percent) == (4, True, 100)


def test_whoever_writes_when_it_is_defined_is_waited_for(store: DatabaseStore) -> None:
    """A write that has begun ends before the set changes, so that the work begins behind it."""
    write(store, "held", "east")
    written, go_on, defined = threading.Event(), threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def slow_writer() -> None:
        try:
            made = [version(store, "new", "east"), version(store, "held", "west", 1)]
            with store.writing() as writer:
                for one in made:
                    writer.put(one)
                writer.read("Patient", "new", EVERYTHING)  # what is written later is written by now
                written.set()
                assert go_on.wait(20)
        except BaseException as error:
            failures.append(error)

    def definer() -> None:
        try:
            while True:
                try:
                    define(store)
                    break
                except VersionConflict:
                    continue
            defined.set()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=slow_writer), threading.Thread(target=definer)]
    threads[0].start()
    assert written.wait(20)
    threads[1].start()
    assert not defined.wait(0.5)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert failures == []
    assert defined.is_set()
    finish(store)
    assert (search(store, "east"), search(store, "west")) == (["new"], ["held"])


def test_a_killed_worker_is_followed_by_another_that_goes_on(store: DatabaseStore) -> None:
    for number in range(60):
        write(store, f"p{number}", "east")
    define(store)
    killed = 0
    while store.reindexing():
        process = FORK.Process(target=finish, args=(store,))
        process.start()
        time.sleep(random.uniform(0.001, 0.03))
        if process.is_alive() and process.pid is not None and killed < 10:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.join(30)
    assert search(store, "east") == sorted(f"p{number}" for number in range(60))
    (state,) = store.parameter_states()
    assert state.done == 60


def test_whenever_it_was_written_it_is_found(store: DatabaseStore) -> None:
    """Writers, a worker and somebody who changes definitions, in processes of their own, from before to
    after."""
    for number in range(30):
        write(store, f"w0-{number}", "east")
    seconds, writers = 3.0, 3
    start, answers = FORK.Event(), FORK.Queue()

    def writing(worker: int) -> dict[str, str]:
        chance, mine, deadline = random.Random(worker), {}, time.monotonic() + seconds
        while time.monotonic() < deadline:
            id, ward = f"w{worker}-{chance.randrange(30)}", chance.choice(("east", "west", "north"))
            write(store, id, ward)
            mine[id] = ward
        return mine

    def working(worker: int) -> dict[str, str]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            finish_once(store)
        return {}

    def defining(worker: int) -> dict[str, str]:
        deadline, round = time.monotonic() + seconds * 0.9, 0
        while time.monotonic() < deadline:
            round += 1
            wanted = definition() if round % 3 else ()
            name, other = ("ward", wanted) if round % 2 else ("else", definition("else"))
            try:
                define(store, name, other)
            except VersionConflict:
                continue
            time.sleep(0.05)
        return {}

    def run(place: int, work: Callable[[int], dict[str, str]]) -> None:
        start.wait()
        answers.put(work(place))

    parts = [writing] * writers + [working, working, defining]
    processes = [FORK.Process(target=run, args=(place, work)) for place, work in enumerate(parts)]
    for process in processes:
        process.start()
    start.set()
    wards = {f"w0-{number}": "east" for number in range(30)}
    for _ in processes:
        wards |= answers.get(timeout=60)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for name in ("ward", "else"):
        define(store, name, definition(name))
    finish(store)
    for code in ("ward", "else"):
        for ward in ("east", "west", "north"):
            assert search(store, ward, code) == sorted(id for id, last in wards.items() if last == ward), (
                code,
                ward,
            )


def finish_once(store: DatabaseStore) -> None:
    for state in store.reindexing():
        step(store, state.what)


def latest(store: DatabaseStore) -> int:
    with store.reading() as reader:
        return int(reader.custom_parameters().epoch)
