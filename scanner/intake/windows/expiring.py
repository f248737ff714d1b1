"""Delete what nothing was opened of when its grace has passed, and closed cases when their time of keeping has.

Rules: a window with a case is not deleted before the case is; a change deletes a bounded piece and the log says what,
so that who has the vouchers' digests can check it; what is begun is gone on with after any failure. An export that
holds a voucher which is deleted can't be given again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import and_, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.cases.expiring import forget_case
from scanner.intake.hooks.outbox import tell
from scanner.intake.settings import Settings
from scanner.intake.store.change import Change, Writer
from scanner.intake.store.lifecycle import Step, VoucherState, sources
from scanner.intake.store.tables import CASES, EXPORTED_WINDOWS, OPENINGS, VOUCHERS, WINDOWS
from scanner.intake.windows.moving import of_window
from scanner.vouchers.header import WINDOW_SECONDS

PIECE = 500
"""Vouchers deleted in one change."""

ROUNDS = 20
"""Changes made before others get their turn."""

_UNOPENED = [state for state in sources(Step.EXPIRE) if state != VoucherState.CLOSED]


class _Due(NamedTuple):
    account: bytes
    window: int
    case_id: str | None

    @property
    def states(self) -> Collection[str]:
        return _UNOPENED if self.case_id is None else [VoucherState.CLOSED.value]


def first_kept(settings: Settings, at: float) -> int:
    """Number of the first window whose grace has not passed.

    Args:
        settings: of the intake.
        at: the time, in seconds since 1970.
    """
    return max(0, math.floor((at - settings.grace) / WINDOW_SECONDS))


def is_over(window: int, settings: Settings, at: float) -> bool:
    """Whether a window's end and its grace have passed: no voucher of it is taken any more.

    Args:
        window: its number.
        settings: of the intake.
        at: the time, in seconds since 1970.
    """
    return window < first_kept(settings, at)


async def expire(writer: Writer, settings: Settings, at: float) -> int:
    """Delete what is due, at most ``ROUNDS`` changes of ``PIECE`` vouchers.

    Args:
        writer: makes the changes; none if nothing is due.
        settings: of the intake.
        at: the time, in seconds since 1970.

    Returns:
        vouchers deleted. There may be more to do; call again.

    Raises:
        StorageError: the database fails; the changes before it stay.
    """
    deleted = 0
    for _ in range(ROUNDS):
        async with writer.store.reading() as db:
            if not await _due(db, settings, at, 1):
                break
        async with writer.change(at) as change:
            deleted += await _expire(change, settings, at)
    return deleted


async def _due(db: AsyncConnection, settings: Settings, at: float, limit: int) -> list[_Due]:
    closed_by = math.floor(at - settings.case_retention)
    cases = (
        select(CASES.c.account, CASES.c.window_number, CASES.c.case_id)
        .where(CASES.c.closed_at.is_not(None), CASES.c.closed_at <= closed_by)
        .order_by(CASES.c.closed_at, CASES.c.case_id)
        .limit(limit)
    )
    due = [_Due(*row) for row in await db.execute(cases)]
    here = and_(CASES.c.account == WINDOWS.c.account, CASES.c.window_number == WINDOWS.c.window_number)
    windows = (
        select(WINDOWS.c.account, WINDOWS.c.window_number)
        .where(WINDOWS.c.window_number < first_kept(settings, at), ~exists().where(here))
        .order_by(WINDOWS.c.window_number, WINDOWS.c.account)
        .limit(limit)
    )
    return [*due, *(_Due(*row, None) for row in await db.execute(windows))]


async def _expire(change: Change, settings: Settings, at: float) -> int:
    """One piece: windows until it is full, the last perhaps in part."""
    room, ended = PIECE, 0
    for due in await _due(change.db, settings, at, PIECE):
        deleted, is_empty = await _delete(change, due, room)
        room -= deleted
        if not is_empty:
            break
        await _forget(change, due)
        ended += 1
    if room < PIECE:
        await tell(change, "window.expired", {"windows": ended, "vouchers": PIECE - room})
    return PIECE - room


async def _delete(change: Change, due: _Due, room: int) -> tuple[int, bool]:
    """Delete vouchers of a window, as many as there is room for, and log it; gives how many, and if those were all."""
    these = of_window(due.account, due.window, due.states)
    query = select(VOUCHERS.c.digest, VOUCHERS.c.position).where(these).order_by(VOUCHERS.c.position).limit(room + 1)
    found = (await change.db.execute(query)).all()
    rows = found[:room]
    if not rows:
        return 0, not found
    await change.db.execute(delete(VOUCHERS).where(these, VOUCHERS.c.position <= rows[-1].position))
    given = EXPORTED_WINDOWS.c
    exported = and_(given.account == due.account, given.window_number == due.window)
    exports = list(
        (await change.db.execute(select(given.export_id).where(exported).order_by(given.export_id))).scalars()
    )
    await change.db.execute(delete(EXPORTED_WINDOWS).where(exported))
    digest = hashlib.sha256(b"".join(row.digest for row in rows)).digest()
    change.log("expiry", account=due.account, window=due.window, vouchers=len(rows), digest=digest, exports=exports)
    return len(rows), len(found) <= room


async def _forget(change: Change, due: _Due) -> None:
    """Delete what else there is of a window; one with late vouchers that its case does not hold stays, with those."""
    if due.case_id is not None:
        await forget_case(change, due.case_id)
    opened = and_(OPENINGS.c.account == due.account, OPENINGS.c.window_number == due.window)
    await change.db.execute(delete(OPENINGS).where(opened))
    here = and_(WINDOWS.c.account == due.account, WINDOWS.c.window_number == due.window)
    late = of_window(due.account, due.window)
    counted = select(func.count()).select_from(VOUCHERS).where(late, VOUCHERS.c.state != VoucherState.RECEIVED)
    left = (await change.db.execute(counted)).scalar_one()
    if left:
        await change.db.execute(update(WINDOWS).where(here).values(vouchers=left))
    else:
        await change.db.execute(delete(WINDOWS).where(here))
