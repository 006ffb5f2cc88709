"""Group commit: messages of all connections that arrive within a few milliseconds are stored by one commit.

While one commit is under way the next group gathers, so that a slow disk makes larger groups, and no queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from server.hl7v2.received import Receipt, Received

MESSAGES_MAXIMUM = 200  # in one commit
BYTES_MAXIMUM = 32_000_000

Take = Callable[[Sequence[Received]], list[Receipt]]


class Commits:
    """Hands messages to `take`, which is run by one thread. window: seconds in which a group gathers."""

    def __init__(self, take: Take, window: float) -> None:
        self._take = take
        self._window = window
        self._waiting: asyncio.Queue[tuple[Received, asyncio.Future[Receipt]]] = asyncio.Queue()
        self._next: tuple[Received, asyncio.Future[Receipt]] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hl7v2-commit")

    def put(self, received: Received) -> asyncio.Future[Receipt]:
        """Store a message with the next group; its receipt, once that is durable."""
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((received, future))
        return future

    async def run(self) -> None:
        """Commit group after group until cancelled; a group that was begun is finished."""
        while True:
            group = [self._next or await self._waiting.get()]
            self._next = None
            if self._waiting.qsize() < MESSAGES_MAXIMUM:
                await asyncio.sleep(self._window)
            self._gather(group)
            await asyncio.shield(self._commit(group))

    def _gather(self, group: list[tuple[Received, asyncio.Future[Receipt]]]) -> None:
        size = len(group[0][0].data)
        while len(group) < MESSAGES_MAXIMUM and not self._waiting.empty():
            one = self._waiting.get_nowait()
            size += len(one[0].data)
            if size > BYTES_MAXIMUM:
                self._next = one
                return
            group.append(one)

    async def _commit(self, group: Sequence[tuple[Received, asyncio.Future[Receipt]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            receipts = await loop.run_in_executor(self._thread, self._take, [one for one, _ in group])
        except Exception as error:  # told to who waits for it; the next group is tried all the same
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), receipt in zip(group, receipts, strict=True):
            if not future.done():
                future.set_result(receipt)

    def close(self) -> None:
        """End the thread, once it has done what it does."""
        self._thread.shutdown()
