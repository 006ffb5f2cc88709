"""What the console shows of the queue: events on their way, deliveries given up, jobs, workers.

Ids, versions and counts, never content. Times are told roughly: the page changes only when something has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.errors import FhirError
from server.row_numbers import row_number
from server.storage.custom_parameters import ParameterState
from server.storage.dead_letters import ConsumerQueue, DeadLetter
from server.storage.interface import Store
from server.storage.jobs import Job
from server.storage.worker_rows import WorkerRow

LETTERS_SHOWN = 100
JOBS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class QueueState:
    """Everything on the page. fresh: events no relay has taken up yet, and how long the oldest waits."""

    fresh: int
    fresh_age: str
    consumers: tuple[tuple[ConsumerQueue, str], ...]  # with the age of the oldest
    letters: tuple[DeadLetter, ...]
    dead: int
    jobs: tuple[tuple[Job, str], ...]  # with when it comes next, ended or was last heard of
    workers: tuple[tuple[WorkerRow, bool, str], ...]  # alive, and when it was last heard of
    indexing: tuple[ParameterState, ...]  # search parameters for which not everything is indexed yet

    @property
    def running(self) -> bool:
        """Whether any worker lives."""
        return any(alive for _, alive, _ in self.workers)


@dataclass(frozen=True, slots=True)
class Target:
    """What an action is about, as the form says it: a delivery, a consumer, a job, or everything."""

    consumer: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Action:
    """question: asked before, with `{what}`; "" acts at once. told: afterwards, with `{count}`."""

    run: Callable[[Store, Target, datetime], int]
    told: str
    question: str = ""
    button: str = ""


def queue_state(store: Store, now: datetime) -> QueueState:
    """The state of the queue. Raises: FhirError unavailable."""
    with store.reading() as reader:
        fresh, oldest = store.dead_letters.fresh()
        queues = store.dead_letters.queues()
        return QueueState(
            fresh,
            age(now, oldest),
            tuple((queue, age(now, queue.oldest)) for queue in queues),
            store.dead_letters.letters(limit=LETTERS_SHOWN),
            sum(queue.dead for queue in queues),
            tuple((job, _when(job, now)) for job in store.jobs.jobs(limit=JOBS_SHOWN)),
            tuple((row, row.alive(now), age(now, row.seen)) for row in store.workers.workers()),
            tuple(state for state in reader.parameter_states() if not state.ready),
        )


def age(now: datetime, then: datetime | None) -> str:
    """How long ago, in words; "" for never."""
    if then is None:
        return ""
    minutes = max(now - then, timedelta(0)) // timedelta(minutes=1)
    for size, word in ((1440, "day"), (60, "hour"), (1, "minute")):
        if count := minutes // size:
            return f"{count} {word}{'s' if count > 1 else ''}"
    return "under a minute"


def _when(job: Job, now: datetime) -> str:
    if job.state == "claimed":
        return f"running, heard of {age(now, job.heartbeat)} ago"
    if job.state == "new":
        return "due now" if job.available <= now else f"due in {age(job.available, now)}"
    return f"ended {age(now, job.finished)} ago"


def target(consumer: str, number: str) -> Target:
    """From the texts of a form. Raises: FhirError not-found for what cannot be a number of ours."""
    if not number:
        return Target(consumer)
    return Target(consumer, row_number(number))


def described(aim: Target) -> str:
    """What an action is about, for its question."""
    if aim.number and aim.consumer:
        return f"delivery {aim.number} to {aim.consumer}"
    if aim.number:
        return f"job {aim.number}"
    return aim.consumer or "all consumers"


def _numbers(aim: Target) -> tuple[int, ...]:
    return (aim.number,) if aim.number else ()


def _retry(store: Store, aim: Target, now: datetime) -> int:
    return store.dead_letters.retry(now, aim.consumer, _numbers(aim))


def _discard(store: Store, aim: Target, now: datetime) -> int:
    return store.dead_letters.discard(aim.consumer, _numbers(aim))


def _remove(store: Store, aim: Target, now: datetime) -> int:
    return int(store.outbox.remove(aim.consumer))


def _retry_job(store: Store, aim: Target, now: datetime) -> int:
    return int(store.jobs.retry(aim.number, now))


def _discard_job(store: Store, aim: Target, now: datetime) -> int:
    return int(store.jobs.discard(aim.number))


ACTIONS: Mapping[str, Action] = {
    "retry": Action(_retry, "Tried again: {count}."),
    "discard": Action(
        _discard,
        "Discarded: {count}.",
        "Discard what was given up for {what}? The consumer will never be told of these versions. The versions"
        " themselves stay.",
        "Discard",
    ),
    "remove-consumer": Action(
        _remove,
        "Consumers removed: {count}.",
        "Remove {what} and everything that waits for it? If a worker still has it installed, it comes back when"
        " that worker starts again, without what was removed.",
        "Remove",
    ),
    "retry-job": Action(_retry_job, "Jobs tried again: {count}."),
    "discard-job": Action(_discard_job, "Jobs discarded: {count}.", "Discard {what}?", "Discard"),
}


def act(store: Store, name: str, aim: Target, now: datetime) -> int:
    """Do what was asked for; how many rows it met.

    Raises: FhirError not-found for an unknown action, consumer or number.
    """
    action = ACTIONS.get(name)
    about_job = name.endswith("-job")
    if action is None or (about_job and not aim.number):
        raise FhirError("not-found", "There is no such action.")
    known = {queue.consumer for queue in store.dead_letters.queues()}
    wanted = bool(aim.consumer) or name == "remove-consumer" or (bool(aim.number) and not about_job)
    if wanted and aim.consumer not in known:
        raise FhirError("not-found", "There is no such consumer.")
    return action.run(store, aim, now)
