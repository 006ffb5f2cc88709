"""Requests with `Prefer: respond-async`: taken, done by a worker, asked about, cancelled, forgotten.

Covers server/interactions/asynchronous.py, asynchronous_run.py, server/workers/asynchronous.py,
server/storage/asynchronous.py; hl7.org/fhir/R4/async.html, hl7.org/fhir/async-bundle.html (R5), RFC 7240.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from server.app import create_app, make_context
from server.auth.tokens import Claims, mint
from server.interactions.asynchronous import JOB
from server.logs import Log
from server.storage.asynchronous import PIECE_BYTES, AsynchronousRequest, NotOpen
from server.workers.asynchronous import ATTEMPTS, Answering
from server.workers.job_runner import JobRunner
from server.workers.pulse import Pulse
from server.workers.timing import Backoff, Timing

LATER = {"Prefer": "respond-async"}
BASE = "http://127.0.0.1:8000/fhir"


class Died(BaseException):
    """The worker's process ends here, as far as a test can have it."""


@pytest.fixture
def context(settings: Any, store: Any, clock: Any) -> Any:
    """What the worker works with."""
    numbers = itertools.count(1)
    return make_context(settings, store, clock=clock, new_id=lambda: f"made-{next(numbers)}")


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def work(store: Any, context: Any, authorization: Any, clock: Any, failures: list[str]) -> Callable[..., int]:
    """`work()`: a worker takes the next job; how many. context: instead of the worker's own."""

    def run(context: Any = context, worker: str = "one") -> int:
        timing = Timing()
        runner = JobRunner(
            store.jobs,
            Answering(context, authorization).kinds,
            worker,
            Pulse(timing),
            timing,
            Backoff(lambda: 0.0),
            clock,
            lambda kind, error: failures.append(type(error).__name__),
        )
        return runner.run_one()

    return run


@pytest.fixture
def begun(fhir: Any) -> Callable[..., str]:
    """`begun("GET", "Patient")`: the path of the status of an asynchronous request."""

    def begin(method: str, path: str, body: Any = None, **headers: str) -> str:
        answer = fhir(method, path, body, **LATER | headers)
        assert (answer.status, answer.body) == (202, b""), answer.body
        location = answer.headers["Content-Location"]
        assert location.startswith(f"{BASE}/_async/")
        return location.removeprefix(f"{BASE}/")

    return begin


@pytest.fixture
def answered(fhir: Any, work: Callable[..., int]) -> Callable[[str], Any]:
    """The one entry of the answer, once a worker has been there."""

    def ask(status: str) -> Any:
        assert work() == 1
        answer = fhir.get(status)
        assert answer.status == 200, answer.body
        bundle = answer.json
        assert (bundle["resourceType"], bundle["type"], len(bundle["entry"])) == ("Bundle", "batch-response", 1)
        return bundle["entry"][0]

    return ask


@pytest.fixture
def charts(fhir: Any, build: Any) -> None:
    for id in ("one", "two"):
        fhir.put(f"Patient/{id}", build.patient(id=id))
        fhir.put(f"Observation/o-{id}", build.observation(f"Patient/{id}", id=f"o-{id}"))


def transaction(count: int, kind: str = "transaction") -> dict[str, Any]:
    """A Bundle that creates so many patients."""
    entry = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    return {"resourceType": "Bundle", "type": kind, "entry": [entry] * count}


def patients(fhir: Any) -> int:
    return fhir.get("Patient?_summary=count").json["total"]


def test_a_request_is_taken_and_tells_where_to_ask_and_how_far_it_is(
    fhir: Any, store: Any, begun: Callable[..., str], clock: Any
) -> None:
    answer = fhir.get("Patient", **LATER)
    assert answer.headers["Preference-Applied"] == "respond-async"
    status = answer.headers["Content-Location"].removeprefix(f"{BASE}/")
    waits = []
    for seconds in (0, 20, 600):
        clock.advance(seconds=seconds)
        asked = fhir.get(status)
        assert (asked.status, asked.body) == (202, b"")
        assert 0 < len(asked.headers["X-Progress"]) < 100
        waits.append(int(asked.headers["Retry-After"]))
    assert waits == [1, 5, 30]
    (job,) = store.jobs.jobs(limit=10)
    assert (job.kind, job.payload) == (JOB, {})
    assert status.endswith(job.key)


