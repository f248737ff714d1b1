"""What must hold of an intake's database whatever was killed, read from the tables themselves.

Every receipt that somebody was given is there, once. No voucher is half there: each row has its own entry in the audit
log at the position it names, each such entry has its row, and the log's hashes, tiles, checkpoints and counts are those
of its entries. Works out the log's root by the oracle, which shares nothing with the store.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select

from scanner.intake.audit.checkpoints import Checkpoint
from scanner.intake.audit.entries import Entry
from scanner.intake.audit.merkle import Frontier
from scanner.intake.audit.notes import Verifier
from scanner.intake.store.engine import open_store
from scanner.intake.store.receiving import Place
from scanner.intake.store.tables import CHECKPOINTS, DEVICES, LOG_ENTRIES, LOG_HEAD, LOG_TILES, VOUCHERS, WINDOWS
from scanner.vouchers import Receipt
from tests.intake.audit.merkle_oracle import tree_head

ORIGIN = "localhost"


class Found(NamedTuple):
    """What is there: the receipt of every voucher, and how many entries the log has."""

    receipts: dict[Place, bytes]
    entries: int


def read(url: str) -> dict[str, Sequence[Any]]:
    """Every row of the tables looked at, in one state of the database."""
    tables = (DEVICES, VOUCHERS, WINDOWS, LOG_HEAD, LOG_ENTRIES, LOG_TILES, CHECKPOINTS)

    async def fetch() -> dict[str, Sequence[Any]]:
        async with open_store(url) as store, store.reading() as db:
            return {
                table.name: (await db.execute(select(table).order_by(*table.primary_key))).all() for table in tables
            }

    return asyncio.run(fetch())


def check(url: str, key: Ed25519PublicKey, given: Mapping[Place, bytes]) -> Found:
    """Assert all of the above of a database that no expiry has deleted from.

    Args:
        url: the database.
        key: signs receipts and checkpoints.
        given: receipts that clients were given.

    Returns:
        what is there.

    Raises:
        AssertionError: something does not hold.
    """
    tables = read(url)
    entries = _entries(tables["log_entries"])
    receipts = _vouchers(tables["vouchers"], entries, key)
    for place, receipt in given.items():
        assert receipts.get(place) == receipt, f"a receipt was given and is not there: {place}"
    _tree(tables, key)
    _counts(tables)
    return Found(receipts, len(entries))


def _entries(rows: Sequence[Any]) -> list[Entry]:
    assert [row.position for row in rows] == list(range(len(rows))), "the log has a gap"
    entries = [Entry.from_bytes(row.body) for row in rows]
    assert [(row.kind, row.at) for row in rows] == [(entry.kind, entry.at) for entry in entries]
    return entries


def _vouchers(rows: Sequence[Any], entries: Sequence[Entry], key: Ed25519PublicKey) -> dict[Place, bytes]:
    told = {position: entry.fields for position, entry in enumerate(entries) if entry.kind == "receipt"}
    assert {row.position for row in rows} == told.keys(), "a voucher has no entry, or an entry no voucher"
    assert len(rows) == len(told), "two vouchers name one entry"
    receipts = {}
    for row in rows:
        place = (row.device_id, row.window_number, row.slot)
        fields = {"device": row.device_id, "window": row.window_number, "slot": row.slot, "digest": row.digest}
        assert told[row.position] == fields, f"the log says something else of {place}"
        assert hashlib.sha256(row.voucher).digest() == row.digest
        receipt = Receipt.verified(row.receipt, key)
        assert (receipt.device_id, receipt.window, receipt.slot, receipt.voucher_digest) == (*place, row.digest)
        receipts[place] = row.receipt
    return receipts


def _tree(tables: Mapping[str, Sequence[Any]], key: Ed25519PublicKey) -> None:
    bodies = tuple(row.body for row in tables["log_entries"])
    leaves = [hashlib.sha256(b"\x00" + body).digest() for body in bodies]
    (head,) = tables["log_head"]
    assert head.size == len(bodies), "the head is not of this log"
    verifier = Verifier(ORIGIN, key.public_bytes_raw())
    if bodies:
        signed = Checkpoint.parse(head.note, verifier, origin=ORIGIN)
        assert (signed.size, signed.root) == (len(bodies), tree_head(bodies)), "the signed head is of another log"
        assert Frontier.from_bytes(head.frontier).root() == signed.root
    grown = Frontier()
    for row in tables["checkpoints"]:
        grown = grown.extend(leaves[grown.size : row.size])
        kept = Checkpoint.parse(row.note, verifier, origin=ORIGIN)
        assert (kept.size, kept.root) == (row.size, grown.root()), "a checkpoint is of another log"
    assert {(row.level, row.number): row.hashes for row in tables["log_tiles"]} == _tiles(leaves), "a tile is wrong"


def _tiles(leaves: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    tiles = {}
    level, hashes = 0, list(leaves)
    while hashes:
        rows = [hashes[start : start + 256] for start in range(0, len(hashes), 256)]
        tiles |= {(level, number): b"".join(row) for number, row in enumerate(rows)}
        level, hashes = level + 1, [_root(row) for row in rows if len(row) == 256]
    return tiles


def _root(nodes: Sequence[bytes]) -> bytes:
    while len(nodes) > 1:
        nodes = [
            hashlib.sha256(b"\x01" + left + right).digest() for left, right in zip(nodes[::2], nodes[1::2], strict=True)
        ]
    return nodes[0]


def _counts(tables: Mapping[str, Sequence[Any]]) -> None:
    accounts = {row.device_id: row.account for row in tables["devices"]}
    counted = Counter(
        (accounts[row.device_id], row.window_number) for row in tables["vouchers"] if row.state != "received"
    )
    kept = {(row.account, row.window_number): row.vouchers for row in tables["windows"]}
    assert kept == counted, "a window's count is not that of its vouchers"
