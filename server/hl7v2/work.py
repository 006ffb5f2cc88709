"""Doing stored messages, one after the other: map, apply, and say what became of each.

A message that cannot be applied is given up at once, and its source decides whether later messages of its
patient go on. What others or the machine are to blame for is tried again, in its place. A database that is away
ends the round: then it is no message's fault.

Messages that have nothing to do with each other share a commit: they are made ready before it begins, and
others wait only while they are written. If one is refused, each is applied by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from mappings.result import Mapped
from server.errors import FhirError
from server.hl7v2.apply import Applier
from server.hl7v2.arrival import every_key
from server.hl7v2.held import Held, Ready, size_of
from server.hl7v2.prepared import Applied
from server.hl7v2.refusal import Refused
from server.hl7v2.trace import trace
from server.storage.hl7v2_traces import Hl7v2Traces, packed
from server.storage.hl7v2_work import Claimed, Hl7v2Work, LeaseLost, Received
from server.storage.interface import Store
from server.storage.versions import VersionConflict

BATCH = 32  # messages of one claim
# Of messages that are committed together: while they are applied, others wait for some hundredths of a second.
_BYTES_TOGETHER = 32_768
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


@dataclass(frozen=True, slots=True)
class Work:
    """parks: whether a message of that source which is given up holds its keys. failed: is told of defects and
    of databases that are away, with words for the log. together: messages that share a commit, at most."""

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
        claimed = self.messages.claim(self.clock(), lease=self.lease, limit=limit, keys_of=every_key)
        held = Held.of(claimed, self.clock() + self.lease)
        done = 0
        try:
            while group := self._next(held):
                self._hold_on(held)
                if stopping():
                    break
                done += self._do_all(group, held)
        except FhirError:
            self._give_back(held)
            raise
        self._give_back(held)
        return done

    def _next(self, held: Held) -> list[Ready]:
        """The next messages that share a commit, none at the end."""
        while held.claimed or held.ready:
            while held.claimed and len(held.ready) < self.together and size_of(held.ready) < _BYTES_TOGETHER:
                held.ready.append(self._mapped(held.claimed.popleft()))
            held.pass_over()
            if held.ready:
                return self._group(held.ready)
        return []

    def _hold_on(self, held: Held) -> None:
        """Prolong the leases, once half of their time is over."""
        now = self.clock()
        if now > held.until - self.lease / 2:
            held.until = now + self.lease
            self.messages.renew([*held.open.values()], held.until)

    def _do_all(self, group: Sequence[Ready], held: Held) -> int:
        """Do messages; of how many nothing is left to do in this round. Raises: FhirError where the database is
        away."""
        together = len(group) > 1 and self._together(group)
        for one in group:
            if not together and not self._do(one):
                held.waiting |= one.message.keys
            del held.open[one.message.id]
        return len(group)

    def _group(self, ready: deque[Ready]) -> list[Ready]:
        """Take the first messages that may share a commit, made ready for it, while nobody is held up."""
        first = self._first(ready)
        if len(first) > 1:
            messages = [(one.event, one.mapped) for one in first if one.mapped]
            made = zip(first, messages, self.applier.prepare_together(messages), strict=False)
            with suppress(Exception):  # it meets it again by itself
                for one, (_, mapped), prepared in made:
                    one.trace = packed(trace(mapped, prepared.applied.outcomes))
                    one.prepared = prepared
        group = [ready.popleft()]
        while ready and group[0].prepared and ready[0].prepared:
            group.append(ready.popleft())
        return group

    def _first(self, ready: Iterable[Ready]) -> list[Ready]:
        """The messages at the beginning that have different keys; that are small, and can be applied in one
        transaction each."""
        first: list[Ready] = []
        keys: set[int] = set()
        for one in ready:
            if one.mapped is None or one.mapped.refused is not None or one.mapped.merges:
                break
            if not keys.isdisjoint(one.message.keys) or size_of((*first, one)) > _BYTES_TOGETHER:
                break
            keys |= one.message.keys
            first.append(one)
        return first

    def _together(self, group: Sequence[Ready]) -> bool:
        """Apply messages in one transaction; whether it was done. If not, each meets what is wrong by itself.

        Raises: FhirError where the database is away.
        """
        try:
            self.applier.apply_together(
                [(one.prepared, partial(self._settle, one)) for one in group if one.prepared]
            )
        except Exception as error:
            if isinstance(error, FhirError) and error.kind in _AWAY:
                raise
            return False
        return True

    def _give_back(self, held: Held) -> None:
        try:
            self.messages.give_back([*held.open.values()])
        except FhirError as error:  # their leases will free them
            self.failed("hl7v2-give-back", error)

    def _mapped(self, message: Claimed) -> Ready:
        """Read a message and run its map, while nobody is held up."""
        ready = Ready(message)
        try:
            ready.received = self.messages.received(message.id)
            if ready.received is not None and self.retry(message.attempts - 1, self.clock()) is None:
                raise Refused("given-up")
            if ready.received is not None:
                ready.mapped = self.mapper(ready.received)
        except Exception as error:
            ready.error = error
        return ready

    def _do(self, ready: Ready) -> bool:
        """Do a message. Returns whether it ended. Raises: FhirError where the database is away."""
        message, mapped = ready.message, ready.mapped
        try:
            if ready.error is not None:
                raise ready.error
            if ready.received is None or mapped is None:
                return True  # its time was over
            if mapped.refused is not None:
                finding = mapped.refused
                raise Refused(finding.code, finding.position, finding.text)
            self._apply(ready, mapped)
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

    def _apply(self, ready: Ready, mapped: Mapped) -> None:
        def progress() -> None:
            if not self.messages.renew([ready.message], self.clock() + self.lease):
                raise LeaseLost

        settle = partial(self._settle, ready)
        self.applier.apply(ready.event, mapped, settle, progress, ready.prepared)

    def _settle(self, ready: Ready, applied: Applied) -> None:
        """Within the transaction of what a message writes: it has been applied."""
        message, mapped = ready.message, ready.mapped
        assert mapped is not None  # or nothing would have been applied
        as_prepared = ready.prepared is not None and applied is ready.prepared.applied
        kept = ready.trace if as_prepared else packed(trace(mapped, applied.outcomes))
        self.traces.put(message.id, mapped.version, kept)
        self.messages.applied(message, self.clock(), version=mapped.version, result=applied.written)

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


def words_of(error: FhirError) -> str:
    """An error as the log keeps it: its kind and words, which name elements and rules and no value."""
    told = [
        f"{issue.diagnostics.rstrip('.')} ({issue.expression})" if issue.expression else issue.diagnostics
        for issue in error.issues
        if issue.severity in ("error", "fatal")
    ]
    more = f" and {len(told) - _ISSUES} more" if len(told) > _ISSUES else ""
    return f"{error.kind} {'; '.join(told[:_ISSUES])}{more}"