@pytest.mark.parametrize(
    "path",
    [
        "Observation?patient=one&_include=Observation:subject",
        "Patient?_sort=_id&_count=1",
        "Patient/_history",
        "_history?_count=2",
        "Patient/one/_history",
        "Patient/one/$everything",
        "?_type=Patient,Observation&_id=one,o-one",
        "Patient/one/Observation",
    ],
)
def test_the_answer_is_what_would_have_been_answered_at_once(
    fhir: Any, charts: None, begun: Any, answered: Any, path: str
) -> None:
    entry = answered(begun("GET", path))
    assert entry["response"]["status"] == "200 OK"
    assert entry["resource"] == fhir.get(path).json


def test_a_search_sent_as_a_form_is_done_later_too(fhir: Any, charts: None, begun: Any, answered: Any) -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    entry = answered(begun("POST", "Patient/_search", b"_id=one,two", **form))
    assert entry["resource"]["total"] == 2


def test_an_operation_that_changes_something_does_it_once(
    fhir: Any, store: Any, charts: None, begun: Any, answered: Any, context: Any, authorization: Any, clock: Any
) -> None:
    tag = {"name": "meta", "valueMeta": {"tag": [{"system": "urn:example", "code": "seen"}]}}
    status = begun("POST", "Patient/one/$meta-add", {"resourceType": "Parameters", "parameter": [tag]})
    assert answered(status)["response"]["status"] == "200 OK"
    seen = fhir.get("Patient/one").json
    assert seen["meta"]["tag"] == tag["valueMeta"]["tag"]
    (job,) = store.jobs.jobs(limit=10)
    Answering(context, authorization).answer(job, lambda done, total: None)  # as by a worker that was forgotten
    assert fhir.get("Patient/one").json == seen


def test_the_answer_comes_as_it_is_asked_for(fhir: Any, charts: None, begun: Any, work: Any) -> None:
    status = begun("GET", "Patient")
    work()
    answer = fhir.get(f"{status}?_pretty=true", Accept="application/json")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert b'\n  "resourceType"' in answer.body
    assert fhir.get(f"{status}?_format=xml").status == 406
    assert fhir("HEAD", status).headers["Content-Length"] == fhir.get(status).headers["Content-Length"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("Patient?unknown=1", "400", "not-supported"), ("Patient/nobody/_history", "404", "not-found")],
)
def test_what_cannot_be_done_is_told_in_the_answer(
    begun: Any, answered: Any, path: str, status: str, code: str
) -> None:
    entry = answered(begun("GET", path))
    assert entry["response"]["status"].startswith(status)
    assert entry["response"]["outcome"]["issue"][0]["code"] == code
    assert "resource" not in entry


def test_what_the_token_may_not_do_and_what_is_malformed_is_refused_at_once(
    fhir: Any, anonymous: Any, as_token: Any, store: Any
) -> None:
    assert as_token("system/Observation.rs").get("Patient", **LATER).status == 403
    assert anonymous.get("Patient", **LATER).status == 401
    sent = {"Content_Type": "application/fhir+json"} | LATER
    assert fhir.post("", b'{"resourceType":"Bundle","type":"batch"', **sent).codes == ["structure"]
    assert fhir.post("", b'{"resourceType":"Patient"}', **sent).codes == ["invalid"]
    assert fhir.post("", b'{"resourceType":"Bundle","type":"history"}', **sent).codes == ["invalid"]
    assert fhir.post("", b'{"resourceType":"Bundle","type":[]}', **sent).codes == ["structure"]
    assert fhir.post("", b"[" * 100_000, **sent).status == 400
    assert fhir.post("", b"", **sent).codes == ["required"]
    assert store.jobs.jobs(limit=10) == ()


def test_what_does_not_take_long_is_answered_at_once(fhir: Any, build: Any) -> None:
    assert fhir.put("Patient/p1", build.patient(id="p1"), **LATER).status == 201
    assert fhir.get("Patient/p1", **LATER).status == 200
    assert fhir.get("metadata", **LATER).status == 200
    assert fhir.delete("Patient/p1", **LATER).status == 204


