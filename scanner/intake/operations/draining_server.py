"""uvicorn, ending in the steps of :mod:`scanner.intake.operations.draining`."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

import uvicorn

from scanner.intake.operations.draining import Drain

_SPARE = 2  # seconds for the last answers to be written after the limit


class DrainingServer(uvicorn.Server):
    """A server that, told to stop, first says it is not ready, then stops listening, then ends what is left.

    A second SIGINT ends it at once.

    Args:
        config: uvicorn's; its ``timeout_graceful_shutdown`` is set from ``limit``.
        drain: the one the app's middleware has.
        notice: seconds in which new requests are still served while ``/readyz`` says 503.
        limit: seconds that running requests have after that.
    """

    def __init__(self, config: uvicorn.Config, drain: Drain, *, notice: float, limit: float) -> None:
        config.timeout_graceful_shutdown = math.ceil(limit) + _SPARE
        super().__init__(config)
        self._drain = drain
        self._notice = notice
        self._limit = limit
        self._draining: asyncio.Task[bool] | None = None

    async def main_loop(self) -> None:
        """Serve until told to stop, and through the notice."""
        await super().main_loop()
        stopped = asyncio.Event()
        self._draining = asyncio.create_task(self._drain.run(stopped.set, notice=self._notice, limit=self._limit))
        while not (stopped.is_set() or self.force_exit):
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), 0.05)  # a signal sets force_exit and wakes nobody
