"""Doing stored messages, one after the other: map, apply, and say what became of each.

A message that cannot be applied is given up at once, and its source decides whether later messages of its
patient go on. What others or the machine are to blame for is tried again, in its place. A database that is away
ends the round: then it is no message's fault.

Where writers wait for each other, some messages share a commit: they are all made ready before it begins, and
others wait only while they are written. One that has to do with an earlier one of the commit is made ready
again in its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from mappings.result import Mapped
from server.errors import FhirError
from server.hl7v2.apply import Applied, Applier, Event, Prepared
from server.hl7v2.arrival import every_key
from server.hl7v2.refusal import Refused
from server.hl7v2.trace import trace
from server.storage.hl7v2_traces import Hl7v2Traces, packed
from server.storage.hl7v2_work import Claimed, Hl7v2Work, LeaseLost, Received
from server.storage.interface import Store, VersionConflict

BATCH = 20  # messages of one claim
# Of messages that are committed together: while they are applied, others wait for some hundredths of a second.
_BYTES_TOGETHER = 16_384
# What a message that makes the program fail is given: it is a defect, but not one that waiting mends.
DEFECT_ATTEMPTS = 3
_AWAY = frozenset({"unavailable", "storage-full"})
_LATER = frozenset({"not-ready", "too-costly", "conflict", "precondition-failed"})
_ISSUES = 3  # of an error, that are told
_ERROR_LENGTH = 500

# Reads a message and runs its map. Raises: Refused unreadable.
Mapper = Callable[[Received], Mapped]


class Retry(Protocol):
    """When a message comes again after so many attempts, None for never: `workers.timing.Backoff.retry`."""

    def __call__(self, attempt: int, now: datetime) -> datetime | None: ...


@dataclass(slots=True)
class _Ready:
    """A message that can be applied. received: None where it is there no more. error: why it cannot be mapped,
    told in its turn. prepared: what it is to write, where that was made ready before its turn; trace: its own.
    """

    message: Claimed
    received: Received | None = None
    mapped: Mapped | None = None
    error: Exception | None = None
    prepared: Prepared | None = None
    trace: bytes = b""

    @property
    def joins(self) -> bool:
        """Whether it may share its transaction: a merge has several of its own."""
        return self.received is not None and not (self.mapped and self.mapped.merges)

    @property
    def event(self) -> Event:
        """As it is applied."""
        return Event(self.message.id, self.message.source, self.received.type if self.received else "")


@dataclass(frozen=True, slots=True)
class Work:
    """parks: whether a message of that source which is given up holds its keys. failed: is told of defects and
    of databases that are away, with words for the log. together: messages that one transaction may apply, each
    by itself within it; 1 where writers do not wait for each other anyway."""

    store: Store
    messages: Hl7v2Work
    traces: Hl7v2Traces
    applier: Applier
    mapper: Mapper
    parks: Callable[[str], bool]
    clock: Callable[[], datetime]
    retry: Retry
    failed: Callable[[str, Exception], None]
    lease: timedelta = timedelta(seconds=20)
    together: int = 1

    def do_some(self, stopping: Callable[[], bool] = lambda: False, *, limit: int = BATCH) -> int:
        """Claim messages and do them; how many ended or are to be tried again.

        Raises: FhirError unavailable, storage-full; what was not done is free then.
        """
        claimed = deque(self.messages.claim(self.clock(), lease=self.lease, limit=limit, keys_of=every_key))
        waiting: set[int] = set()  # keys of messages that keep their place
        back: list[Claimed] = []
        ready: deque[_Ready] = deque()
        done = 0
        held_until = self.clock() + self.lease
        while claimed or ready:
            while claimed and len(ready) < self.together and _size(ready) < _BYTES_TOGETHER:
                ready.append(self._prepared(claimed.popleft()))
            group = self._group(ready)
            if self.clock() > held_until - self.lease / 2:
                held_until = self.clock() + self.lease
                held = (*group, *ready)
                self.messages.renew([*(one.message for one in held), *claimed], held_until)
            if len(group) > 1:
                self._prepare(group)
            written: set[str] = set()
            try:
                with self._transaction(group):
                    for one in group:
                        if stopping() or not waiting.isdisjoint(one.message.keys):
                            waiting |= one.message.keys
                            back.append(one.message)
                            continue
                        done += 1
                        if not self._do(one, written):
                            waiting |= one.message.keys
            except FhirError:
                free = {message.id: message for message in (*back, *claimed)}
                free |= {one.message.id: one.message for one in (*group, *ready)}
                self._give_back([*free.values()])
                raise
        self._give_back(back)
        return done

    def _group(self, ready: deque[_Ready]) -> list[_Ready]:
        """Take the first ones that may be applied in one transaction."""
        group = [ready.popleft()]
        while ready and group[0].joins and ready[0].joins and _size((*group, ready[0])) <= _BYTES_TOGETHER:
            group.append(ready.popleft())
        return group

    def _prepare(self, group: Sequence[_Ready]) -> None:
        """Make ready what the messages write, while nobody is held up: of each patient the first one."""
        keys: set[int] = set()
        for one in group:
            if one.mapped is not None and one.mapped.refused is None and keys.isdisjoint(one.message.keys):
                with suppress(Exception):  # it meets it again in its turn
                    prepared = self.applier.prepare(one.event, one.mapped)
                    one.trace = packed(trace(one.mapped, prepared.applied.outcomes))
                    one.prepared = prepared  # last: without a trace it would not be whole
            keys |= one.message.keys

    def _transaction(self, group: Sequence[_Ready]) -> AbstractContextManager[object]:
        return self.store.writing() if len(group) > 1 else nullcontext()

    def _give_back(self, messages: Sequence[Claimed]) -> None:
        try:
            self.messages.give_back(messages)
        except FhirError as error:  # their leases will free them
            self.failed("hl7v2-give-back", error)

    def _prepared(self, message: Claimed) -> _Ready:
        """Read a message and run its map, while nobody is held up."""
        ready = _Ready(message)
        try:
            ready.received = self.messages.received(message.id)
            if ready.received is not None and self.retry(message.attempts - 1, self.clock()) is None:
                raise Refused("given-up")
            if ready.received is not None:
                ready.mapped = self.mapper(ready.received)
        except Exception as error:
            ready.error = error
        return ready

    def _do(self, ready: _Ready, written: set[str]) -> bool:
        """Do a message. Returns whether it ended. Raises: FhirError where the database is away.

        written: Type/id of what messages of its transaction have written, to which its own is added.
        """
        message, mapped = ready.message, ready.mapped
        try:
            if ready.error is not None:
                raise ready.error
            if ready.received is None or mapped is None:
                return True  # its time was over
            if mapped.refused is not None:
                finding = mapped.refused
                raise Refused(finding.code, finding.position, finding.text)
            if ready.prepared is not None and not written.isdisjoint(ready.prepared.references):
                ready.prepared = None
            applied = self._apply(ready, mapped)
            written |= {reference.partition("/_history")[0] for reference in applied.written}
        except LeaseLost:
            return False
        except Refused as refused:
            return self._give_up(message, str(refused), mapped)
        except VersionConflict:
            return self._again(message, "conflict others change the same at the same moment", mapped)
        except FhirError as error:
            if error.kind in _AWAY:
                raise
            if error.kind in _LATER:
                return self._again(message, words_of(error), mapped)
            return self._give_up(message, words_of(error), mapped)
        except Exception as error:  # whatever a message does, the next one must come
            self.failed("hl7v2", error)
            text = f"internal {type(error).__name__}"
            if message.attempts >= DEFECT_ATTEMPTS:
                return self._give_up(message, text, mapped)
            return self._again(message, text, mapped)
        return True

    def _apply(self, ready: _Ready, mapped: Mapped) -> Applied:
        message = ready.message

        def settle(applied: Applied) -> None:
            as_prepared = ready.prepared is not None and applied is ready.prepared.applied
            kept = ready.trace if as_prepared else packed(trace(mapped, applied.outcomes))
            self.traces.put(message.id, mapped.version, kept)
            self.messages.applied(message, self.clock(), version=mapped.version, result=applied.written)

        def progress() -> None:
            if not self.messages.renew([message], self.clock() + self.lease):
                raise LeaseLost

        return self.applier.apply(ready.event, mapped, settle, progress, ready.prepared)

    def _give_up(self, message: Claimed, error: str, mapped: Mapped | None) -> bool:
        state = "parked" if self.parks(message.source) else "failed"
        version = mapped.version if mapped else ""
        try:
            with self.store.writing():
                if mapped is not None:
                    self.traces.put(message.id, version, packed(trace(mapped)))
                self.messages.gave_up(message, state, error[:_ERROR_LENGTH], self.clock(), version=version)
        except LeaseLost:
            return False
        return state == "failed"

    def _again(self, message: Claimed, error: str, mapped: Mapped | None) -> bool:
        retry = self.retry(message.attempts, self.clock())
        if retry is None:
            return self._give_up(message, error, mapped)
        try:
            version = mapped.version if mapped else ""
            self.messages.try_again(message, error[:_ERROR_LENGTH], retry, version=version)
        except LeaseLost:
            pass
        return False


def _size(messages: Iterable[_Ready]) -> int:
    """Of messages, in bytes."""
    return sum(len(one.received.raw) for one in messages if one.received)


def words_of(error: FhirError) -> str:
    """An error as the log keeps it: its kind and words, which name elements and rules and no value."""
    told = [
        f"{issue.diagnostics.rstrip('.')} ({issue.expression})" if issue.expression else issue.diagnostics
        for issue in error.issues
        if issue.severity in ("error", "fatal")
    ]
    more = f" and {len(told) - _ISSUES} more" if len(told) > _ISSUES else ""
    return f"{error.kind} {'; '.join(told[:_ISSUES])}{more}"
