"""Store a group of vouchers in one transaction, and say what came of each.

Rules: a voucher's place (device, window, slot) is taken once and for ever; the receipt stored first is given every
time; a device that isn't enrolled, or is revoked, has nothing stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.store.change import Change, TakenError, Writer, write_rows
from scanner.intake.store.lifecycle import VoucherState
from scanner.intake.store.tables import DEVICES, VOUCHERS

Place: TypeAlias = tuple[bytes, int, int]
"""Device id, window and slot."""


class Came(Enum):
    """What came of a voucher."""

    STORED = "stored"
    WAS_THERE = "was-there"
    SLOT_TAKEN = "slot-taken"
    NOT_ENROLLED = "not-enrolled"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Received:
    """A voucher whose signature is checked, and the receipt for it.

    Attributes:
        place: which it takes.
        digest: SHA-256 of its bytes.
        message: its bytes.
        receipt: given if it is stored now.
        at: seconds since 1970, of the day that the receipt names.
    """

    place: Place
    digest: bytes
    message: bytes
    receipt: bytes
    at: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one voucher: ``receipt`` is what to answer, of ``STORED`` and ``WAS_THERE`` alone."""

    came: Came
    receipt: bytes = b""


async def receive(writer: Writer, group: Sequence[Received]) -> list[Outcome]:
    """Store what is new of a group and commit it; in order.

    Raises:
        StorageError: nothing was stored.
    """
    if not group:
        return []
    async with writer.change(group[-1].at) as change:
        outcomes = await _refused(change.db, group)
        there: dict[Place, tuple[bytes, bytes]] = {}
        fresh = _firsts(group, outcomes)
        try:
            async with change.db.begin_nested():
                await _insert(change, fresh)
        except TakenError:
            there = await _standing(change.db, [one.place for one in fresh])
            fresh = [one for one in fresh if one.place not in there]
            await _insert(change, fresh)
        for one in fresh:
            change.log("receipt", at=one.at, **_told(one))
    new = {id(one) for one in fresh}
    there |= {one.place: (one.digest, one.receipt) for one in fresh}
    for number, one in enumerate(group):
        if number not in outcomes:
            digest, receipt = there[one.place]
            if digest != one.digest:
                outcomes[number] = Outcome(Came.SLOT_TAKEN)
            else:
                outcomes[number] = Outcome(Came.STORED if id(one) in new else Came.WAS_THERE, receipt)
    return [outcomes[number] for number in range(len(group))]


async def _refused(db: AsyncConnection, group: Sequence[Received]) -> dict[int, Outcome]:
    """What can't be stored, whatever stands in its place; by its number in the group."""
    senders = list({one.place[0] for one in group})
    query = select(DEVICES.c.device_id, DEVICES.c.revoked_at).where(DEVICES.c.device_id.in_(senders))
    revoked_at = {row.device_id: row.revoked_at for row in await db.execute(query)}
    refused: dict[int, Outcome] = {}
    for number, one in enumerate(group):
        if one.place[0] not in revoked_at:
            refused[number] = Outcome(Came.NOT_ENROLLED)
        elif revoked_at[one.place[0]] is not None:
            refused[number] = Outcome(Came.REVOKED)
    return refused


def _firsts(group: Sequence[Received], refused: dict[int, Outcome]) -> list[Received]:
    """The first voucher of the group for each place."""
    firsts: dict[Place, Received] = {}
    for number, one in enumerate(group):
        if number not in refused:
            firsts.setdefault(one.place, one)
    return list(firsts.values())


async def _insert(change: Change, fresh: Sequence[Received]) -> None:
    if not fresh:
        return
    first = change.before.size
    rows = [
        (*one.place, one.digest, one.message, one.receipt, first + number, VoucherState.RECEIVED.value)
        for number, one in enumerate(fresh)
    ]
    await write_rows(change.db, VOUCHERS.name, rows)


async def _standing(db: AsyncConnection, places: Sequence[Place]) -> dict[Place, tuple[bytes, bytes]]:
    """Digest and receipt of what stands in places already."""
    columns = VOUCHERS.c
    query = select(columns.digest, columns.receipt)
    found: dict[Place, tuple[bytes, bytes]] = {}
    for place in places:
        here = query.where(columns.device_id == place[0], columns.window_number == place[1], columns.slot == place[2])
        if (row := (await db.execute(here)).one_or_none()) is not None:
            found[place] = (row.digest, row.receipt)
    return found


def _told(one: Received) -> dict[str, Any]:
    device, window, slot = one.place
    return {"device": device, "window": window, "slot": slot, "digest": one.digest}
