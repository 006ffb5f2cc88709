"""The one way in for HL7 v2 messages: bytes and where they came from -> stored -> what their sender is answered.

The MLLP listener, `POST /hl7v2` and the drop folder all come through here. Many are taken at once and stored by
one commit; nothing is answered with AA or CA before it is durable. What cannot be read, is too large or has no
end is kept as well, as failed, so that people can see it. Never raises for what it is given.
Sources: HL7 v2.5.1, 2.9 (processing rules) and 2.10.3 (batches)
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from mappings.hl7v2 import acknowledgement
from mappings.hl7v2.acknowledgement import is_acknowledgement
from mappings.hl7v2.batch import Batch, acknowledge_batch, split
from mappings.hl7v2.message import Hl7Error, Message, parse
from server.errors import FhirError
from server.fhir.dates import microseconds
from server.hl7v2.arrival import control_id_of, keys_of, sender_of, word
from server.hl7v2.modes import ACCEPTED, ERROR, REJECTED, Mode, mode_of
from server.hl7v2.sources import DISABLED, KnownSource, Sources
from server.logs import Log, describe
from server.storage.hl7v2_log import Hl7v2Log, Kept, NewMessage

_HEAD_BYTES = 4096  # in which the control id stands
REPEATED_WITHIN = timedelta(days=7)
_MICROSECOND = timedelta(microseconds=1)
_BATCH = re.compile(rb"[\s\x00]*(?:\xef\xbb\xbf)?[\s\x00]*(?:FHS|BHS)")
_SECOND_HEADER = re.compile(rb"[\r\n]\s*MSH[^A-Za-z0-9\s]")

# Flaw of a frame -> error of its row (table 0357, words), and what its sender is told, None for nothing.
_FLAWS: dict[str, tuple[str, str | None]] = {
    "truncated": ("100 The message has no end.", None),
    "too-large": ("207 The message is larger than this system takes.", "The message is too large"),
    "busy": ("207 There was no memory left for the message.", "Try again later"),
}
_NOT_ADMITTED = "This sender may not send here, or not from there"
_NOT_STORED = "The message cannot be stored now; send it again later"
_NOT_READ = "The message cannot be read"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where bytes came from. listener: mllp, http or file. address: of the peer, "" for a file. names: of the
    certificate that the peer has proved to have. waits: the listener can answer later than at once."""

    listener: str
    address: str = ""
    names: tuple[str, ...] = ()
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """What one frame, request or file held. flaw: as in `server.mllp.framing.Frame`. warnings: codes."""

    data: bytes
    origin: Origin
    flaw: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of it. answer: to be sent now, b"" for nothing. source: "" for none.

    outcome: stored, duplicate, refused, unreadable, busy, truncated, too-large or ignored; of a batch the
    gravest. ids: of the messages that were stored or that these repeat. waits: the answer follows when the
    message of `ids` has been processed; later: the condition of an application acknowledgement then.
    """

    answer: bytes
    outcome: str
    source: str = ""
    ids: tuple[int, ...] = ()
    messages: int = 1
    waits: bool = False
    later: str = ""


@dataclass(slots=True)
class _Item:
    """A message on its way. kept: None for what is not stored."""

    place: int
    message: Message | None
    source: str
    mode: Mode
    word: str
    outcome: str
    new: NewMessage | None
    errors: tuple[Hl7Error, ...] = ()
    text: str = ""
    silent: bool = False
    busy: str = "AR"
    original: bytes = b""
    kept: Kept | None = None


@dataclass(slots=True)
class _Whole:
    """One Received: its items, and the batch that they came in."""

    items: list[_Item] = field(default_factory=list)
    batch: Batch | None = None
    one_answer: bool = False


class Intake:
    """Takes messages for one process. Used by one thread at a time.

    clock: aware UTC. zone: of times that tell no offset, of sources that tell none either.
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
        self._zone = zone
        self._log = log
        self._within = repeated_within // _MICROSECOND

    def take(self, received: Sequence[Received]) -> list[Receipt]:
        """Store messages and answer them, in their order."""
        now = self._clock()
        moment = microseconds(now)
        stored = True
        try:
            self._sources.refresh()
            wholes = [self._read(one, place, moment) for place, one in enumerate(received)]
            self._store([item for whole in wholes for item in whole.items if item.new is not None], moment)
        except Exception as error:
            if not isinstance(error, FhirError) and len(received) > 1:
                return [receipt for one in received for receipt in self.take((one,))]  # who of them it is
            kind = {"kind": error.kind} if isinstance(error, FhirError) else describe(error)
            self._log("ERROR", "hl7v2-not-stored", messages=len(received), **kind)
            stored = False
            wholes = [self._unstored(one, place) for place, one in enumerate(received)]
        return [self._receipt(whole, now, stored) for whole in wholes]

    def later(self, raw: bytes, code: str, error: str, at: datetime) -> bytes:
        """The application acknowledgement of a stored message. error: of its row, "" for none."""
        number, _, text = error.partition(" ")
        errors = (Hl7Error(number if number.isdigit() else "207", "", text or error),) if error else ()
        return self._acknowledge(_parsed(raw), code, at, errors, text)

    # -- reading

    def _read(self, one: Received, place: int, moment: int) -> _Whole:
        if one.flaw:
            return _Whole([self._flawed(one, place, moment)])
        if not _BATCH.match(one.data) and not _SECOND_HEADER.search(one.data):
            return _Whole([self._message(one, one.data, place, moment, one.warnings)])
        batch = split(one.data)
        if not batch.messages:
            return _Whole([self._message(one, one.data, place, moment, one.warnings)])
        warnings = (*one.warnings, *(finding.code for finding in batch.warnings))
        items = [self._message(one, data, place, moment, warnings) for data in batch.messages]
        known = self._sources.named(items[0].source)
        return _Whole(items, batch, known is None or known.settings.batch == "batch")

    def _message(
        self, one: Received, data: bytes, place: int, moment: int, warnings: tuple[str, ...]
    ) -> _Item:
        try:
            return self._readable(one, parse(data), data, place, moment, warnings)
        except Hl7Error as error:
            return self._unreadable(one, data, place, moment, error)
        except FhirError:
            raise
        except Exception as error:  # a defect of ours must neither end the process nor lose the message
            self._log("ERROR", "hl7v2-defect", **describe(error))
            return self._unreadable(one, data, place, moment, Hl7Error("207", "", _NOT_READ))

    def _readable(
        self,
        one: Received,
        message: Message,
        data: bytes,
        place: int,
        moment: int,
        warnings: tuple[str, ...],
    ) -> _Item:
        known = self._sources.of(*sender_of(message), one.origin.names)
        settings = known.settings
        mode = mode_of(
            word(message.get("MSH-15").text),
            word(message.get("MSH-16").text),
            setting=settings.mode,
            ack_on=settings.ack_on,
        )
        if not one.origin.waits:
            mode = replace(mode, waits=False)
        if is_acknowledgement(message):
            return _Item(place, message, known.name, mode, ACCEPTED, "ignored", None, silent=True)
        if known.state == DISABLED or known.broken or not known.admits(one.origin.address, one.origin.names):
            error = Hl7Error("207", "", _NOT_ADMITTED)
            item = _Item(place, message, known.name, mode, REJECTED, "refused", None, (error,), _NOT_ADMITTED)
            return item
        zone = ZoneInfo(settings.time_zone or self._zone)
        keys = keys_of(message, known.name, settings.authorities, zone)
        new = NewMessage(
            source=known.name,
            listener=one.origin.listener,
            control_id=control_id_of(message),
            sha256=sha256(data).digest(),
            received=moment,
            raw=data,
            type=keys.type,
            trigger=keys.trigger,
            structure=keys.structure,
            event_at=moment if keys.event_at is None else keys.event_at,
            order_key=keys.order_key,
            second_key=keys.second_key,
            mrn=keys.mrn,
            visit=keys.visit,
            warnings=tuple(dict.fromkeys((*warnings, *(finding.code for finding in message.warnings)))),
            ack_code=mode.code(ACCEPTED),
            owed="" if mode.application == "NE" else mode.application,
            reused_code=mode.code(REJECTED) or "CR" if settings.reused_control_id == "reject" else "",
        )
        return _Item(place, message, known.name, mode, ACCEPTED, "stored", new, busy=settings.busy)

    def _unreadable(self, one: Received, data: bytes, place: int, moment: int, error: Hl7Error) -> _Item:
        """What has no header that can be read: kept as failed, and rejected."""
        known = self._of_nobody(one)
        new = self._dead(one, data, known, moment, f"{error.code} {error.text}", sha256(data).digest())
        new = replace(new, ack_code="AR")
        item = _Item(place, None, known.name, Mode(), REJECTED, "unreadable", new, (error,), _NOT_READ)
        item.original = acknowledgement.control_id_of(data)
        return item

    def _flawed(self, one: Received, place: int, moment: int) -> _Item:
        """What is not whole: kept as failed; its sender is told unless it is in the middle of it."""
        error, told = _FLAWS[one.flaw]
        message = _parsed(one.data)
        known = self._sources.of(*sender_of(message), one.origin.names) if message else self._of_nobody(one)
        new = self._dead(one, one.data, known, moment, error, b"")
        if message is not None:
            new = replace(new, type=word(message.get("MSH-9.1").text))
        if told is None:
            return _Item(place, message, known.name, Mode(), REJECTED, one.flaw, new, silent=True)
        mode = mode_of(
            word(message.get("MSH-15").text) if message else "",
            word(message.get("MSH-16").text) if message else "",
            setting=known.settings.mode,
        )
        new = replace(new, ack_code=mode.code(REJECTED))
        told_error = Hl7Error("207", "", told)
        return _Item(place, message, known.name, mode, REJECTED, one.flaw, new, (told_error,), told)

    def _of_nobody(self, one: Received) -> KnownSource:
        return self._sources.of("", "", one.origin.names)

    def _dead(
        self, one: Received, data: bytes, known: KnownSource, moment: int, error: str, digest: bytes
    ) -> NewMessage:
        return NewMessage(
            source=known.name,
            listener=one.origin.listener,
            control_id=word(acknowledgement.control_id_of(data[:_HEAD_BYTES]).decode("utf-8", "replace")),
            sha256=digest,
            received=moment,
            raw=data,
            event_at=moment,
            state="failed",
            error=error,
            warnings=one.warnings,
        )

    def _unstored(self, one: Received, place: int) -> _Whole:
        """One that was not stored, as far as it can be answered without the database."""
        message = None if one.flaw else _parsed(one.data)
        item = _Item(place, message, "", Mode(), REJECTED, "busy", None, silent=one.flaw == "truncated")
        if message is not None:
            known = self._sources.of(*sender_of(message), one.origin.names)
            item.silent = is_acknowledgement(message)
            item.mode = mode_of(
                word(message.get("MSH-15").text),
                word(message.get("MSH-16").text),
                setting=known.settings.mode,
            )
            item.busy = known.settings.busy
        return _Whole([item])

    # -- storing

    def _store(self, items: Sequence[_Item], moment: int) -> None:
        messages = [item.new for item in items if item.new is not None]
        if not messages:
            return
        new_sources = self._sources.new({message.source for message in messages})
        kept = self._messages.keep(messages, since=moment - self._within, new_sources=new_sources)
        for item, one in zip(items, kept, strict=True):
            item.kept = one
            if one.duplicate:
                item.outcome = "duplicate"
            if one.reused and one.ack_code[1:] == REJECTED:
                item.outcome, item.word, item.text = "refused", REJECTED, "The control id was used before"
                item.errors = (Hl7Error("205", "MSH[1]-10[1].1.1", item.text),)

    # -- answering

    def _receipt(self, whole: _Whole, now: datetime, stored: bool) -> Receipt:
        first = whole.items[0]
        ids = tuple(item.kept.id for item in whole.items if item.kept is not None)
        outcome = min((item.outcome for item in whole.items), key=_GRAVITY.index)
        if len(whole.items) == 1:
            answer = self._answer(first, now, stored)
            taken = stored and first.word == ACCEPTED and first.kept is not None
            waits = taken and first.mode.waits
            later = first.mode.application if taken and first.mode.application != "NE" else ""
            return Receipt(b"" if waits else answer, outcome, first.source, ids, 1, waits, later)
        answers = [answer for item in whole.items if (answer := self._answer(item, now, stored))]
        if whole.one_answer and whole.batch is not None and answers:
            answers = [acknowledge_batch(whole.batch, answers, control_id=new_control_id(), at=now)]
        return Receipt(b"".join(answers), outcome, first.source, ids, len(whole.items))

    def _answer(self, item: _Item, now: datetime, stored: bool) -> bytes:
        if item.silent:
            return b""
        if not stored:
            code = item.mode.code(item.busy[1])
            error = Hl7Error("207", "", _NOT_STORED)
            return self._acknowledge(item.message, code, now, (error,), _NOT_STORED, item.original) if code else b""
        code = item.mode.code(item.word)
        if item.kept is not None and item.kept.duplicate and item.kept.ack_code:
            code = _replayed(item.kept.ack_code, code)
        if not code:
            return b""
        return self._acknowledge(item.message, code, now, item.errors, item.text, item.original)

    @staticmethod
    def _acknowledge(
        message: Message | None,
        code: str,
        at: datetime,
        errors: Sequence[Hl7Error],
        text: str,
        original: bytes = b"",
    ) -> bytes:
        return acknowledgement.acknowledge(
            message, code, control_id=new_control_id(), at=at, errors=errors, text=text, original=original
        )


# What a batch is counted as: the gravest of its messages' outcomes.
_GRAVITY = ("busy", "too-large", "truncated", "unreadable", "refused", "stored", "duplicate", "ignored")


def _replayed(before: str, now: str) -> str:
    """The code of a repeated message: what was said before, in the way that is asked for now."""
    if not now:
        return ""
    word = before[1:] if before[1:] in (ACCEPTED, ERROR, REJECTED) else ACCEPTED
    return now[0] + word


def _parsed(data: bytes) -> Message | None:
    try:
        return parse(data)
    except Exception:  # what cannot be read is answered without it
        return None


def new_control_id() -> str:
    """A control id of our own: 20 characters, as many as HL7 v2.5.1 allows, never the same twice."""
    return secrets.token_hex(10)
