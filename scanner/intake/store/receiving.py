"""Store a group of vouchers in one transaction, and say what came of each.

Rules: a voucher's place (device, window, slot) is taken once and for ever; the receipt stored first is given every
time; a device that isn't enrolled, or is revoked, has nothing stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from scanner.intake.audit.entries import receipt_bytes
from scanner.intake.audit.merkle import Frontier, leaf_hash
from scanner.intake.audit.tiles import grow_tiles
from scanner.intake.store.change import Writer
from scanner.intake.store.exchange import Place, Rows, Standing, exchange
from scanner.intake.store.lifecycle import VoucherState


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
    firsts: dict[Place, Received] = {}
    for one in group:
        firsts.setdefault(one.place, one)
    outcomes: list[Outcome] = []

    def decide(standing: Standing) -> Rows | None:
        fresh = [
            one for place, one in firsts.items() if place not in standing.taken and place[0] not in standing.barred
        ]
        outcomes.extend(_outcomes(group, standing, firsts))
        return _rows(writer, standing, fresh) if fresh else None

    await exchange(writer.store, list(firsts), decide)
    return outcomes


def _outcomes(group: Sequence[Received], standing: Standing, firsts: dict[Place, Received]) -> Iterator[Outcome]:
    """What comes of each of a group, once the new ones are stored."""
    for one in group:
        revoked = standing.barred.get(one.place[0])
        if revoked is not None:
            yield Outcome(Came.REVOKED if revoked else Came.NOT_ENROLLED)
            continue
        first = firsts[one.place]
        digest, receipt = standing.taken.get(one.place, (first.digest, first.receipt))
        if digest != one.digest:
            yield Outcome(Came.SLOT_TAKEN)
        elif one is first and one.place not in standing.taken:
            yield Outcome(Came.STORED, receipt)
        else:
            yield Outcome(Came.WAS_THERE, receipt)


def _rows(writer: Writer, standing: Standing, fresh: Sequence[Received]) -> Rows:
    """The vouchers, and what the audit log says of them."""
    before = Frontier.from_bytes(standing.frontier)
    bodies = [receipt_bytes(one.at, *one.place, one.digest) for one in fresh]
    after, tiles = grow_tiles(before, standing.edge, map(leaf_hash, bodies))
    return Rows(
        vouchers=[
            (*one.place, one.digest, one.message, one.receipt, position, VoucherState.RECEIVED.value)
            for position, one in enumerate(fresh, before.size)
        ],
        entries=[
            (position, "receipt", one.at, body)
            for position, (one, body) in enumerate(zip(fresh, bodies, strict=True), before.size)
        ],
        tiles=[(*tile, hashes) for tile, hashes in tiles.items()],
        head=(after.size, after.to_bytes(), writer.note(after)),
    )
