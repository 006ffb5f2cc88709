"""The console's page of the queue: what waits, what was given up, what runs; and deciding about it.

Covers server/console/queue.py and queue_views.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from server.storage.outbox import Failure
from server.storage.worker_rows import WorkerRow

BASE = "http://127.0.0.1:8000"


@pytest.fixture
def browser(sign_in: Callable[[str], FlaskClient]) -> FlaskClient:
    return sign_in("engineer")


def get(browser: FlaskClient, path: str = "", **headers: str) -> Any:
    return browser.get(f"/console/queue{path}", base_url=BASE, headers=headers)


def send(browser: FlaskClient, name: str, **form: Any) -> Any:
    token = re.search(r'name="csrf_token" value="([^"]+)"', get(browser).text)
    assert token is not None
    return browser.post(f"/console/queue/{name}", base_url=BASE, data={"csrf_token": token[1], **form})


@pytest.fixture
def given_up(fhir: Any, store: Any, clock: Any) -> list[int]:
    """Numbers of two dead letters of the consumer "mirror"; a third event waits."""
    store.outbox.register(["mirror"], clock())
    for id in ("one", "two"):
        fhir.put(f"Patient/{id}", {"resourceType": "Patient", "id": id, "name": [{"family": "Testfall"}]})
    store.outbox.hand_over()
    batch = store.outbox.claim("mirror", clock(), lease=timedelta(minutes=1), limit=10)
    numbers = [event.number for event in batch.events]
    store.outbox.settle(batch, done=[], failed=[Failure(number, "TimeoutError", None) for number in numbers])
    fhir.put("Patient/three", {"resourceType": "Patient", "id": "three"})
    return numbers


def test_an_empty_queue_says_so_and_that_no_worker_runs(browser: FlaskClient) -> None:
    page = get(browser)
    assert page.status_code == 200
    assert "No worker runs." in page.text
    assert "No consumer is installed" in page.text
    assert "No delivery was given up." in page.text
    assert "No job waits or has run lately." in page.text


def test_the_page_shows_counts_ids_and_classes_of_errors_and_no_content(
    browser: FlaskClient, given_up: Any, store: Any, clock: Any
) -> None:
    store.workers.seen(WorkerRow("w", "host.example", 4711, clock(), clock(), "outbox-9"))
    store.jobs.enqueue("client-keys", "backend", clock())
    store.jobs.progress(store.jobs.claim("w", ["client-keys"], clock(), lease=timedelta(minutes=1)), 2, 8)
    page = get(browser).text
    for shown in (
        "1 not taken up yet, the oldest for under a minute.",
        "Patient/one, version 1",
        "<code>TimeoutError</code>",
        "host.example, process 4711",
        "outbox-9",
        "2 of 8",
        "2 in all",
    ):
        assert shown in page
    assert "Testfall" not in page
    assert "No worker runs." not in page


def test_polling_answers_304_until_something_changes(browser: FlaskClient, given_up: Any, store: Any) -> None:
    first = get(browser, "/now")
    assert first.status_code == 200
    assert "<html" not in first.text
    tag = first.headers["ETag"]
    again = get(browser, "/now", If_None_Match=tag)
    assert (again.status_code, again.text) == (304, "")
    store.dead_letters.discard("mirror", given_up[:1])
    changed = get(browser, "/now", If_None_Match=tag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_polling_keeps_no_session_alive(browser: FlaskClient, clock: Any) -> None:
    for _ in range(4):
        assert get(browser, "/now").status_code == 200
        clock.advance(minutes=4)
    assert get(browser, "/now").status_code == 303


def test_a_dead_letter_is_tried_again(browser: FlaskClient, given_up: Any, store: Any) -> None:
    answer = send(browser, "retry", consumer="mirror", number=given_up[0])
    assert answer.status_code == 303
    assert "Tried again: 1." in browser.get(answer.headers["Location"], base_url=BASE).text
    assert store.outbox.waiting() == {"dead": 1, "retry": 1, "new": 1}


def test_all_dead_letters_are_tried_again(browser: FlaskClient, given_up: Any, store: Any) -> None:
    send(browser, "retry")
    assert store.outbox.waiting() == {"retry": 2, "new": 1}


def test_discarding_asks_first_and_stands_in_the_audit_trail(
    browser: FlaskClient, given_up: Any, store: Any
) -> None:
    question = get(browser, f"/discard?consumer=mirror&number={given_up[1]}")
    assert f"delivery {given_up[1]} to mirror" in question.text
    assert store.outbox.waiting()["dead"] == 2
    send(browser, "discard", consumer="mirror", number=given_up[1])
    assert [letter.number for letter in store.dead_letters.letters(limit=9)] == given_up[:1]
    row = store.audit_rows(limit=1)[0]
    assert (row.interaction, row.username, row.detail) == (
        "queue-discard",
        "engineer",
        f"delivery {given_up[1]} to mirror",
    )


def test_a_consumer_is_removed_with_what_waits_for_it(browser: FlaskClient, given_up: Any, store: Any) -> None:
    assert "Remove mirror and everything" in get(browser, "/remove-consumer?consumer=mirror").text
    send(browser, "remove-consumer", consumer="mirror")
    assert store.dead_letters.queues() == ()
    assert store.outbox.waiting() == {"new": 1}


def test_a_dead_job_is_tried_again_or_discarded(browser: FlaskClient, store: Any, clock: Any) -> None:
    ids = []
    for key in ("a", "b"):
        store.jobs.enqueue("export", key, clock())
        job = store.jobs.claim("w", ["export"], clock(), lease=timedelta(minutes=1))
        store.jobs.fail(job, "OSError", clock(), retry=None)
        ids.append(job.id)
    assert "Discard<span" in get(browser).text
    send(browser, "retry-job", number=ids[0])
    send(browser, "discard-job", number=ids[1])
    assert store.jobs.counts() == {"new": 1}


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("launch", {}),
        ("retry", {"consumer": "nobody"}),
        ("retry", {"number": "1"}),
        ("retry", {"consumer": "mirror", "number": "1' OR 1=1"}),
        ("retry", {"consumer": "mirror", "number": "9" * 30}),
        ("retry", {"consumer": "mi\x00rror"}),
        ("discard-job", {}),
        ("discard-job", {"number": "-1"}),
        ("remove-consumer", {}),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    browser: FlaskClient, given_up: Any, store: Any, name: str, form: dict[str, str]
) -> None:
    before = store.outbox.waiting()
    assert send(browser, name, **form).status_code == 404
    assert store.outbox.waiting() == before


def test_a_form_without_its_token_changes_nothing(browser: FlaskClient, given_up: Any, store: Any) -> None:
    answer = browser.post("/console/queue/discard", base_url=BASE, data={})
    assert answer.status_code == 403
    assert store.outbox.waiting()["dead"] == 2


@pytest.mark.parametrize("path", ["", "/now", "/discard"])
def test_the_queue_is_closed_to_clinical_roles(sign_in: Callable[[str], FlaskClient], path: str) -> None:
    assert get(sign_in("rn"), path).status_code == 403


@pytest.mark.parametrize(("query", "told"), [("did=retry&count=2", True), ("did=x&count=2", False)])
def test_only_known_words_are_told_back(browser: FlaskClient, query: str, told: bool) -> None:
    assert ("Tried again: 2." in get(browser, f"?{query}").text) is told
    assert "<script>" not in get(browser, "?did=retry&count=<script>").text


class TestBeingAskedAnew:
    """What is asked about before it is done is for somebody who has just shown who they are."""

    def test_the_question_leads_to_the_proof_and_back_once_the_sign_in_is_old(
        self, browser: FlaskClient, given_up: Any, clock: Any
    ) -> None:
        clock.advance(minutes=6)
        answer = get(browser, f"/discard?consumer=mirror&number={given_up[1]}")
        assert answer.status_code == 303
        after = f"/console/queue/discard%3Fconsumer%3Dmirror%26number%3D{given_up[1]}"
        assert answer.headers["Location"] == f"/oauth2/proof?next={after}"

    def test_the_form_alone_does_nothing_then_and_leads_to_its_question(
        self, browser: FlaskClient, given_up: Any, store: Any, clock: Any
    ) -> None:
        clock.advance(minutes=6)
        answer = send(browser, "discard", consumer="mirror", number=given_up[1])
        after = f"/console/queue/discard%3Fconsumer%3Dmirror%26number%3D{given_up[1]}"
        assert answer.headers["Location"] == f"/oauth2/proof?next={after}"
        assert store.outbox.waiting()["dead"] == 2

    def test_what_is_harmless_is_done_without(
        self, browser: FlaskClient, given_up: Any, store: Any, clock: Any
    ) -> None:
        clock.advance(minutes=6)
        send(browser, "retry", consumer="mirror", number=given_up[0])
        assert store.outbox.waiting()["dead"] == 1
