"""The bytes of an export's file, made from the database a piece at a time.

Rules: the same windows and log position give the same bytes, as long as no voucher of theirs is deleted; memory is
bounded by the piece, however large a window is; no connection is held while who reads the bytes is waited for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias

import cbor2
from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.errors import StorageError
from scanner.exports import END, HEADER, ExportedWindow
from scanner.intake.store.tables import DEVICES, VOUCHERS
from scanner.intake.windows.moving import of_window
from scanner.intake.windows.totals import asked_for

PIECE = 1_000
"""Vouchers read at once: 4 MiB of the largest."""

LAST = cbor2.dumps(END)
"""The end of every file."""

Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[AsyncConnection]]

_ARRAY_OF_FOUR = b"\x84"
_ARRAY = 0x80


class Listed(NamedTuple):
    """One account's window in an export, and how many vouchers it has there."""

    account: bytes
    window: int
    vouchers: int


async def encoded(
    connect: Connect, windows: AsyncGenerator[Listed, None], through: int, *, piece: int = PIECE
) -> AsyncGenerator[bytes, None]:
    """Write the file of :mod:`scanner.exports`, all but its end.

    Args:
        connect: gives a connection for each piece.
        windows: in order of account and window; closed at the end.
        through: log position; vouchers from there on are left out.
        piece: vouchers to hold at once.

    Raises:
        StorageError: the database fails, or has fewer or more vouchers of a window than the list says.
    """
    yield cbor2.dumps(HEADER, canonical=True)
    async with aclosing(windows), aclosing(_batches(windows, piece)) as batches:
        async for batch in batches:
            if batch[0].vouchers > piece:
                async with aclosing(_large(connect, batch[0], through, piece)) as parts:
                    async for part in parts:
                        yield part
            else:
                async with connect() as db:
                    found = await _whole(db, batch, through)
                yield b"".join(window.to_bytes() for window in found)


async def _batches(windows: AsyncGenerator[Listed, None], piece: int) -> AsyncGenerator[list[Listed], None]:
    """Windows together as long as they fit a piece; one that doesn't is alone."""
    batch: list[Listed] = []
    room = piece
    async for window in windows:
        if batch and window.vouchers > room:
            yield batch
            batch, room = [], piece
        batch.append(window)
        room -= window.vouchers
    if batch:
        yield batch


async def _whole(db: AsyncConnection, batch: Sequence[Listed], through: int) -> list[ExportedWindow]:
    asked = asked_for([(window.account, window.window) for window in batch]).cte()
    query = (
        select(DEVICES.c.account, DEVICES.c.public_key, *VOUCHERS.c["device_id", "window_number", "slot", "voucher"])
        .select_from(asked)
        .join(DEVICES, DEVICES.c.account == asked.c.account)
        .join(
            VOUCHERS,
            and_(VOUCHERS.c.device_id == DEVICES.c.device_id, VOUCHERS.c.window_number == asked.c.window_number),
        )
        .where(VOUCHERS.c.position < through)
        .order_by(DEVICES.c.account, VOUCHERS.c.window_number, VOUCHERS.c.device_id, VOUCHERS.c.slot)
        .limit(sum(window.vouchers for window in batch) + 1)  # so many there are; more would be a fault
    )
    rows = (await db.execute(query)).all()
    found = list(_grouped(rows))
    if [Listed(one.account, one.window, len(one.vouchers)) for one in found] != list(batch):
        raise _changed()
    return found


def _grouped(rows: Sequence[Any]) -> Iterator[ExportedWindow]:
    for (account, window), group in groupby(rows, lambda row: (row.account, row.window_number)):
        exported = ExportedWindow(account, window, {}, [])
        for row in group:
            exported.devices[row.device_id] = row.public_key
            exported.vouchers.append(row.voucher)
        yield exported


async def _large(connect: Connect, listed: Listed, through: int, piece: int) -> AsyncGenerator[bytes, None]:
    """One window's item, its vouchers a piece at a time."""
    here = and_(of_window(listed.account, listed.window), VOUCHERS.c.position < through)
    devices = (
        select(DEVICES.c.device_id, DEVICES.c.public_key)
        .where(DEVICES.c.device_id.in_(select(VOUCHERS.c.device_id).where(here)))
        .order_by(DEVICES.c.device_id)
    )
    async with connect() as db:
        keys = {row.device_id: row.public_key for row in await db.execute(devices)}
    yield b"".join(
        (
            _ARRAY_OF_FOUR,
            *(cbor2.dumps(part, canonical=True) for part in (listed.account, listed.window, keys)),
            _array_of(listed.vouchers),
        )
    )
    given = 0
    for device in keys:
        slot: int | None = -1
        while slot is not None:
            rows, slot = await _page(connect, listed, device, slot, through, piece)
            given += len(rows)
            if given > listed.vouchers:
                raise _changed()
            yield b"".join(cbor2.dumps(row.voucher) for row in rows)
    if given < listed.vouchers:
        raise _changed()


async def _page(
    connect: Connect, listed: Listed, device: bytes, after: int, through: int, piece: int
) -> tuple[Sequence[Any], int | None]:
    """Some of a device's vouchers, and the slot after which the next come, or None."""
    query = (
        select(VOUCHERS.c.slot, VOUCHERS.c.voucher)
        .where(VOUCHERS.c.device_id == device, VOUCHERS.c.window_number == listed.window)
        .where(VOUCHERS.c.slot > after, VOUCHERS.c.position < through)
        .order_by(VOUCHERS.c.slot)
        .limit(piece)
    )
    async with connect() as db:
        rows = (await db.execute(query)).all()
    return rows, rows[-1].slot if len(rows) == piece else None


def _array_of(count: int) -> bytes:
    """The head of a CBOR array: that of the number, of another major type (RFC 8949 section 3.1)."""
    head = cbor2.dumps(count)
    return bytes([head[0] | _ARRAY]) + head[1:]


def _changed() -> StorageError:
    return StorageError("the database has not the vouchers that the export was made of")
