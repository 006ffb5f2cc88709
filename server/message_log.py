"""The message log of this deployment, as `baton map` reads it (entry point `baton.message_logs`).

Every look is audited as one of `baton hl7v2` is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mappings.authoring.feed import NotInLog, Received
from mappings.result import Source
from server.auth.context import AuthContext, record
from server.command_context import command_context, command_settings, plain_words
from server.fhir.dates import microseconds
from server.hl7v2.current_maps import overlays_of
from server.hl7v2.sources import Sources
from server.storage.hl7v2_messages import LoggedMessage, MessageQuery

_PAGE = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DeploymentLog:
    """overlays: the folder whose maps are in force, None where there is none yet."""

    overlays: Path | None
    auth: AuthContext
    sources: Sources

    def message(self, number: int) -> Received:
        """The message of a number. Raises: NotInLog."""
        with plain_words():
            self._note("hl7v2-read", f"message={number}")
            message = self.auth.store.hl7v2_messages.get(number)
            if message is None:
                raise NotInLog("there is no message of that number")
            return self._received(message)

    def messages(self, sender: str, most: int) -> Iterator[Received]:
        """The latest messages, of one sender or ("") of all; repeated ones once. Raises: NotInLog."""
        with plain_words():
            if sender and self.auth.store.hl7v2_sources.get(sender) is None:
                raise NotInLog(f"there is no sender {sender}; `baton hl7v2 sources list` tells them")
            self._note("hl7v2-search", "coverage source" if sender else "coverage")
            before, left = None, most
            while left:
                query = MessageQuery(source=sender, before=before, count=_PAGE)
                page = self.auth.store.hl7v2_messages.search(query)
                firsts = [message for message in page.messages if message.duplicate_of is None][:left]
                yield from map(self._received, firsts)
                left, before = left - len(firsts), page.next_before
                if before is None:
                    return

    def _received(self, message: LoggedMessage) -> Received:
        raw = self.auth.store.hl7v2_messages.raw(message.id)
        at = _EPOCH + timedelta(microseconds=message.received)
        return Received(raw, at, self._source(message.source), message.mapping_version)

    def _source(self, name: str) -> Source:
        self.sources.refresh()
        known = self.sources.named(name)
        if known is not None and known.broken:
            raise NotInLog(f"the settings of the source {name} cannot be used")
        return known.mapping if known is not None else Source(name)

    def _note(self, event: str, detail: str) -> None:
        record(self.auth, event, 200, principal="Client/baton-cli", client_id="baton-cli", detail=detail)


def message_log() -> DeploymentLog:
    """The log of the deployment in BATON_HOME. Raises: click.ClickException with what to do."""
    settings = command_settings()
    auth = command_context()
    overlays = overlays_of(settings.home)
    sources = Sources(auth.store.hl7v2_sources, lambda: microseconds(auth.clock()))
    return DeploymentLog(overlays if overlays.is_dir() else None, auth, sources)
