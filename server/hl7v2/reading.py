"""From bytes to what is to be stored of them, and how their sender is to be answered.

What cannot be read, is too large or has no end is to be stored too, as failed, so that people can see it; what
comes from where it may not, or is itself an acknowledgement, is not.
Sources: HL7 v2.5.1, 2.9 (processing rules) and 2.10.3 (batches)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from zoneinfo import ZoneInfo

from mappings.hl7v2 import acknowledgement
from mappings.hl7v2.batch import Batch, split
from mappings.hl7v2.message import Hl7Error, Message, parse
from server.hl7v2.arrival import control_id_of, keys_of, sender_of, word
from server.hl7v2.modes import ACCEPTED, NEVER, REJECTED, Mode, mode_of
from server.hl7v2.received import Received
from server.hl7v2.sources import DISABLED, KnownSource, Sources
from server.logs import Log, describe
from server.storage.hl7v2_log import Kept, NewMessage

_HEAD_BYTES = 4096  # in which the control id stands

# Flaw -> error of the row (table 0357, words), and what the sender is told, "" for nothing.
_FLAWS: dict[str, tuple[str, str]] = {
    "truncated": ("100 The message has no end.", ""),
    "too-large": ("207 The message is larger than this system takes.", "The message is too large"),
    "busy": ("207 There was no memory left for the message.", "Try again later"),
}
_NOT_ADMITTED = "This sender may not send here, or not from there"
_NOT_READ = "The message cannot be read"


@dataclass(slots=True)
class Item:
    """A message on its way. message: None for what cannot be read; then original is its control id.

    word: what is to be said of it (`modes`). new: what is to be stored, None for nothing; kept: how it was.
    errors: for the acknowledgement. silent: it is not answered. busy: MSA-1 where it cannot be stored.
    """

    message: Message | None
    source: str
    mode: Mode
    word: str
    outcome: str
    new: NewMessage | None = None
    errors: tuple[Hl7Error, ...] = ()
    original: bytes = b""
    silent: bool = False
    busy: str = "AR"
    kept: Kept | None = None


@dataclass(slots=True)
class Whole:
    """The messages of one Received. batch: where they came in one that is answered by one."""

    items: list[Item] = field(default_factory=list)
    batch: Batch | None = None


class Reading:
    """zone: of times that tell no offset, of sources that tell none either."""

    def __init__(self, sources: Sources, zone: str, log: Log) -> None:
        self._sources = sources
        self._zone = zone
        self._log = log

    def read(self, one: Received, at: int) -> Whole:
        """What was received, taken apart. at: UTC microseconds."""
        if one.flaw:
            return Whole([self._flawed(one, at)])
        if not _may_be_several(one.data):
            return Whole([self._message(one, one.data, at, ())])
        batch = split(one.data)
        if not batch.messages:
            return Whole([self._message(one, one.data, at, ())])
        warnings = tuple(finding.code for finding in batch.warnings)
        items = [self._message(one, data, at, warnings) for data in batch.messages]
        known = self._sources.named(items[0].source)
        by_one = batch.is_batch and (known is None or known.settings.batch == "batch")
        return Whole(items, batch if by_one else None)

    def unstored(self, one: Received) -> Whole:
        """What was received, as far as it can be answered without the database."""
        message = None if one.flaw else parsed(one.data)
        item = Item(message, "", Mode(), REJECTED, "busy", silent=one.flaw == "truncated")
        item.original = acknowledgement.control_id_of(one.data[:_HEAD_BYTES])
        if message is not None:
            known = self._sources.of(*sender_of(message), one.origin.names)
            item.mode, item.busy = _mode(message, known), known.settings.busy
            item.silent = acknowledgement.is_acknowledgement(message)
        return Whole([item])

    def _message(self, one: Received, data: bytes, at: int, warnings: tuple[str, ...]) -> Item:
        try:
            return self._readable(one, parse(data), data, at, warnings)
        except Hl7Error as error:
            return self._unreadable(one, data, at, error)
        except Exception as error:  # a defect of ours must neither end the process nor lose the message
            self._log("ERROR", "hl7v2-defect", **describe(error))
            return self._unreadable(one, data, at, Hl7Error("207", "", _NOT_READ))

    def _readable(
        self, one: Received, message: Message, data: bytes, at: int, warnings: tuple[str, ...]
    ) -> Item:
        known = self._sources.of(*sender_of(message), one.origin.names)
        settings, mode = known.settings, _mode(message, known)
        if not one.origin.waits:
            mode = replace(mode, waits=False)
        if acknowledgement.is_acknowledgement(message):
            return Item(message, known.name, mode, ACCEPTED, "ignored", silent=True)
        if known.state == DISABLED or known.broken or not known.admits(one.origin.address, one.origin.names):
            error = Hl7Error("207", "", _NOT_ADMITTED)
            return Item(message, known.name, mode, REJECTED, "refused", errors=(error,))
        keys = keys_of(message, known.name, settings.authorities, ZoneInfo(settings.time_zone or self._zone))
        odd = (*one.warnings, *warnings, *(finding.code for finding in message.warnings))
        new = NewMessage(
            source=known.name,
            listener=one.origin.listener,
            control_id=control_id_of(message),
            sha256=sha256(data).digest(),
            received=at,
            raw=data,
            type=keys.type,
            trigger=keys.trigger,
            structure=keys.structure,
            event_at=at if keys.event_at is None else keys.event_at,
            order_key=keys.order_key,
            second_key=keys.second_key,
            mrn=keys.mrn,
            visit=keys.visit,
            warnings=tuple(dict.fromkeys(odd)),
            ack_code=mode.code(ACCEPTED),
            owed="" if mode.application == NEVER else mode.application,
            reused_code=(mode.code(REJECTED) or "CR") if settings.reused_control_id == "reject" else "",
        )
        return Item(message, known.name, mode, ACCEPTED, "stored", new, busy=settings.busy)

    def _unreadable(self, one: Received, data: bytes, at: int, error: Hl7Error) -> Item:
        known = self._sources.of("", "", one.origin.names)
        new = self._failed(one, data, known, at, f"{error.code} {error.text}")
        new = replace(new, sha256=sha256(data).digest(), ack_code="AR")
        item = Item(None, known.name, Mode(), REJECTED, "unreadable", new, (error,))
        item.original = acknowledgement.control_id_of(data[:_HEAD_BYTES])
        return item

    def _flawed(self, one: Received, at: int) -> Item:
        """What is not whole. Its sender is told, unless it is in the middle of it."""
        error, told = _FLAWS[one.flaw]
        message = parsed(one.data)
        application, facility = sender_of(message) if message else ("", "")
        known = self._sources.of(application, facility, one.origin.names)
        new = self._failed(one, one.data, known, at, error)
        if message is not None:
            new = replace(new, type=word(message.get("MSH-9.1").text))
        if not told:
            return Item(message, known.name, Mode(), REJECTED, one.flaw, new, silent=True)
        mode = _mode(message, known) if message else Mode()
        new = replace(new, ack_code=mode.code(REJECTED))
        item = Item(message, known.name, mode, REJECTED, one.flaw, new, (Hl7Error("207", "", told),))
        item.original = acknowledgement.control_id_of(one.data[:_HEAD_BYTES])
        return item

    def _failed(self, one: Received, data: bytes, known: KnownSource, at: int, error: str) -> NewMessage:
        """What is stored for people to see. Without a digest: nothing is ever taken for its repetition."""
        original = acknowledgement.control_id_of(data[:_HEAD_BYTES])
        return NewMessage(
            source=known.name,
            listener=one.origin.listener,
            control_id=word(original.decode("utf-8", "replace")),
            sha256=b"",
            received=at,
            raw=data,
            event_at=at,
            state="failed",
            error=error,
            warnings=one.warnings,
        )


def _may_be_several(data: bytes) -> bool:
    """Whether it has to be looked at line by line; of almost all messages this says no."""
    return data.count(b"MSH") != 1 or any(name in data for name in (b"FHS", b"BHS", b"BTS", b"FTS"))


def parsed(data: bytes) -> Message | None:
    """The message, None where it cannot be read."""
    try:
        return parse(data)
    except Exception:  # whoever asks can do without it
        return None


def _mode(message: Message, known: KnownSource) -> Mode:
    return mode_of(
        word(message.get("MSH-15").text),
        word(message.get("MSH-16").text),
        setting=known.settings.mode,
        ack_on=known.settings.ack_on,
    )