def test_a_transaction_is_done_once_and_its_answer_is_that_of_a_transaction(
    fhir: Any, begun: Any, answered: Any, work: Any
) -> None:
    entry = answered(begun("POST", "", transaction(3)))
    assert entry["response"]["status"] == "200 OK"
    assert entry["resource"]["type"] == "transaction-response"
    assert [row["response"]["status"] for row in entry["resource"]["entry"]] == ["201 Created"] * 3
    assert patients(fhir) == 3
    assert work() == 0


def test_a_transaction_that_cannot_be_done_leaves_nothing(fhir: Any, begun: Any, answered: Any) -> None:
    bundle = transaction(2)
    bad = {"resource": {"resourceType": "Patient", "x": 1}, "request": {"method": "POST", "url": "Patient"}}
    entry = answered(begun("POST", "", bundle | {"entry": [*bundle["entry"], bad]}))
    assert entry["response"]["status"] == "400 Bad Request"
    assert entry["response"]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[2].resource.x"]
    assert patients(fhir) == 0


def test_the_content_of_the_answer_is_what_was_preferred(begun: Any, answered: Any) -> None:
    prefer = {"Prefer": "respond-async, return=representation"}
    entry = answered(begun("POST", "", transaction(1), **prefer))
    assert entry["resource"]["entry"][0]["resource"]["resourceType"] == "Patient"


@pytest.fixture
def narrow(settings: Any, store: Any, clock: Any, fhir: Any, context: Any) -> Any:
    """A server, and a worker's context, that take 2 entries at once and 4 later, and 2 requests that wait."""
    limits = {
        "bundle_entries": 2,
        "async_bundle_entries": 4,
        "bundle_bytes": 300,
        "async_bundle_bytes": 600,
        "async_requests": 2,
        "async_answer_bytes": 1_000,
    }
    app = create_app(replace(settings, limits=limits), store=store, clock=clock, log=Log("ERROR"))
    return type(fhir)(app.test_client(), fhir._token), replace(
        context, limits=replace(context.limits, **limits)
    )


def test_a_bundle_may_be_larger_than_one_that_is_answered_at_once(narrow: Any, work: Any) -> None:
    fhir, context = narrow
    small, large, largest = transaction(2), transaction(4), transaction(5)
    assert fhir.post("", small).status == 200
    assert fhir.post("", large).status == 413
    status = fhir.post("", large, **LATER).headers["Content-Location"].removeprefix(f"{BASE}/")
    assert work(context) == 1
    assert len(fhir.get(status).json["entry"][0]["resource"]["entry"]) == 4
    too_many = fhir.post("", largest, **LATER).headers["Content-Location"].removeprefix(f"{BASE}/")
    work(context)
    assert fhir.get(too_many).json["entry"][0]["response"]["status"].startswith("413")
    assert fhir.post("", transaction(20), **LATER).status == 413
    assert patients(fhir) == 6


def test_a_client_may_have_so_many_requests_that_wait(narrow: Any, work: Any) -> None:
    fhir, context = narrow
    first, second = (fhir.get("Patient", **LATER) for _ in range(2))
    refused = fhir.get("Patient", **LATER)
    assert (refused.status, refused.codes) == (429, ["throttled"])
    assert int(refused.headers["Retry-After"]) > 0
    work(context)
    assert fhir.get("Patient", **LATER).status == 202
    assert fhir.delete(second.headers["Content-Location"].removeprefix(f"{BASE}/")).status == 202
    assert fhir.get("Patient", **LATER).status == 202
    assert first.status == 202


def test_the_answer_of_a_batch_ends_where_it_would_be_too_large(
    narrow: Any, charts: None, work: Any, failures: list[str]
) -> None:
    fhir, context = narrow
    entries = [{"request": {"method": "GET", "url": "Patient"}}] * 3
    entries.append({"request": {"method": "DELETE", "url": "Observation/o-one"}})
    status = fhir.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries}, **LATER)
    work(context)
    rows = fhir.get(status.headers["Content-Location"].removeprefix(f"{BASE}/")).json["entry"][0]["resource"]
    statuses = [row["response"]["status"][:3] for row in rows["entry"]]
    assert statuses[0] == "200"
    assert statuses[2:] == ["422", "204"]  # what writes is always told
    assert rows["entry"][2]["response"]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[2]"]
    assert failures == []


