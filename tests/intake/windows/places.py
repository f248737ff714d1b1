"""Vouchers in an intake's database without a service: who sends, what arrives, what is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.intake.store.change import Writer
from scanner.intake.store.engine import Store
from scanner.intake.store.receiving import Came, Received, receive
from scanner.intake.store.tables import DEVICES, VOUCHERS, WINDOWS
from scanner.vouchers import device_id_of
from scanner.vouchers.header import WINDOW_SECONDS
from tests.policies import ACCOUNT, OTHER_ACCOUNT

NOW = 1_800_000_000
WINDOW = NOW // WINDOW_SECONDS
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32).public_key().public_bytes_raw() for n in (1, 2, 3)]
DEVICE_KEYS = {device_id_of(key): key for key in KEYS}
IDS = list(DEVICE_KEYS)
ACCOUNTS = dict(zip(IDS, (OTHER_ACCOUNT, ACCOUNT, OTHER_ACCOUNT), strict=True))
Place = tuple[bytes, int, int]


def message_at(place: Place) -> bytes:
    """What stands for the voucher of a place."""
    return b"voucher of %s in %d/%d" % (place[0].hex().encode(), place[1], place[2])


def received(place: Place, message: bytes | None = None) -> Received:
    """A voucher that arrives."""
    message = message_at(place) if message is None else message
    return Received(place, hashlib.sha256(message).digest(), message, b"receipt", NOW)


async def enrol(
    writer: Writer, keys: dict[bytes, bytes] = DEVICE_KEYS, accounts: dict[bytes, bytes] = ACCOUNTS
) -> None:
    """Make devices known."""
    async with writer.change(NOW) as change:
        for device, key in keys.items():
            row = {"device_id": device, "public_key": key, "account": accounts[device], "enrolled_at": NOW}
            await change.db.execute(sa.insert(DEVICES).values(row))


async def arrive(writer: Writer, places: Iterable[Place | Received]) -> None:
    """Have vouchers arrive, in order."""
    group = [place if isinstance(place, Received) else received(place) for place in places]
    for start in range(0, len(group), 1_000):
        outcomes = await receive(writer, group[start : start + 1_000])
        assert {one.came for one in outcomes} == {Came.STORED}


async def states(store: Store) -> dict[Place, str]:
    """The state of every voucher that is there."""
    query = sa.select(VOUCHERS.c.device_id, VOUCHERS.c.window_number, VOUCHERS.c.slot, VOUCHERS.c.state)
    async with store.reading() as db:
        return {(row[0], row[1], row[2]): row[3] for row in await db.execute(query)}


async def counts(store: Store) -> dict[tuple[bytes, int], int]:
    """What is counted of each account's window."""
    query = sa.select(WINDOWS.c.account, WINDOWS.c.window_number, WINDOWS.c.vouchers)
    async with store.reading() as db:
        return {(row[0], row[1]): row[2] for row in await db.execute(query)}


async def rows(store: Store, table: sa.Table, **where: Any) -> Sequence[Any]:
    """The rows of a table."""
    query = sa.select(table)
    for name, value in where.items():
        query = query.where(table.c[name] == value)
    async with store.reading() as db:
        return (await db.execute(query)).all()
