"""The audit log's hashes in rows of tiles, so that appending and proving read a few rows whatever the log's size."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import and_, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.audit.merkle import Frontier
from scanner.intake.audit.tiles import Tile, edge_tiles, grow_tiles
from scanner.intake.store.tables import LOG_TILES

_KEY = tuple_(LOG_TILES.c.level, LOG_TILES.c.number)


async def read_tiles(db: AsyncConnection, tiles: Iterable[Tile]) -> dict[Tile, bytes]:
    """Fetch tiles; those that aren't there are left out."""
    wanted = list(tiles)
    if not wanted:
        return {}
    rows = await db.execute(select(LOG_TILES).where(_KEY.in_(wanted)))
    return {Tile(row.level, row.number): row.hashes for row in rows}


async def add_leaves(db: AsyncConnection, frontier: Frontier, leaves: Iterable[bytes]) -> Frontier:
    """Add leaf hashes to a log, in a transaction that has its head locked.

    Args:
        db: the transaction.
        frontier: of the log before.
        leaves: 32 bytes each.

    Returns:
        the frontier after.

    Raises:
        StorageError: the tiles are damaged.
    """
    edge = await read_tiles(db, edge_tiles(frontier.size))
    grown, tiles = grow_tiles(frontier, edge, leaves)
    for tile, hashes in tiles.items():
        if tile in edge:
            here = and_(LOG_TILES.c.level == tile.level, LOG_TILES.c.number == tile.number)
            await db.execute(update(LOG_TILES).where(here).values(hashes=hashes))
        else:
            await db.execute(insert(LOG_TILES).values(level=tile.level, number=tile.number, hashes=hashes))
    return grown