def test_a_batch_is_done_entry_by_entry_and_tells_how_far_it_is(
    fhir: Any, charts: None, begun: Any, answered: Any
) -> None:
    entries = [
        {"request": {"method": "GET", "url": "Patient/one"}},
        {"request": {"method": "PUT", "url": "Patient/x"}, "resource": {"resourceType": "Patient", "id": "y"}},
        {"request": {"method": "POST", "url": "Patient"}, "resource": {"resourceType": "Patient"}},
        {"request": {"method": "GET", "url": "Patient?unknown=1"}},
        {"nothing": 1},
        "not an entry",
        {"request": {"method": "GET", "url": "Patient?_summary=count"}},
    ]
    entry = answered(begun("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": entries}))
    rows = entry["resource"]["entry"]
    assert entry["resource"]["type"] == "batch-response"
    assert [row["response"]["status"][:3] for row in rows] == ["200", "400", "201", "400", "400", "400", "200"]
    assert rows[6]["resource"]["total"] == 3  # in the order of the entries


def dying(context: Any, after: int, error: type[BaseException] = Died) -> Any:
    """A context whose worker dies when it needs one more id than that."""
    numbers = itertools.count(1)

    def new_id() -> str:
        number = next(numbers)
        if number > after:
            raise error
        return f"dying-{number}"

    return replace(context, new_id=new_id)


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_a_worker_that_dies_is_followed_by_one_that_ends_its_work_once(
    fhir: Any, begun: Any, context: Any, work: Any, clock: Any, kind: str
) -> None:
    status = begun("POST", "", transaction(10, kind))
    with pytest.raises(Died):
        work(dying(context, 4))
    assert patients(fhir) == (4 if kind == "batch" else 0)
    assert fhir.get(status).status == 202
    if kind == "batch":
        assert fhir.get(status).headers["X-Progress"] == "4 of 10 entries"
    assert work() == 0  # until the lease of the dead one ends
    clock.advance(seconds=61)
    assert work(worker="two") == 1
    rows = fhir.get(status).json["entry"][0]["resource"]["entry"]
    assert [row["response"]["status"] for row in rows] == ["201 Created"] * 10
    assert patients(fhir) == 10
    assert len({row["response"]["location"] for row in rows}) == 10


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_what_two_workers_take_for_theirs_is_done_once(
    fhir: Any, store: Any, begun: Any, context: Any, authorization: Any, clock: Any, kind: str
) -> None:
    status = begun("POST", "", transaction(30, kind))
    job = store.jobs.claim("one", (JOB,), clock(), lease=timedelta(seconds=60))
    start, errors = threading.Barrier(2), []
    numbers = itertools.count(1)
    shared = replace(context, new_id=lambda: f"both-{next(numbers)}")

    def carry_out() -> None:
        start.wait()
        try:
            Answering(shared, authorization).answer(job, lambda done, total: None)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=carry_out) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert patients(fhir) == 30
    rows = fhir.get(status).json["entry"][0]["resource"]["entry"]
    assert len({row["response"]["location"] for row in rows}) == 30


def test_what_fails_again_and_again_is_told_in_the_end(
    fhir: Any, begun: Any, context: Any, work: Any, clock: Any, failures: list[str]
) -> None:
    status = begun("POST", "", transaction(2))
    for _ in range(ATTEMPTS):
        assert fhir.get(status).status == 202
        assert work(dying(context, 1, ZeroDivisionError)) == 1
        clock.advance(seconds=60)
    entry = fhir.get(status).json["entry"][0]
    assert entry["response"]["status"] == "500 Internal Server Error"
    assert "ZeroDivisionError" not in json.dumps(entry)
    assert failures == ["ZeroDivisionError"] * ATTEMPTS
    assert patients(fhir) == 0


def test_what_kills_every_worker_is_given_up(
    fhir: Any, begun: Any, context: Any, work: Any, clock: Any
) -> None:
    status = begun("POST", "", transaction(2))
    for _ in range(ATTEMPTS):
        with pytest.raises(Died):
            work(dying(context, 1))
        clock.advance(seconds=61)
    work()
    assert fhir.get(status).json["entry"][0]["response"]["status"].startswith("500")
    assert patients(fhir) == 0


def test_what_another_release_kept_and_this_one_cannot_read_is_told(
    fhir: Any, store: Any, begun: Any, work: Any, clock: Any
) -> None:
    status = begun("GET", "Patient")
    with store.database.writing() as connection:
        kept = b'{"interaction":"of-the-future","request_id":"a"}'
        connection.execute("UPDATE asynchronous_request SET request = :kept", {"kept": kept})
    for _ in range(ATTEMPTS):
        assert fhir.get(status).status == 202
        work()
        clock.advance(seconds=60)
    assert fhir.get(status).json["entry"][0]["response"]["status"].startswith("500")


