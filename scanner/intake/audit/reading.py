"""Read the audit log out of the database: its newest checkpoint, its entries, and proofs about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.errors import ArgumentError
from scanner.intake.audit.merkle import consistency_proof, inclusion_proof
from scanner.intake.audit.places import consistency_places, inclusion_places
from scanner.intake.audit.tiles import subtrees_in, tiles_with
from scanner.intake.store.tables import LOG_ENTRIES, LOG_HEAD
from scanner.intake.store.tiles import read_tiles


@dataclass(frozen=True, slots=True)
class Head:
    """How far the log goes: entries, and the signed checkpoint that says so; empty for a log without entries."""

    size: int
    note: str


async def read_head(db: AsyncConnection) -> Head:
    """The log as it is now."""
    row = (await db.execute(select(LOG_HEAD.c.size, LOG_HEAD.c.note))).one()
    return Head(row.size, row.note)


async def read_entries(db: AsyncConnection, after: int, limit: int) -> Sequence[Any]:
    """Rows of entries behind a position, in order; -1 begins with the first."""
    query = select(LOG_ENTRIES).where(LOG_ENTRIES.c.position > after).order_by(LOG_ENTRIES.c.position).limit(limit)
    return (await db.execute(query)).all()


async def prove_inclusion(db: AsyncConnection, position: int, size: int) -> tuple[bytes, ...]:
    """Prove that the entry at a position is in the log of a size (RFC 9162 section 2.1.3).

    Raises:
        ArgumentError: the log was never of that size, or the position is not within it. StorageError: it is damaged.
    """
    await _check_size(db, size)
    tiles = await read_tiles(db, tiles_with(inclusion_places(position, size)))
    return inclusion_proof(position, size, subtrees_in(tiles))


async def prove_consistency(db: AsyncConnection, old: int, new: int) -> tuple[bytes, ...]:
    """Prove that the log of one size begins the log of another (RFC 9162 section 2.1.4).

    Raises:
        ArgumentError: the log was never of those sizes, or the first is the larger. StorageError: it is damaged.
    """
    await _check_size(db, new)
    tiles = await read_tiles(db, tiles_with(consistency_places(old, new)))
    return consistency_proof(old, new, subtrees_in(tiles))


async def _check_size(db: AsyncConnection, size: int) -> None:
    head = await read_head(db)
    if size > head.size:
        raise ArgumentError(f"the log has {head.size} entries, not {size}")
