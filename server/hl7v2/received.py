"""What goes into the intake of HL7 v2 messages and what comes out of it, as values."""

from __future__ import annotations

from dataclasses import dataclass


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
    """What one frame, request or file held: a message, several, or a batch.

    flaw: "" for what is whole; `truncated`, whose end never came; `too-large`, of which `data` is the head;
    `busy`, the same, where there was no memory for it. warnings: codes.
    """

    data: bytes
    origin: Origin
    flaw: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of it. answers: messages to be sent now, mostly one. source: name, "" for none.

    outcome: stored, duplicate, refused, unreadable, busy, truncated, too-large or ignored; of several messages
    the gravest. ids: of the messages that were stored or that these repeat. waits: the answer follows when the
    message of `ids` has been processed. later: messages that are owed an application acknowledgement then, each
    with its condition.
    """

    answers: tuple[bytes, ...]
    outcome: str
    source: str = ""
    ids: tuple[int, ...] = ()
    messages: int = 1
    waits: bool = False
    later: tuple[tuple[int, str], ...] = ()