def test_who_cancels_finds_nothing_any_more_and_nothing_is_done(fhir: Any, begun: Any, work: Any) -> None:
    status = begun("POST", "", transaction(2))
    cancelled = fhir.delete(status)
    assert (cancelled.status, cancelled.body) == (202, b"")
    assert (fhir.get(status).status, fhir.delete(status).status) == (404, 404)
    assert fhir.get(status).codes == ["not-found"]
    assert work() == 1
    assert fhir.get(status).status == 404
    assert patients(fhir) == 0


def test_what_is_cancelled_while_it_is_done_is_rolled_back(
    fhir: Any, store: Any, begun: Any, context: Any, work: Any, failures: list[str]
) -> None:
    status = begun("POST", "", transaction(2))
    numbers = itertools.count(1)

    def new_id() -> str:
        # The entries are read: the transaction has not begun yet. Another thread, as it would be in life.
        other = threading.Thread(target=store.asynchronous.delete, args=(status.rpartition("/")[2],))
        other.start()
        other.join()
        return f"late-{next(numbers)}"

    assert work(replace(context, new_id=new_id)) == 1
    assert failures == []
    assert fhir.get(status).status == 404
    assert patients(fhir) == 0


@pytest.mark.parametrize("id", ["%00", "%FF", "a" * 300, "%C3%A9", "'", "..", ""])
def test_an_address_of_any_form_is_none_of_ours(fhir: Any, id: str) -> None:
    for method in ("GET", "DELETE"):
        assert fhir(method, f"_async/{id}").status == 404


def test_an_answer_is_thrown_away_with_its_request(fhir: Any, store: Any, begun: Any, work: Any) -> None:
    status = begun("GET", "Patient")
    work()
    assert fhir.get(status).status == 200
    assert fhir.delete(status).status == 202
    assert fhir.get(status).status == 404
    assert store.asynchronous.answer(status.rpartition("/")[2]) == b""


@pytest.fixture
def bearer(app: Any, authorization: Any, fhir: Any) -> Callable[..., Any]:
    """Requests with a token of these claims."""

    def make(**claims: Any) -> Any:
        given = {"client_id": "tests", "scope": "system/*.cruds"} | claims
        return type(fhir)(app.test_client(), mint(authorization, Claims(**given), timedelta(hours=1)))

    return make


@pytest.mark.parametrize(
    "claims",
    [
        {"client_id": "another"},
        {"scope": "system/*.rs"},
        {"scope": "system/*.cruds system/Patient.r"},
        {"fhir_user": "Practitioner/1"},
        {"patient": "one"},
        {"encounter": "e"},
        {"role": "rn"},
    ],
    ids=lambda claims: " ".join(claims),
)
def test_for_everybody_else_there_is_nothing_there(
    fhir: Any, begun: Any, work: Any, bearer: Any, anonymous: Any, claims: dict[str, str]
) -> None:
    waiting, other = begun("GET", "Patient"), bearer(**claims)
    absent = other.get("_async/none")
    for done in (False, True):
        for method in ("GET", "HEAD", "DELETE"):
            answer = other(method, waiting)
            assert answer.status == 404
        assert other.get(waiting).json == absent.json
        assert anonymous.get(waiting).status == 401
        if not done:
            work()
    assert fhir.get(waiting).status == 200
    assert bearer().get(waiting).status == 200  # a fresh token of the same client


def test_a_token_that_expired_meanwhile_was_good_when_it_was_shown(
    begun: Any, work: Any, clock: Any, bearer: Any, charts: None
) -> None:
    status = begun("GET", "Patient")
    clock.advance(hours=2)
    work()
    entry = bearer().get(status).json["entry"][0]
    assert (entry["response"]["status"], entry["resource"]["total"]) == ("200 OK", 2)


def test_a_token_that_was_revoked_meanwhile_does_nothing_any_more(
    fhir: Any, begun: Any, work: Any, bearer: Any, authorization: Any, clock: Any
) -> None:
    status = begun("POST", "", transaction(2))
    authorization.rows.revoke_token(authorization.hash(fhir._token), clock())
    work()
    entry = bearer().get(status).json["entry"][0]
    assert entry["response"]["status"] == "401 Unauthorized"
    assert entry["response"]["outcome"]["issue"][0]["code"] == "login"
    assert patients(bearer()) == 0


