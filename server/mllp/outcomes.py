"""Asks the database what has become of messages whose senders wait for it; one question for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from server.errors import FhirError
from server.storage.hl7v2_log import FINAL, Outcome

_PAUSE = 0.05  # seconds between two questions, for each that is begun of `_ASKED`
_PAUSE_AWAY = 1.0  # while the database is away
_ASKED = 500  # by one question

Ask = Callable[[Collection[int]], Awaitable[Mapping[int, Outcome]]]


@dataclass(slots=True)
class _Wanted:
    """A message that is waited for, by so many."""

    future: asyncio.Future[Outcome]
    waiting: int = 0


class Outcomes:
    """Messages that are waited for, by their ids."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._wanted: dict[int, _Wanted] = {}
        self._any = asyncio.Event()

    @property
    def ids(self) -> Collection[int]:
        """Those that are waited for."""
        return self._wanted.keys()

    async def of(self, id: int) -> Outcome:
        """What has become of a message, once that is final."""
        wanted = self._wanted.get(id)
        if wanted is None:
            wanted = self._wanted[id] = _Wanted(asyncio.get_running_loop().create_future())
            self._any.set()
        wanted.waiting += 1
        try:
            return await asyncio.shield(wanted.future)
        finally:
            wanted.waiting -= 1
            if not wanted.waiting and self._wanted.get(id) is wanted:
                del self._wanted[id]

    async def run(self) -> None:
        """Ask again and again while anybody waits, until cancelled."""
        while True:
            await self._any.wait()
            ids = list(self._wanted)
            if not ids:
                self._any.clear()
            try:
                for start in range(0, len(ids), _ASKED):
                    self._tell(await self._ask(ids[start : start + _ASKED]))
            except FhirError:
                await asyncio.sleep(_PAUSE_AWAY)
            await asyncio.sleep(_PAUSE * (1 + len(ids) // _ASKED))

    def _tell(self, found: Mapping[int, Outcome]) -> None:
        for id, outcome in found.items():
            wanted = self._wanted.pop(id, None) if outcome.state in FINAL else None
            if wanted is not None and not wanted.future.done():
                wanted.future.set_result(outcome)
