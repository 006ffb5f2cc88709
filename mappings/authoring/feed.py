"""Where authors take messages from: a folder of files, or the message log of a deployment.

`baton map` runs without a server. Where one is installed, it offers its log by the entry point
`baton.message_logs`: a function without arguments that answers a `MessageLog`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from mappings.hl7v2 import batch
from mappings.result import Source


class NotInLog(LookupError):
    """What was asked for is not in the message log; the text says why."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message as it came: bytes, when, from which source.

    version: of the maps that it was last mapped by, "" for none and for what is not out of a log.
    """

    raw: bytes
    at: datetime
    source: Source
    version: str = ""


class Feed(Protocol):
    """What gives messages one by one."""

    def messages(self) -> Iterator[Received]: ...


class MessageLog(Protocol):
    """The messages that a deployment received, and the maps that it reads them by."""

    @property
    def overlays(self) -> Path | None:
        """The folder of overlays in force, None for none."""

    def message(self, number: int) -> Received:
        """The message of a number. Raises: NotInLog."""

    def messages(self, sender: str, most: int) -> Iterator[Received]:
        """The latest `most` messages, of one sender or ("") of all; repeated ones once. Raises: NotInLog."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a folder, each a message or a batch of them."""

    path: Path
    source: Source

    def messages(self) -> Iterator[Received]:
        for file in sorted(path for path in self.path.rglob("*") if path.is_file()):
            for raw in batch.split(file.read_bytes()).messages:
                yield Received(raw, datetime.now(UTC), self.source)


@dataclass(frozen=True, slots=True)
class Logged:
    """The latest messages of a log. source: what is read instead of what a sender is set to."""

    log: MessageLog
    sender: str
    most: int
    source: Callable[[Source], Source] = lambda source: source

    def messages(self) -> Iterator[Received]:
        for one in self.log.messages(self.sender, self.most):
            yield replace(one, source=self.source(one.source))


def message_log() -> MessageLog | None:
    """The log of the deployment, None where no server is installed."""
    for entry in entry_points(group="baton.message_logs"):
        opened: Any = entry.load()
        log: MessageLog = opened()
        return log
    return None