def test_a_request_sees_what_its_token_sees(as_token: Any, charts: None, work: Any) -> None:
    narrow = as_token("patient/*.rs", patient="one")
    status = narrow.get("Observation", **LATER).headers["Content-Location"].removeprefix(f"{BASE}/")
    work()
    found = narrow.get(status).json["entry"][0]["resource"]
    assert [row["resource"]["id"] for row in found["entry"]] == ["o-one"]


def test_an_answer_expires_and_is_forgotten(
    fhir: Any, store: Any, begun: Any, work: Any, clock: Any, bearer: Any
) -> None:
    status, waiting = begun("GET", "Patient"), begun("GET", "Patient")
    work()
    assert fhir.get(status).headers["Expires"] == "Sat, 18 May 2024 12:00:00 GMT"
    assert store.asynchronous.purge(clock()) == 0
    clock.advance(hours=24)
    again = bearer()
    assert (again.get(status).status, again.get(waiting).status) == (404, 404)
    assert store.asynchronous.purge(clock()) == 2
    assert store.asynchronous.answer(status.rpartition("/")[2]) == b""
    assert work() == 1  # the job of the one that was not begun
    assert again.get(waiting).status == 404


def test_the_audit_trail_has_the_asking_the_doing_and_the_fetching(
    fhir: Any, store: Any, settings: Any, charts: None, begun: Any, work: Any
) -> None:
    store.ingest_audit(settings.home / "audit")
    before = len(store.audit_rows(limit=1000))
    status = begun("GET", "Observation?patient=one", X_Request_Id="ab" * 16)
    work()
    fhir.get(status)
    store.ingest_audit(settings.home / "audit")
    rows = store.audit_rows(limit=1000)
    fresh = list(reversed(rows[: len(rows) - before]))
    assert sorted((row.interaction, row.outcome, row.patient, row.results) for row in fresh) == [
        ("async-status", 200, "one", 1),
        ("search-type", 200, "one", 1),
        ("search-type", 202, "", 0),
    ]
    (fetched,) = (row for row in fresh if row.interaction == "async-status")
    assert {row.request_id for row in fresh if row is not fetched} == {"ab" * 16}
    assert fetched.detail == f"request {'ab' * 16}"


def request(id: str, now: Any, **more: Any) -> AsynchronousRequest:
    given = {
        "caller": b"c",
        "client_id": "tests",
        "token_hash": b"t",
        "address": "",
        "request": b"{}",
        "created": now,
        "expires": now + timedelta(hours=1),
    }
    return AsynchronousRequest(id=id, **given | more)


def test_content_of_any_size_is_kept_in_pieces(store: Any, clock: Any) -> None:
    content = random.Random(1).randbytes(3 * PIECE_BYTES + 7)  # it does not get smaller by compression
    requests = store.asynchronous
    assert requests.add(request("a", clock()), content, 1)
    assert requests.body("a") == content
    with store.database.reading() as connection:
        (pieces, longest) = connection.execute(
            "SELECT count(*), max(length(content)) FROM asynchronous_content", {}
        ).fetchone()
    assert (pieces, longest) == (4, PIECE_BYTES)
    requests.finish("a", content[::-1], clock(), expires=clock() + timedelta(hours=1))
    assert (requests.body("a"), requests.answer("a")) == (b"", content[::-1])


def test_what_is_finished_or_gone_takes_nothing_more(store: Any, clock: Any) -> None:
    requests, later = store.asynchronous, clock() + timedelta(hours=1)
    requests.add(request("a", clock()), b"", 1)
    requests.keep("a", {0: b"{}"}, total=2)
    with pytest.raises(NotOpen):
        requests.keep("a", {0: b"{}", 1: b"{}"}, total=2)
    assert requests.rows("a") == {0: b"{}"}
    requests.finish("a", b"{}", clock(), expires=later)
    for id in ("a", "none"):
        with pytest.raises(NotOpen):
            requests.keep(id, {1: b"{}"}, total=2)
        with pytest.raises(NotOpen):
            requests.finish(id, b"[]", clock(), expires=later)
    assert requests.answer("a") == b"{}"
