"""End a worker without breaking what it has begun.

    state     on                what clients see
    serving   begin()           all as ever
    draining  limit reached     /readyz says 503, so that a balancer sends nobody new; requests are taken, and each
                                answer closes its connection
    ended                       what still runs is cut off with 503 and Retry-After, and so is what comes new

Rules: states go forward only; a request that was answered with a receipt was answered before the cut, and one that was
cut has no receipt, so its device sends it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

from starlette.types import ASGIApp, Message, Receive, Scope, Send

READY_PATH = "/readyz"


class State(StrEnum):
    """How far the end has come."""

    SERVING = "serving"
    DRAINING = "draining"
    ENDED = "ended"


class Drain:
    """The state of one worker, and the requests that run in it. Use it from the worker's event loop."""

    def __init__(self) -> None:
        self._state = State.SERVING
        self._running: set[asyncio.Task[object]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def state(self) -> State:
        """Where the worker stands."""
        return self._state

    @property
    def running(self) -> int:
        """How many requests run."""
        return len(self._running)

    def begin(self) -> None:
        """Stop being ready; again is no error."""
        if self._state is State.SERVING:
            self._state = State.DRAINING

    def end(self) -> None:
        """Cut off what runs."""
        self._state = State.ENDED
        for task in self._running:
            task.cancel()

    async def run(
        self,
        stop_listening: Callable[[], object],
        *,
        notice: float,
        limit: float,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> bool:
        """Go from serving to ended.

        Args:
            stop_listening: called once, after the notice: no new connection is taken from then on.
            notice: seconds in which new requests are still served while ``/readyz`` says 503.
            limit: seconds that running requests have after that.
            sleep: waits seconds.

        Returns:
            whether every request ended by itself.
        """
        self.begin()
        await sleep(notice)
        stop_listening()
        waiting = asyncio.create_task(self._idle.wait())
        late = asyncio.ensure_future(sleep(limit))
        try:
            await asyncio.wait({waiting, late}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            late.cancel()
        finished = not self._running
        self.end()
        return finished

    def enter(self, task: asyncio.Task[object]) -> None:
        """A request runs in this task."""
        self._running.add(task)
        self._idle.clear()

    def leave(self, task: asyncio.Task[object]) -> None:
        """The request is over."""
        self._running.discard(task)
        if not self._running:
            self._idle.set()


class Draining:
    """ASGI middleware that keeps a :class:`Drain` told and obeys it.

    Args:
        app: what serves.
        drain: the worker's.
        unready: what answers ``/readyz`` and what is cut off: 503 with Retry-After.
    """

    def __init__(self, app: ASGIApp, *, drain: Drain, unready: ASGIApp) -> None:
        self._app = app
        self._drain = drain
        self._unready = unready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        drain = self._drain
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start" and drain.state() is not State.SERVING:
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        if drain.state() is State.ENDED or (drain.state() is State.DRAINING and scope["path"] == READY_PATH):
            await self._unready(scope, receive, watched_send)
            return
        task = asyncio.current_task()
        assert task is not None
        drain.enter(task)
        try:
            await self._app(scope, receive, watched_send)
        except asyncio.CancelledError:
            if drain.state() is not State.ENDED or started:
                raise
            task.uncancel()
            await self._unready(scope, receive, watched_send)
        finally:
            drain.leave(task)
