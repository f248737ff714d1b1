"""What is read out of the log: its head, entries in order, and proofs that anyone can check, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.errors import ArgumentError, StorageError
from scanner.intake.audit.checkpoints import Checkpoint
from scanner.intake.audit.merkle import leaf_hash, root_of, verify_consistency, verify_inclusion
from scanner.intake.audit.notes import Verifier
from scanner.intake.audit.reading import prove_consistency, prove_inclusion, read_entries, read_head
from scanner.intake.store.change import Writer
from scanner.intake.store.engine import open_store
from scanner.intake.store.tables import LOG_TILES
from tests.intake.conftest import INTAKE, NOW, open_writer

SIZE = 300
VERIFIER = Verifier("localhost", INTAKE.public_key().public_bytes_raw())
T = TypeVar("T")


async def fill(writer: Writer, size: int = SIZE) -> None:
    """Entries enough for more than one tile, in two changes."""
    for part in (range(7), range(7, size)):
        async with writer.change(NOW) as change:
            for number in part:
                change.log("logout", operator="0" * 32, session=b"%d" % number)


def on(url: str, read: Callable[[AsyncConnection], Awaitable[T]], *, size: int = SIZE) -> T:
    """Read from a database with a log of a size."""

    async def run() -> T:
        async with open_writer(url) as writer:
            if size:
                await fill(writer, size)
        async with open_store(url) as store, store.reading() as db:
            return await read(db)

    return asyncio.run(run())


async def leaves_of(db: AsyncConnection) -> list[bytes]:
    return [leaf_hash(row.body) for row in await read_entries(db, -1, SIZE + 1)]


def test_the_head_is_a_checkpoint_of_all_entries(store_url):
    """Its size and root are those of the entries, and the log's key has signed them."""

    async def read(db: AsyncConnection) -> None:
        head, leaves = await read_head(db), await leaves_of(db)
        assert head.size == len(leaves) == SIZE
        assert Checkpoint.parse(head.note, VERIFIER) == Checkpoint("localhost", SIZE, root_of(leaves))

    on(store_url, read)


def test_a_log_without_entries_has_no_checkpoint(store_url):
    """There is nothing that anyone has signed."""

    async def read(db: AsyncConnection) -> tuple[Any, ...]:
        head = await read_head(db)
        return head.size, head.note, await read_entries(db, -1, 10)

    assert on(store_url, read, size=0) == (0, "", [])


def test_entries_come_in_order_from_any_place(store_url):
    """Behind a position, so many at most, without gaps."""

    async def read(db: AsyncConnection) -> None:
        assert [row.position for row in await read_entries(db, -1, 5)] == [0, 1, 2, 3, 4]
        assert [row.position for row in await read_entries(db, 4, 2)] == [5, 6]
        assert [row.position for row in await read_entries(db, SIZE - 3, 10)] == [SIZE - 2, SIZE - 1]
        assert list(await read_entries(db, SIZE - 1, 10)) == []

    on(store_url, read)


def test_every_inclusion_that_is_proven_can_be_checked(store_url):
    """For positions and sizes around every edge of a tile, also of the log when it was smaller."""

    async def read(db: AsyncConnection) -> None:
        leaves = await leaves_of(db)
        for size in (1, 2, 7, 255, 256, 257, SIZE):
            root = root_of(leaves[:size])
            for position in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
                proof = await prove_inclusion(db, position, size)
                assert verify_inclusion(leaves[position], position, size, proof, root)

    on(store_url, read)


def test_every_consistency_that_is_proven_can_be_checked(store_url):
    """Between any two sizes, from nothing to all."""

    async def read(db: AsyncConnection) -> None:
        leaves = await leaves_of(db)
        sizes = (0, 1, 6, 7, 128, 255, 256, 257, SIZE)
        roots = {size: root_of(leaves[:size]) for size in sizes}
        for new in sizes:
            for old in (size for size in sizes if size <= new):
                proof = await prove_consistency(db, old, new)
                assert verify_consistency(old, roots[old], new, roots[new], proof)

    on(store_url, read)


def test_what_the_log_never_was_is_not_proven(store_url):
    """Sizes past its own, positions past the size, and growth backwards."""

    async def read(db: AsyncConnection) -> None:
        for position, size in ((0, SIZE + 1), (SIZE, SIZE), (5, 5), (0, 0)):
            with pytest.raises(ArgumentError):
                await prove_inclusion(db, position, size)
        for old, new in ((0, SIZE + 1), (6, 5)):
            with pytest.raises(ArgumentError):
                await prove_consistency(db, old, new)

    on(store_url, read)


def test_damaged_tiles_prove_nothing(store_url):
    """A tile that is missing or cut is an error, no wrong proof."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await fill(writer)
            for damage in (update(LOG_TILES).values(hashes=bytes(32)), delete(LOG_TILES)):
                async with writer.store.writing() as db:
                    await db.execute(damage)
                async with writer.store.reading() as db:
                    with pytest.raises(StorageError, match="missing or cut"):
                        await prove_inclusion(db, 3, SIZE)
                    with pytest.raises(StorageError, match="missing or cut"):
                        await prove_consistency(db, 5, SIZE)

    asyncio.run(run())
