"""Where webhooks go: set, listed and disabled by operators.

Rules: what is set or disabled is told to the audit log, the URL only as its hash, since a URL may hold a secret; a hook
that is disabled is told nothing, and what waited for it is given up in the same change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.hooks.lifecycle import MessageState, Step, target
from scanner.intake.hooks.outbox import KEPT_SECONDS
from scanner.intake.store.change import Change
from scanner.intake.store.tables import HOOK_MESSAGES, HOOKS

MOST_HOOKS = 64
"""Enabled at once: every event writes a row for each."""


class Why(StrEnum):
    """Why a hook is disabled."""

    DELETED = "deleted"  # an operator said so
    GONE = "gone"  # its receiver answered 410


class TooManyHooksError(Exception):
    """So many hooks are enabled already that there may not be one more."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where some events are told.

    Attributes:
        hook_id: 32 hexadecimal digits.
        url: where messages are posted.
        events: of which, sorted.
        made_at: when it was first set, or set again after it was deleted.
        disabled_at, disabled_why: if it is.
    """

    hook_id: str
    url: str
    events: tuple[str, ...]
    made_at: int
    disabled_at: int | None = None
    disabled_why: Why | None = None


HOOK_COLUMNS = (
    HOOKS.c.hook_id, HOOKS.c.url, HOOKS.c.events, HOOKS.c.made_at, HOOKS.c.disabled_at, HOOKS.c.disabled_why,
)  # fmt: skip


def hook_from(row: Any) -> Hook:
    """A hook from its row of :data:`HOOK_COLUMNS`."""
    hook_id, url, events, made_at, disabled_at, why = row
    return Hook(hook_id, url, tuple(events.split(" ")), made_at, disabled_at, None if why is None else Why(why))


async def set_hook(change: Change, hook_id: str, url: str, events: Iterable[str], by: str) -> tuple[Hook, bool]:
    """Make a hook, or change where it goes and what it is told; one that is disabled is enabled.

    Args:
        change: the change it is done in.
        hook_id: 32 hexadecimal digits, chosen by who asks.
        url: checked already.
        events: one or more that can be subscribed to.
        by: id of the operator.

    Returns:
        the hook; whether there was none, or a deleted one.

    Raises:
        TooManyHooksError: there may not be one more.
        StorageError: the database fails.
    """
    wanted = tuple(sorted(events))
    before = await find_hook(change.db, hook_id)
    if before is not None and (before.url, before.events, before.disabled_at) == (url, wanted, None):
        return before, False
    if before is None or before.disabled_at is not None:
        enabled = select(func.count()).select_from(HOOKS).where(HOOKS.c.disabled_at.is_(None))
        if (await change.db.execute(enabled)).scalar_one() >= MOST_HOOKS:
            raise TooManyHooksError
    new = before is None or before.disabled_why is Why.DELETED
    hook = Hook(hook_id, url, wanted, change.at if before is None or new else before.made_at)
    values = {"url": url, "events": " ".join(wanted), "made_at": hook.made_at}
    if before is None:
        await change.db.execute(insert(HOOKS).values(hook_id=hook_id, made_by=by, **values))
    else:
        this = update(HOOKS).where(HOOKS.c.hook_id == hook_id)
        await change.db.execute(this.values(disabled_at=None, disabled_why=None, **values))
    change.log("hook", hook=hook_id, by=by, url=hashlib.sha256(url.encode()).digest(), events=list(wanted))
    return hook, new


async def find_hook(db: AsyncConnection, hook_id: str) -> Hook | None:
    """A hook, disabled or not."""
    row = (await db.execute(select(*HOOK_COLUMNS).where(HOOKS.c.hook_id == hook_id))).one_or_none()
    return None if row is None else hook_from(row)


async def disable_hook(change: Change, hook_id: str, why: Why, by: str | None = None) -> bool:
    """Tell a hook nothing more; one that is disabled already stays as it is, but for a deleted one's reason.

    Args:
        change: the change it is done in.
        hook_id: of the hook.
        why: the reason.
        by: id of the operator, or None if its receiver wanted it.

    Returns:
        whether there is such a hook.
    """
    hook = await find_hook(change.db, hook_id)
    if hook is None:
        return False
    if hook.disabled_at is None or (why is Why.DELETED and hook.disabled_why is not why):
        disabling = update(HOOKS).where(HOOKS.c.hook_id == hook_id)
        await change.db.execute(disabling.values(disabled_at=change.at, disabled_why=why.value))
        change.log("hook-disabled", hook=hook_id, by=by, why=why.value)
    waiting = update(HOOK_MESSAGES).where(
        HOOK_MESSAGES.c.hook_id == hook_id, HOOK_MESSAGES.c.state == MessageState.WAITING.value
    )
    given_up = {"state": target(Step.GIVE_UP), "ended_at": change.at, "due_at": change.at + KEPT_SECONDS}
    await change.db.execute(waiting.values(**given_up))
    return True
