"""The one way in for HL7 v2 messages: bytes and where they came from -> stored -> what is answered.

The MLLP listener, `POST /hl7v2` and the drop folder all come through here. Many are taken at once and stored by
one commit; nothing is answered with AA or CA before it is durable. Never raises for what it is given.
Sources: HL7 v2.5.1, 2.9 (processing rules) and 2.10.3 (batches)
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from mappings.hl7v2.acknowledgement import acknowledge
from mappings.hl7v2.batch import acknowledge_batch
from mappings.hl7v2.message import Hl7Error
from server.errors import FhirError
from server.fhir.dates import microseconds
from server.hl7v2.modes import ACCEPTED, ERROR, NEVER, REJECTED
from server.hl7v2.reading import Item, Reading, Whole, parsed
from server.hl7v2.received import Receipt, Received
from server.hl7v2.sources import Sources
from server.logs import Log, describe
from server.storage.hl7v2_log import Hl7v2Log

REPEATED_WITHIN = timedelta(days=7)
_MICROSECOND = timedelta(microseconds=1)
_NOT_STORED = Hl7Error("207", "", "The message cannot be stored now; send it again later")
_REUSED = Hl7Error("205", "MSH[1]-10[1].1.1", "The control id was used before, for another message")
# What several messages together are counted as: the gravest of their outcomes.
_GRAVITY = ("busy", "too-large", "truncated", "unreadable", "refused", "stored", "duplicate", "ignored")


class Intake:
    """Takes messages for one process. Used by one thread at a time, but for `later`.

    clock: aware UTC. zone: of times that tell no offset, of sources that tell none either. repeated_within: how
    long a message is known as one that came before.
    """

    def __init__(
        self,
        messages: Hl7v2Log,
        sources: Sources,
        clock: Callable[[], datetime],
        zone: str,
        log: Log,
        *,
        repeated_within: timedelta = REPEATED_WITHIN,
    ) -> None:
        self._messages = messages
        self._sources = sources
        self._clock = clock
        self._log = log
        self._reading = Reading(sources, zone, log)
        self._within = repeated_within // _MICROSECOND

    def take(self, received: Sequence[Received]) -> list[Receipt]:
        """Store messages and answer them, in their order."""
        now = self._clock()
        receipts = self._taken(received, now)
        if receipts is not None:
            return receipts
        if len(received) > 1:  # a defect: one of them is to blame for it, and the others are stored
            return [receipt for one in received for receipt in self.take((one,))]
        return [_busy(self._reading.unstored(one), now) for one in received]

    def _taken(self, received: Sequence[Received], now: datetime) -> list[Receipt] | None:
        """The receipts, None after an error that nobody foresaw."""
        at = microseconds(now)
        try:
            self._sources.refresh()
            wholes = [self._reading.read(one, at) for one in received]
            self._store([item for whole in wholes for item in whole.items], at)
            return [_receipt(whole, now) for whole in wholes]
        except FhirError as error:
            self._log("ERROR", "hl7v2-not-stored", messages=len(received), kind=error.kind)
            return [_busy(self._reading.unstored(one), now) for one in received]
        except Exception as error:
            self._log("ERROR", "hl7v2-not-stored", messages=len(received), **describe(error))
            return None

    def later(self, raw: bytes, code: str, error: str, at: datetime) -> bytes:
        """The application acknowledgement of a stored message. error: of its row, "" for none."""
        number, _, text = error.partition(" ")
        errors = (Hl7Error(number if number.isdigit() else "207", "", text or error),) if error else ()
        return acknowledge(parsed(raw), code, control_id=new_control_id(), at=at, errors=errors)

    def _store(self, items: Sequence[Item], at: int) -> None:
        stored = [item for item in items if item.new is not None]
        messages = [item.new for item in stored if item.new is not None]
        if not messages:
            return
        new_sources = self._sources.new({message.source for message in messages})
        kept = self._messages.keep(messages, since=at - self._within, new_sources=new_sources)
        for item, one in zip(stored, kept, strict=True):
            item.kept = one
            if one.duplicate:
                item.outcome = "duplicate"
            if one.refused:
                item.outcome, item.word, item.errors = "refused", REJECTED, (_REUSED,)


def _receipt(whole: Whole, now: datetime) -> Receipt:
    first = whole.items[0]
    ids = tuple(item.kept.id for item in whole.items if item.kept is not None)
    outcome = min((item.outcome for item in whole.items), key=_GRAVITY.index)
    answers = tuple(answer for item in whole.items if (answer := _answer(item, now)))
    later = tuple(
        (item.kept.id, item.mode.application)
        for item in whole.items
        if item.word == ACCEPTED and item.kept is not None and item.mode.application != NEVER
    )
    if whole.batch is not None and answers:
        answers = (acknowledge_batch(whole.batch, answers, control_id=new_control_id(), at=now),)
    # Several are answered as soon as they are stored: they may take longer than any sender waits.
    waits = len(whole.items) == 1 and first.word == ACCEPTED and first.kept is not None and first.mode.waits
    return Receipt(() if waits else answers, outcome, first.source, ids, len(whole.items), waits, later)


def _answer(item: Item, now: datetime) -> bytes:
    code = item.mode.code(item.word)
    if code and item.kept is not None and item.kept.duplicate:
        code = _replayed(item.kept.ack_code, code)
    if not code or item.silent:
        return b""
    return acknowledge(
        item.message, code, control_id=new_control_id(), at=now, errors=item.errors, original=item.original
    )


def _replayed(before: str, now: str) -> str:
    """The code of a repeated message: what was said of it before, in the way that is asked for now."""
    word = before[1:]
    return now[0] + (word if word in (ACCEPTED, ERROR, REJECTED) else ACCEPTED)


def _busy(whole: Whole, now: datetime) -> Receipt:
    (item,) = whole.items
    code = item.mode.code(item.busy[1])
    if not code or item.silent:
        return Receipt((), "busy")
    answer = acknowledge(
        item.message, code, control_id=new_control_id(), at=now, errors=(_NOT_STORED,), original=item.original
    )
    return Receipt((answer,), "busy")


def new_control_id() -> str:
    """A control id of our own: 20 characters, as many as HL7 v2.5.1 allows, never the same twice."""
    return secrets.token_hex(10)
