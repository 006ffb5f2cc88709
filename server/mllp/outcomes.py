"""Asks the database what has become of messages whose senders wait for it; one question for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from server.errors import FhirError
from server.storage.hl7v2_log import FINAL, Outcome

_PAUSE = 0.05  # seconds between two questions
_PAUSE_AWAY = 1.0  # while the database is away
_ASKED_MAXIMUM = 1_000  # by one question

Ask = Callable[[Collection[int]], Mapping[int, Outcome]]


class Outcomes:
    """Messages that are waited for, by their ids."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._futures: dict[int, asyncio.Future[Outcome]] = {}
        self._wanted = asyncio.Event()

    @property
    def ids(self) -> Collection[int]:
        """Those that are waited for."""
        return self._futures.keys()

    async def of(self, id: int) -> Outcome:
        """What has become of a message, once that is final."""
        future = self._futures.get(id)
        if future is None:
            future = self._futures[id] = asyncio.get_running_loop().create_future()
            self._wanted.set()
        return await asyncio.shield(future)

    def forget(self, id: int) -> None:
        """Nobody waits for it any more."""
        self._futures.pop(id, None)

    async def run(self) -> None:
        """Ask again and again while anybody waits, until cancelled."""
        while True:
            await self._wanted.wait()
            if not self._futures:
                self._wanted.clear()
                continue
            ids = list(self._futures)
            try:
                for start in range(0, len(ids), _ASKED_MAXIMUM):
                    self._tell(await asyncio.to_thread(self._ask, ids[start : start + _ASKED_MAXIMUM]))
            except FhirError:
                await asyncio.sleep(_PAUSE_AWAY)
            await asyncio.sleep(_PAUSE)

    def _tell(self, found: Mapping[int, Outcome]) -> None:
        for id, outcome in found.items():
            future = self._futures.pop(id, None) if outcome.state in FINAL else None
            if future is not None and not future.done():
                future.set_result(outcome)
