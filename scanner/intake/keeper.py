"""What an intake does by itself, beside its requests: count, expire, deliver webhooks, keep checkpoints.

Rules: every worker does it and none relies on being alone; a round that fails is logged by its name and tried again in
the next second; requests go first, so a round does a bounded piece.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from sqlalchemy import insert, select

from scanner.errors import ScannerError
from scanner.intake.api.context import Service
from scanner.intake.hooks.delivering import deliver, tidy
from scanner.intake.store.tables import CHECKPOINTS, LOG_HEAD
from scanner.intake.windows.counting import count
from scanner.intake.windows.expiring import expire

EVERY = 1.0
CHECKPOINT_SECONDS = 60
QUIET = 0.25
"""Seconds without vouchers after which there is time to count them."""

_log = logging.getLogger(__name__)

Duty = Callable[[Service], Awaitable[object]]


async def _count(service: Service) -> None:
    """Count a piece, and go on as long as no vouchers come: each piece holds them up."""
    while await count(service.writer, service.clock()) and service.commits.resting > QUIET:
        await asyncio.sleep(0)


async def _expire(service: Service) -> None:
    await expire(service.writer, service.settings, service.clock())


async def _deliver(service: Service) -> None:
    await deliver(service, service.clock())


async def _tidy(service: Service) -> None:
    await tidy(service.writer, service.clock())


async def keep_checkpoint(service: Service) -> None:
    """Keep the newest checkpoint for those who will ask what the log was, at most one a minute and only if it grew."""
    newest = select(CHECKPOINTS.c.size, CHECKPOINTS.c.made_at).order_by(CHECKPOINTS.c.size.desc()).limit(1)
    head = select(LOG_HEAD.c.size, LOG_HEAD.c.note)
    async with service.store.reading() as db:
        kept, now = (await db.execute(newest)).one_or_none(), (await db.execute(head)).one()
    due = kept is None or service.clock() - kept.made_at >= CHECKPOINT_SECONDS
    if not due or now.size == (kept.size if kept else 0):
        return
    async with service.writer.change(service.clock()) as change:
        kept, now = (await change.db.execute(newest)).one_or_none(), (await change.db.execute(head)).one()
        if kept is None or kept.size < now.size:
            await change.db.execute(insert(CHECKPOINTS).values(size=now.size, made_at=change.at, note=now.note))


DUTIES: tuple[Duty, ...] = (_count, keep_checkpoint, _expire, _deliver, _tidy)


@asynccontextmanager
async def keeping(service: Service, duties: tuple[Duty, ...] = DUTIES, every: float = EVERY) -> AsyncIterator[None]:
    """Do each duty again and again while the block runs; what is under way at its end is rolled back."""
    tasks = [asyncio.create_task(_again(service, duty, every), name=duty.__name__) for duty in duties]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


async def _again(service: Service, duty: Duty, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await duty(service)
        except ScannerError as error:
            _log.error("%s failed: %s", duty.__name__.strip("_"), error)
        except Exception as error:  # noqa: BLE001 -- one bad round must not end all later ones
            _log.error("%s failed: %s", duty.__name__.strip("_"), type(error).__name__)
