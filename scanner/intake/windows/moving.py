"""Move all vouchers of an account's window by a step of their life."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, and_, delete, select, update

from scanner.intake.store.change import Change
from scanner.intake.store.lifecycle import TRANSITIONS, Step, sources, target
from scanner.intake.store.tables import DEVICES, VOUCHERS


def of_window(account: bytes, window: int, states: Collection[str] | None = None) -> ColumnElement[bool]:
    """The vouchers of an account's window, as a condition on VOUCHERS for any query.

    Args:
        account: the account's id, 16 bytes.
        window: number of the window.
        states: which they may be in; any, if not given.
    """
    devices = select(DEVICES.c.device_id).where(DEVICES.c.account == account)
    condition = and_(VOUCHERS.c.device_id.in_(devices), VOUCHERS.c.window_number == window)
    return condition if states is None else and_(condition, VOUCHERS.c.state.in_(states))


async def move(change: Change, step: Step, account: bytes, window: int) -> int:
    """Take a step with every voucher of an account's window that may take it; the others stay as they are.

    Args:
        change: to write in.
        step: what happens to them; after ``EXPIRE`` they are gone.
        account: the account's id, 16 bytes.
        window: number of the window.

    Returns:
        how many took it.

    Raises:
        StorageError: the database fails.
    """
    these = of_window(account, window, sources(step))
    if None in TRANSITIONS[step].values():
        return (await change.db.execute(delete(VOUCHERS).where(these))).rowcount
    return (await change.db.execute(update(VOUCHERS).where(these).values(state=target(step)))).rowcount
