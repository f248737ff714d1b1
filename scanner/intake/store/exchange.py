"""One group's exchange with the database, by the shortest way of each: lock, read once, decide, write once, commit.

SQLite gets few statements of many rows in one thread, PostgreSQL four round trips. Each statement more would cost a
turn of the event loop, or a wait for the interpreter, and under load that is what a group's time is made of.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from scanner.intake.audit.tiles import Tile
from scanner.intake.store.engine import Store

Place: TypeAlias = tuple[bytes, int, int]
"""Device id, window and slot."""

_MOST_ROWS = 256  # of a statement in SQLite, which takes 32,766 values


@dataclass(frozen=True, slots=True)
class Standing:
    """What a group meets in the database.

    Attributes:
        frontier: of the audit log.
        edge: the log's tiles that are begun and not full.
        barred: devices that may not send: True if revoked, False if never enrolled.
        taken: digest and receipt of what stands in places already.
    """

    frontier: bytes
    edge: dict[Tile, bytes]
    barred: dict[bytes, bool]
    taken: dict[Place, tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a group writes: rows in the order of their table's columns.

    Attributes:
        vouchers, entries, tiles: rows; a tile that is there is replaced.
        head: the log's size, frontier and checkpoint.
    """

    vouchers: Sequence[tuple[Any, ...]]
    entries: Sequence[tuple[Any, ...]]
    tiles: Sequence[tuple[Any, ...]]
    head: tuple[int, bytes, str]


Decide: TypeAlias = Callable[[Standing], Rows | None]


async def exchange(store: Store, places: Sequence[Place], decide: Decide) -> None:
    """Lock the log, show what stands to ``decide``, write what it gives and commit.

    Args:
        store: the database.
        places: what the group wants to take; each once.
        decide: gives what to write, or None for nothing; pure, for it may run in another thread.

    Raises:
        StorageError: nothing was written.
    """
    if store.is_sqlite:
        await store.write_in_thread(lambda db: _through_sqlite(db, places, decide))
        return
    async with store.driving() as driver:
        await _through_postgresql(driver, places, decide)


_EDGE = """
    WITH l (level) AS (VALUES (0), (1), (2), (3), (4), (5), (6))
    SELECT t.level, t.number, t.hashes
    FROM l CROSS JOIN log_head h
    JOIN log_tiles t ON t.level = l.level AND t.number = h.size >> (8 * l.level + 8)
"""

_SQLITE_BARRED = """
    WITH asked (device_id) AS (VALUES {})
    SELECT a.device_id, d.device_id IS NOT NULL
    FROM asked a LEFT JOIN devices d ON d.device_id = a.device_id
    WHERE d.device_id IS NULL OR d.revoked_at IS NOT NULL
"""
_SQLITE_TAKEN = """
    WITH asked (device_id, window_number, slot) AS (VALUES {})
    SELECT v.device_id, v.window_number, v.slot, v.digest, v.receipt
    FROM asked a CROSS JOIN vouchers v
    ON v.device_id = a.device_id AND v.window_number = a.window_number AND v.slot = a.slot
"""


def _through_sqlite(db: sqlite3.Connection, places: Sequence[Place], decide: Decide) -> None:
    """The exchange in a transaction that holds the write lock."""
    ((frontier,),) = db.execute("SELECT frontier FROM log_head")
    edge = {Tile(level, number): hashes for level, number, hashes in db.execute(_EDGE)}
    senders = [(device,) for device in {place[0] for place in places}]
    barred = {device: bool(known) for device, known in _of_many(db, _SQLITE_BARRED, senders)}
    taken = {(row[0], row[1], row[2]): (row[3], row[4]) for row in _of_many(db, _SQLITE_TAKEN, places)}
    rows = decide(Standing(frontier, edge, barred, taken))
    if rows is None:
        return
    _of_many(db, "INSERT INTO vouchers VALUES {}", rows.vouchers)
    _of_many(db, "INSERT INTO log_entries VALUES {}", rows.entries)
    _of_many(db, "INSERT OR REPLACE INTO log_tiles VALUES {}", rows.tiles)
    db.execute("UPDATE log_head SET size = ?, frontier = ?, note = ?", rows.head)


def _of_many(db: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Run a statement over many rows in pieces of 256, 128 … 1, so that few statements are ever compiled."""
    results: list[Any] = []
    start = 0
    while left := len(rows) - start:
        size = min(1 << left.bit_length() - 1, _MOST_ROWS)
        marks = f"({', '.join('?' * len(rows[0]))})"
        values = tuple(value for row in rows[start : start + size] for value in row)
        results += db.execute(statement.format(", ".join([marks] * size)), values)
        start += size
    return results


# What is read next is read after the lock is had, whatever isolation the server's settings ask for.
_LOCK = "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT FROM log_head FOR UPDATE"
_READ = f"""
    SELECT
        (SELECT frontier FROM log_head),
        ARRAY(SELECT edge FROM ({_EDGE}) edge),
        ARRAY(
            SELECT (a.device_id, d.device_id IS NOT NULL)
            FROM unnest($1::bytea[]) a (device_id) LEFT JOIN devices d USING (device_id)
            WHERE d.device_id IS NULL OR d.revoked_at IS NOT NULL
        ),
        ARRAY(
            SELECT (v.device_id, v.window_number, v.slot, v.digest, v.receipt)
            FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) a (device_id, window_number, slot)
            JOIN vouchers v USING (device_id, window_number, slot)
        )
"""  # noqa: S608 -- made of constants
_WRITE = """
    WITH new_vouchers AS (
        INSERT INTO vouchers SELECT * FROM
        unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[], $8::text[])
    ), new_entries AS (
        INSERT INTO log_entries SELECT * FROM unnest($9::bigint[], $10::text[], $11::bigint[], $12::bytea[])
    ), new_tiles AS (
        INSERT INTO log_tiles SELECT * FROM unnest($13::bigint[], $14::bigint[], $15::bytea[])
        ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes
    )
    UPDATE log_head SET size = $16, frontier = $17, note = $18
"""


async def _through_postgresql(driver: Any, places: Sequence[Place], decide: Decide) -> None:
    """The exchange on an idle connection of asyncpg."""
    await driver.execute(_LOCK)
    frontier, edge, barred, taken = await driver.fetchrow(_READ, *_columns(places, 3))
    standing = Standing(
        frontier,
        {Tile(level, number): hashes for level, number, hashes in edge},
        dict(barred),
        {(row[0], row[1], row[2]): (row[3], row[4]) for row in taken},
    )
    rows = decide(standing)
    if rows is None:
        await driver.execute("ROLLBACK")
        return
    await driver.execute(
        _WRITE, *_columns(rows.vouchers, 8), *_columns(rows.entries, 4), *_columns(rows.tiles, 3), *rows.head
    )
    await driver.execute("COMMIT")


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[column] for row in rows] for column in range(width)]
