"""What has to happen without being asked: the account's secret steps on, slots are filled, vouchers are delivered.

Rules: it never raises; with cover nothing is done when there is a match that would not be done without one; without
cover a voucher leaves at a random moment after its match, so that its time does not name the message.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

from scanner.checkpoint import Checkpoint
from scanner.delivery import Courier
from scanner.outbox import Outbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeepingSettings:
    """When things are done.

    Attributes:
        tick: seconds between two ticks; a quarter of an hour, as :meth:`Checkpoint.tick` asks.
        spread: a voucher is delivered so many seconds after its match at most; the moment is drawn evenly.
        pause: seconds between two rounds of delivery at least, whatever is due.
    """

    tick: float = 15 * 60.0
    spread: float = 60.0
    pause: float = 2.0


class Keeper:
    """Ticks and delivers until it is told to end.

    Args:
        checkpoint: ticked when it starts, on a timer, and once more at the end.
        outbox: whose vouchers are delivered.
        courier: delivers; None: nothing is delivered here.
        pool: threads in which it is done.
        clock: gives the time in seconds since 1970.
        settings: when.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        outbox: Outbox,
        courier: Courier | None,
        pool: Executor,
        clock: Callable[[], float],
        settings: KeepingSettings,
    ) -> None:
        self._checkpoint = checkpoint
        self._outbox = outbox
        self._courier = courier
        self._pool = pool
        self._clock = clock
        self._settings = settings
        self._random = random.SystemRandom()
        self._called = asyncio.Event()
        self._soonest: float | None = None
        self._ending = False

    def matched(self) -> None:
        """Deliver within the spread from now. Not to be called with cover."""
        drawn = asyncio.get_running_loop().time() + self._random.uniform(0, self._settings.spread)
        self._soonest = drawn if self._soonest is None else min(self._soonest, drawn)
        self._called.set()

    def end(self) -> None:
        """End with the round that is under way, and a last tick."""
        self._ending = True
        self._called.set()

    async def run(self) -> None:
        """Do what is due until the end."""
        loop = asyncio.get_running_loop()
        next_tick = next_round = loop.time()
        while not self._ending:
            if loop.time() >= next_tick:
                next_tick = loop.time() + self._settings.tick
                await self._quietly("tick", self._checkpoint.tick)
                next_round = loop.time()
            if self._soonest is not None and loop.time() >= self._soonest:
                self._soonest, next_round = None, loop.time()
            if loop.time() >= next_round:
                wait = await self._quietly("deliver", self._deliver)
                next_round = loop.time() + max(self._settings.pause, self._settings.tick if wait is None else wait)
            until = min(next_tick, next_round, *(() if self._soonest is None else (self._soonest,)))
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._called.wait()
            self._called.clear()
        await self._quietly("tick", self._checkpoint.tick)

    def _deliver(self) -> float | None:
        """Deliver what is due; gives the seconds until more is."""
        if self._courier is None:
            return None
        now = self._clock()
        self._courier.deliver(self._outbox, now)
        due = self._outbox.next_due()
        return None if due is None else due - now

    async def _quietly(self, what: str, call: Callable[[], float | None]) -> float | None:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except Exception as error:  # noqa: BLE001 - it is tried again
            _log.error("could not %s: %s", what, type(error).__name__)
            return None
