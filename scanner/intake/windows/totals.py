"""How many vouchers of accounts' windows are in each state."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import BigInteger, LargeBinary, Values, and_, column, func, select, values
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.store.tables import DEVICES, VOUCHERS

Key = tuple[bytes, int]
"""Account and window."""


def asked_for(keys: Sequence[Key]) -> Values:
    """Accounts' windows as a table to join with, its columns named as those of WINDOWS; make it a CTE to use it."""
    columns = column("account", LargeBinary), column("window_number", BigInteger)
    return values(*columns, name="asked").data(list(keys))


async def count_states(db: AsyncConnection, keys: Sequence[Key]) -> dict[Key, dict[str, int]]:
    """Count the vouchers of each of some windows by state; states without vouchers are left out."""
    counts: dict[Key, dict[str, int]] = {key: {} for key in keys}
    if not keys:
        return counts
    asked = asked_for(keys).cte()
    group = (asked.c.account, asked.c.window_number, VOUCHERS.c.state)
    query = (
        select(*group, func.count())
        .join(DEVICES, DEVICES.c.account == asked.c.account)
        .join(
            VOUCHERS,
            and_(VOUCHERS.c.device_id == DEVICES.c.device_id, VOUCHERS.c.window_number == asked.c.window_number),
        )
        .group_by(*group)
    )
    for account, window, state, number in await db.execute(query):
        counts[account, window][state] = number
    return counts
