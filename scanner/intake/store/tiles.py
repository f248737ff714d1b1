"""The audit log's hashes in tiles of 256 (C2SP tlog-tiles), so that any proof reads a few rows.

Tile ``number`` of ``level`` holds the hashes of the complete subtrees of 256^level leaves, 32 bytes each, up to 256 of
them; the newest of a level grows with the log.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import and_, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.audit.merkle import HASH_SIZE, TILE, Row
from scanner.intake.store.tables import LOG_TILES

WIDTH = 1 << TILE


async def add_hashes(db: AsyncConnection, rows: Iterable[Row]) -> None:
    """Add what became known as a log grew.

    Args:
        db: a transaction that has the log's head locked.
        rows: as :meth:`scanner.intake.audit.merkle.Frontier.grow` gives them.
    """
    for level, first, hashes in rows:
        taken = 0
        while taken < len(hashes):
            number, held = divmod(first + taken, WIDTH)
            more = b"".join(hashes[taken : taken + WIDTH - held])
            if held:
                here = and_(LOG_TILES.c.level == level, LOG_TILES.c.number == number)
                tile = (await db.execute(select(LOG_TILES.c.hashes).where(here))).scalar_one()
                await db.execute(update(LOG_TILES).where(here).values(hashes=tile + more))
            else:
                await db.execute(insert(LOG_TILES).values(level=level, number=number, hashes=more))
            taken += len(more) // HASH_SIZE
