"""Give every request an id, measure it, count it and write its line.

Rules: a request has one id, in its answer and in every line written for it; an id from outside is taken only from a
trusted proxy and only in its form; whatever fails inside, the client gets an answer that says nothing about it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scanner.intake.operations.logs import AccessLog, is_request_id, request_id
from scanner.intake.operations.metrics import Metrics
from scanner.intake.operations.peers import TrustedPeers
from scanner.intake.operations.routes import method_of, route_of

HEADER = b"x-request-id"
LEFT = 499  # nginx's: the client went away before its answer began


class Requests:
    """ASGI middleware; the outermost but for :class:`~scanner.intake.operations.headers.SecurityHeaders`.

    Args:
        app: what serves.
        failure: what answers when ``app`` raised before it began an answer.
        metrics: counts requests.
        peers: whose request ids are taken.
        access_log: writes a line a request, or None.
        mounts: as for :func:`scanner.intake.operations.routes.route_of`.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        failure: ASGIApp,
        metrics: Metrics,
        peers: TrustedPeers,
        access_log: AccessLog | None = None,
        mounts: frozenset[str] = frozenset(),
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._failure = failure
        self._metrics = metrics
        self._peers = peers
        self._access_log = access_log
        self._mounts = mounts
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = self._monotonic()
        name = self._id_of(scope)
        header = (HEADER, name.encode())
        status = received = sent = 0
        left = False

        async def counted_receive() -> Message:
            nonlocal received, left
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
            elif not status:
                left = True
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        token = request_id.set(name)
        try:
            await self._app(scope, counted_receive, counted_send)
        except asyncio.CancelledError:
            left = not status
            raise
        except Exception as error:
            if left and isinstance(error, ClientDisconnect):
                return  # nobody is there to be answered, and nothing of ours failed
            if not status:
                await self._failure(scope, counted_receive, counted_send)
            raise  # the server writes it down, and closes the connection
        finally:
            request_id.reset(token)
            seconds = self._monotonic() - start
            shown = LEFT if left else status or 500
            method, route = method_of(scope), route_of(scope, self._mounts)
            self._metrics.count_request(method, route, shown, seconds)
            if self._access_log is not None:
                self._access_log.write(method, route, shown, seconds * 1000, received, sent, name)

    def _id_of(self, scope: Scope) -> str:
        if self._peers.is_trusted(scope):
            for key, value in scope["headers"]:
                if key == HEADER and is_request_id(given := value.decode("latin-1")):
                    return str(given)
        return os.urandom(16).hex()
