"""Deliver webhooks: claim what is due, send it outside of any transaction, write down what came of it.

Rules: what is claimed is sent at least once, under the same id each time, also when a worker dies between sending and
writing; a slow or failing receiver holds nobody else's messages up; nothing of a URL or an answer is logged.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial

from scanner.errors import StorageError
from scanner.intake.api.context import Service
from scanner.intake.hooks.queue import (
    Claimed,
    Terms,
    claim,
    claim_next,
    delete_ended,
    is_due,
    is_over,
    write_delivered,
    write_failed,
)
from scanner.intake.hooks.registry import Why, disable_hook
from scanner.intake.hooks.retrying import next_attempt
from scanner.intake.hooks.sending import Answer, Sender
from scanner.intake.hooks.signing import hook_key
from scanner.intake.hooks.targets import SystemNames
from scanner.intake.operations.metrics import HookOutcome
from scanner.intake.settings import Settings
from scanner.intake.store.change import Writer

PARALLEL = 8
"""Messages under way at once in a worker."""

FAILING_PARALLEL = 4
"""Of them, to hooks at which a message failed and waits."""

IN_A_ROW = 32
"""Messages to one hook before others have their turn."""

EVERY = 1.0
LEASE_BEYOND_TIMEOUT = 60.0
"""Seconds in which the answer must be written; a database that is busy for longer has the message sent again."""

LAST_SECONDS = 3.0
"""What is under way when the service ends has so long to be answered."""

_log = logging.getLogger(__name__)

Send = Callable[[str, str, bytes, float], Awaitable[Answer]]
"""Sends a message: URL, message id, body, time. See :meth:`Sender.send`."""


async def deliver(service: Service, at: float) -> None:
    """Deliver all that is due, and what comes to be due meanwhile; returns when nothing is under way.

    Raises:
        StorageError: the database fails, and nothing is under way.
    """
    terms = terms_of(service.settings)
    async with service.store.reading() as db:
        if not await is_due(db, int(at), terms, ()):
            return
    key, settings = hook_key(service.writer.signing_key), service.settings
    with closing(SystemNames(2 * PARALLEL)) as names:  # a thread may outlast the attempt that asked
        make = partial(
            Sender,
            key,
            resolve=names.resolve,
            timeout=settings.hook_timeout,
            unsafe_private=settings.unsafe_private_hooks,
        )
        sender = await asyncio.to_thread(make)  # reads a file of certificates
        await Round(service.writer, terms, sender.send, service.clock, service.metrics.count_hook).run()


async def tidy(writer: Writer, at: float) -> int:
    """Delete messages that ended 30 days ago, a bounded piece; gives how many.

    Raises:
        StorageError: nothing was deleted.
    """
    async with writer.store.reading() as db:
        if not await is_over(db, int(at)):
            return 0
    async with writer.change(at) as change:
        return await delete_ended(change)


def terms_of(settings: Settings) -> Terms:
    """The terms that settings say."""
    return Terms(settings.hook_schedule, settings.hook_timeout + LEASE_BEYOND_TIMEOUT)


class Round:
    """Sends until nothing is due and nothing is under way.

    Args:
        writer: claims, and writes what came of it.
        terms: schedule and lease.
        send: sends one message once.
        clock: seconds since 1970.
        count: told what came of each attempt.
        jitter: gives numbers from 0 to 1.
        every: seconds between looks for more while something is under way, and that a hook rests after it failed.
        last_seconds: what is under way has so long when the round is cancelled.
    """

    def __init__(
        self,
        writer: Writer,
        terms: Terms,
        send: Send,
        clock: Callable[[], float],
        count: Callable[[HookOutcome], None] = lambda _outcome: None,
        *,
        jitter: Callable[[], float] = random.random,
        every: float = EVERY,
        last_seconds: float = LAST_SECONDS,
    ) -> None:
        self._writer = writer
        self._terms = terms
        self._send = send
        self._clock = clock
        self._count = count
        self._jitter = jitter
        self._every = every
        self._last_seconds = last_seconds
        self._running: dict[asyncio.Task[bool], Claimed] = {}
        self._resting: dict[str, float] = {}  # hooks that failed, and until when they are left alone

    async def run(self) -> None:
        """Send.

        Raises:
            StorageError: nothing can be claimed, and nothing is under way.
        """
        try:
            while await self._started() or self._running:
                done, _ = await asyncio.wait(self._running, timeout=self._every, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    hook_id = self._running.pop(task).hook_id
                    if not task.result():
                        self._resting[hook_id] = asyncio.get_running_loop().time() + self._every
        finally:
            await self._end()

    async def _started(self) -> bool:
        """Start what can be; a database that fails does not end what is under way."""
        try:
            return await self._start()
        except StorageError as error:
            if not self._running:
                raise
            _log.error("no webhook can be claimed: %s", error)
            return False

    async def _start(self) -> bool:
        """Claim what there is room for and begin to send it; gives whether there was something."""
        room = PARALLEL - len(self._running)
        now = asyncio.get_running_loop().time()
        self._resting = {hook_id: until for hook_id, until in self._resting.items() if until > now}
        barred = {one.hook_id for one in self._running.values()} | self._resting.keys()
        failing = sum(one.failing for one in self._running.values())
        if not room:
            return False
        async with self._writer.store.reading() as db:
            if not await is_due(db, int(self._clock()), self._terms, barred):
                return False
        async with self._writer.change(self._clock()) as change:
            claimed = await claim(change, self._terms, room, max(0, FAILING_PARALLEL - failing), barred)
        for one in claimed:
            self._running[asyncio.create_task(self._deliver(one), name="webhook")] = one
        return bool(claimed)

    async def _deliver(self, claimed: Claimed) -> bool:
        """Send a message and then others to the same hook, as long as it takes them; gives whether it did."""
        following = claimed
        try:
            for turn in range(IN_A_ROW):
                answer = await self._send(following.url, following.message_id, following.body, self._clock())
                next_one = await self._write(following, answer, more=turn < IN_A_ROW - 1)
                if next_one is None:
                    return answer.accepted
                following = next_one
        except StorageError as error:
            _log.error("a webhook's answer was not written, it is sent again: %s", error)
        except Exception as error:  # noqa: BLE001 -- one message must not end the others
            _log.error("a webhook was not sent, it is tried again: %s", type(error).__name__)
        return False

    async def _write(self, claimed: Claimed, answer: Answer, *, more: bool) -> Claimed | None:
        """Write what came of an attempt; gives the next message to the hook if there may be more."""
        following = None
        async with self._writer.change(self._clock()) as change:
            if answer.accepted:
                await write_delivered(change, claimed, answer.status)
                outcome = HookOutcome.DELIVERED
                if more:
                    following = await claim_next(change, self._terms, claimed.hook_id)
            else:
                if answer.gone:
                    await disable_hook(change, claimed.hook_id, Why.GONE)
                next_at = next_attempt(
                    self._terms.schedule, claimed.attempts, change.at, answer.retry_after, self._jitter()
                )
                again = await write_failed(change, claimed, answer.status, next_at)
                outcome = HookOutcome.FAILED if again else HookOutcome.GIVEN_UP
        self._count(outcome)
        if not answer.accepted:
            fields = {"status": answer.status, "attempt": claimed.attempts}
            _log.warning("a webhook was not delivered: %s", outcome, extra={"fields": fields})
        return following

    async def _end(self) -> None:
        """Let what is under way come to its end for a short time; the lease of what doesn't will be over some time."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self._last_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
