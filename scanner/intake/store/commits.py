"""Group commit: vouchers that arrive while one group is being written make up the next.

Rules: who waits gets an answer only when the group is on disk; at most so many wait, and who comes then is told to come
later; a failing database fails the group, and the next one is tried.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from scanner.intake.store.change import Writer
from scanner.intake.store.receiving import Outcome, Received, receive

LARGEST_GROUP = 1024
LONGEST_GATHERING = 0.005
"""Seconds that a group is left to grow at most. It grows while every turn of the event loop brings more: under load a
group costs as much as ten vouchers, and a lone voucher waits for nobody.
"""

_ENDING = 0.003  # seconds between looks whether all is written


class BusyError(Exception):
    """So many vouchers wait already that one more would wait too long."""


@dataclass(slots=True)
class _Waiting:
    vouchers: Sequence[Received]
    answer: asyncio.Future[list[Outcome]]


class Commits:
    """Stores vouchers of many requests in groups. Make it with :func:`committing`.

    Args:
        writer: stores them.
        most_waiting: vouchers that may wait.
        watch: told of each group: vouchers in it, and the seconds it took.
    """

    def __init__(self, writer: Writer, most_waiting: int, watch: Callable[[int, float], None]) -> None:
        self._writer = writer
        self._most_waiting = most_waiting
        self._watch = watch
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self.waiting = 0
        self._last = -math.inf

    @property
    def resting(self) -> float:
        """Seconds since a group was last written; 0 while vouchers wait. What can wait is done when it is long."""
        return 0.0 if self.waiting else asyncio.get_running_loop().time() - self._last

    async def put(self, vouchers: Sequence[Received]) -> list[Outcome]:
        """Store vouchers; gives what came of each once that is on disk.

        Raises:
            BusyError: too many wait. StorageError: none of them was stored.
        """
        if self.waiting + len(vouchers) > self._most_waiting:
            raise BusyError
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(vouchers, answer))
        self.waiting += len(vouchers)
        self._arrived.set()
        return await answer

    async def run(self) -> None:
        """Write group after group until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            await self._gather()
            began = loop.time()
            group = self._next_group()
            number = sum(len(one.vouchers) for one in group)
            try:
                outcomes = await receive(self._writer, [voucher for one in group for voucher in one.vouchers])
            except Exception as error:  # noqa: BLE001 -- whatever it was, who waits must hear of it
                for one in group:
                    if not one.answer.done():  # who asked may have gone
                        one.answer.set_exception(error)
            else:
                first = 0
                for one in group:
                    if not one.answer.done():
                        one.answer.set_result(outcomes[first : first + len(one.vouchers)])
                    first += len(one.vouchers)
            self.waiting -= number
            self._last = loop.time()
            self._watch(number, self._last - began)

    async def _gather(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LONGEST_GATHERING
        before = 0
        while before < self.waiting < LARGEST_GROUP and loop.time() < deadline:
            before = self.waiting
            await asyncio.sleep(0)

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        room = LARGEST_GROUP
        while self._queue and (not group or len(self._queue[0].vouchers) <= room):
            group.append(self._queue.popleft())
            room -= len(group[-1].vouchers)
        if not self._queue:
            self._arrived.clear()
        return group


@asynccontextmanager
async def committing(
    writer: Writer, *, most_waiting: int, watch: Callable[[int, float], None] = lambda _number, _seconds: None
) -> AsyncIterator[Commits]:
    """Write groups while the block runs; at its end whatever waits is written first."""
    commits = Commits(writer, most_waiting, watch)
    task = asyncio.create_task(commits.run(), name="commits")
    try:
        yield commits
    finally:
        while commits.waiting and not task.done():
            await asyncio.sleep(_ENDING)
        task.cancel()
        await asyncio.wait([task])
