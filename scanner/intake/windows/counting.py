"""Count received vouchers into their account's window.

Rules: a voucher is counted once; vouchers are counted in the order they were received in, a few a change, so that
whoever delivers waits for no more than those.
"""

from __future__ import annotations

from sqlalchemy import bindparam, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.store.change import Change, Writer
from scanner.intake.store.lifecycle import Step, VoucherState, target
from scanner.intake.store.tables import DEVICES, LOG_HEAD, VOUCHERS, WINDOWS

PIECE = 100
"""Vouchers counted in one change."""

# Written out, not bound: only so is the index over received vouchers used.
_RECEIVED = VOUCHERS.c.state == bindparam(None, VoucherState.RECEIVED.value, literal_execute=True)


async def count(writer: Writer, at: float) -> int:
    """Count up to ``PIECE`` vouchers in one change.

    Args:
        writer: makes the change; none if there is nothing to count.
        at: the time, in seconds since 1970.

    Returns:
        how many were counted: 0 when there are no more.

    Raises:
        StorageError: nothing was counted.
    """
    async with writer.store.reading() as db:
        if await first_uncounted(db) is None:
            return 0
    async with writer.change(at) as change:
        return await _count(change)


async def count_all(writer: Writer, at: float) -> None:
    """Count every voucher that is there when this begins, piece by piece; those that come meanwhile don't prolong it.

    Raises:
        StorageError: the database fails; the pieces before stay counted.
    """
    async with writer.store.reading() as db:
        size = (await db.execute(select(LOG_HEAD.c.size))).scalar_one()
    while True:
        async with writer.store.reading() as db:
            first = await first_uncounted(db)
        if first is None or first >= size:
            return
        await count(writer, at)


async def first_uncounted(db: AsyncConnection) -> int | None:
    """The log position below which every voucher is counted, or None if all are."""
    position: int | None = (await db.execute(select(func.min(VOUCHERS.c.position)).where(_RECEIVED))).scalar_one()
    return position


async def _count(change: Change) -> int:
    query = (
        select(VOUCHERS.c.position, DEVICES.c.account, VOUCHERS.c.window_number)
        .join(DEVICES, DEVICES.c.device_id == VOUCHERS.c.device_id)
        .where(_RECEIVED)
        .order_by(VOUCHERS.c.position)
        .limit(PIECE)
    )
    rows = (await change.db.execute(query)).all()
    if not rows:
        return 0
    numbers: dict[tuple[bytes, int], int] = {}
    for row in rows:
        key = (row.account, row.window_number)
        numbers[key] = numbers.get(key, 0) + 1
    insert = sqlite.insert if change.db.dialect.name == "sqlite" else postgresql.insert
    new = insert(WINDOWS).values(
        [
            {"account": account, "window_number": window, "vouchers": number, "counted_at": change.at}
            for (account, window), number in sorted(numbers.items())
        ]
    )
    added = {
        "vouchers": WINDOWS.c.vouchers + new.excluded.vouchers,
        "counted_at": case(
            (WINDOWS.c.counted_at > new.excluded.counted_at, WINDOWS.c.counted_at), else_=new.excluded.counted_at
        ),
    }
    await change.db.execute(new.on_conflict_do_update(index_elements=WINDOWS.primary_key.columns, set_=added))
    positions = [row.position for row in rows]
    counted = update(VOUCHERS).where(_RECEIVED, VOUCHERS.c.position.in_(positions)).values(state=target(Step.COUNT))
    return (await change.db.execute(counted)).rowcount
