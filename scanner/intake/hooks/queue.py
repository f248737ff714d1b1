"""Which message is sent next, and what is written of an attempt.

Rules: a message is sent by whoever claimed it, and nobody else claims it until the lease is over; of one hook one
message is under way at a time, over all workers; an attempt counts from the claim, so that a message which ends its
worker is not sent for ever; nothing of what a former lease's holder says is written.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.hooks.lifecycle import MessageState, Step, sources, target
from scanner.intake.hooks.outbox import KEPT_SECONDS
from scanner.intake.store.change import Change
from scanner.intake.store.tables import HOOK_MESSAGES, HOOKS

_M = HOOK_MESSAGES.c
TIDIED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Terms:
    """By which messages are sent.

    Attributes:
        schedule: seconds to wait before each attempt.
        lease: seconds that a claim holds.
    """

    schedule: tuple[float, ...]
    lease: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this worker sends.

    Attributes:
        message_id: the same for every attempt.
        hook_id, url: where it goes.
        body: as written in the outbox.
        attempts: how many were made, with this one.
        failing: whether another message, or this one, failed at the hook and waits.
    """

    message_id: str
    hook_id: str
    url: str
    body: bytes
    attempts: int
    failing: bool


async def is_due(db: AsyncConnection, at: int, terms: Terms, barred: Collection[str]) -> bool:
    """Whether a message is due at a hook that is not barred."""
    found = select(_M.message_id).where(*_due(at, terms, barred)).limit(1)
    return (await db.execute(found)).first() is not None


async def claim(change: Change, terms: Terms, room: int, failing_room: int, barred: Collection[str]) -> list[Claimed]:
    """Claim messages, the one due for the longest first and one for each hook.

    Args:
        change: the change it is done in.
        terms: schedule and lease.
        room: how many at most.
        failing_room: how many of them to hooks at which a message failed and waits.
        barred: hooks that are left out: this worker sends to them, or they failed just now.

    Raises:
        StorageError: the database fails.
    """
    leased = select(_M.hook_id).where(_M.state == MessageState.SENDING.value, _M.due_at > change.at)
    failed = select(_M.hook_id).where(_M.state == MessageState.WAITING.value, _M.attempts > 0).distinct()
    busy = set(barred) | set((await change.db.execute(leased)).scalars())
    failing = set((await change.db.execute(failed)).scalars())
    claimed: list[Claimed] = []
    while len(claimed) < room:
        full = sum(one.failing for one in claimed) >= failing_room
        one = await _claim_one(change, terms, busy | failing if full else busy, failing)
        if one is None:
            break
        claimed.append(one)
        busy.add(one.hook_id)
    return claimed


async def claim_next(change: Change, terms: Terms, hook_id: str) -> Claimed | None:
    """Claim the next message to a hook, by the worker whose message to it was just delivered."""
    return await _claim_one(change, terms, (), (), _M.hook_id == hook_id)


async def write_delivered(change: Change, claimed: Claimed, status: int) -> None:
    """Write that the receiver has a message."""
    await _write(change, claimed, **_ended(change, Step.ACCEPT), last_status=status)


async def write_failed(change: Change, claimed: Claimed, status: int, next_at: int | None) -> bool:
    """Write that an attempt failed; gives whether the message is tried again.

    Args:
        change: the change it is done in.
        claimed: the message.
        status: of HTTP, or below 100 if there was none.
        next_at: when to try again, or None for never.
    """
    enabled = select(HOOKS.c.disabled_at.is_(None)).where(HOOKS.c.hook_id == claimed.hook_id)
    again = next_at is not None and (await change.db.execute(enabled)).scalar_one()
    values = {"state": target(Step.RETRY), "due_at": next_at} if again else _ended(change, Step.GIVE_UP)
    await _write(change, claimed, **values, last_status=status)
    return again


async def delete_ended(change: Change) -> int:
    """Delete a bounded piece of the messages that ended long ago; gives how many."""
    old = select(_M.message_id).where(*_over(change.at)).limit(TIDIED_AT_ONCE)
    return (await change.db.execute(delete(HOOK_MESSAGES).where(_M.message_id.in_(old)))).rowcount


async def is_over(db: AsyncConnection, at: int) -> bool:
    """Whether there is something to delete."""
    return (await db.execute(select(_M.message_id).where(*_over(at)).limit(1))).first() is not None


def _due(at: int, terms: Terms, barred: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    first = math.ceil(terms.schedule[0])
    return (
        _M.state.in_(sources(Step.CLAIM)),
        _M.due_at <= at,
        or_(_M.attempts > 0, _M.made_at <= at - first),
        _M.hook_id.not_in(sorted(barred)),
    )


def _over(at: int) -> tuple[ColumnElement[bool], ...]:
    return _M.state.in_(sources(Step.TIDY)), _M.due_at <= at


def _ended(change: Change, step: Step) -> dict[str, Any]:
    return {"state": target(step), "ended_at": change.at, "due_at": change.at + KEPT_SECONDS}


async def _claim_one(
    change: Change, terms: Terms, barred: Collection[str], failing: Collection[str], *which: ColumnElement[bool]
) -> Claimed | None:
    due = (
        select(_M.message_id, _M.hook_id, _M.body, _M.attempts, HOOKS.c.url, HOOKS.c.disabled_at)
        .join(HOOKS, HOOKS.c.hook_id == _M.hook_id)
        .where(*_due(change.at, terms, barred), *which)
        .order_by(_M.due_at, _M.message_id)
        .limit(1)
    )
    while (row := (await change.db.execute(due)).one_or_none()) is not None:
        this = update(HOOK_MESSAGES).where(_M.message_id == row.message_id)
        if row.disabled_at is not None or row.attempts >= len(terms.schedule):
            await change.db.execute(this.values(**_ended(change, Step.GIVE_UP)))
            continue
        leased_until = change.at + math.ceil(terms.lease)
        claiming = {"state": target(Step.CLAIM), "attempts": row.attempts + 1, "due_at": leased_until}
        await change.db.execute(this.values(**claiming))
        return _claimed(row, row.attempts > 0 or row.hook_id in failing)
    return None


def _claimed(row: Any, failing: bool) -> Claimed:
    return Claimed(row.message_id, row.hook_id, row.url, row.body, row.attempts + 1, failing)


async def _write(change: Change, claimed: Claimed, **values: Any) -> None:
    """Write what came of an attempt, unless its lease was over and another has begun."""
    mine = (
        _M.message_id == claimed.message_id,
        _M.state == MessageState.SENDING.value,
        _M.attempts == claimed.attempts,
    )
    await change.db.execute(update(HOOK_MESSAGES).where(*mine).values(**values))
