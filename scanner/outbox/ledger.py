"""The user's record of what a device did: scans by their outcomes, bytes that left, vouchers."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

DAY = 24 * 3600


class DayCount(NamedTuple):
    """Scans of one day, in days since 1970, that had one outcome."""

    day: int
    outcome: str
    number: int


class DayTraffic(NamedTuple):
    """What was sent to the intake on one day: requests, and bytes of their bodies."""

    day: int
    requests: int
    bytes: int


class Kept(NamedTuple):
    """A voucher as it is remembered: its bytes may be erased, its SHA-256 and its receipt stay."""

    window: int
    slot: int
    state: str
    digest: bytes
    size: int
    receipt: bytes | None
    problem: str | None


class Ledger(NamedTuple):
    """Everything a device did: outcomes of scans, traffic, vouchers."""

    scans: tuple[DayCount, ...]
    traffic: tuple[DayTraffic, ...]
    vouchers: tuple[Kept, ...]


def count_scans(db: sqlite3.Connection, numbers: Mapping[str, int], now: float) -> None:
    """Count scans by their outcomes, for their day."""
    db.executemany(
        "INSERT INTO scans VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET number = number + excluded.number",
        [(int(now) // DAY, outcome, number) for outcome, number in numbers.items()],
    )


def count_request(db: sqlite3.Connection, size: int, now: float) -> None:
    """Count a request to the intake and the bytes of its body, for its day."""
    db.execute(
        "INSERT INTO traffic VALUES (?, 1, ?) "
        "ON CONFLICT DO UPDATE SET requests = requests + 1, bytes = bytes + excluded.bytes",
        (int(now) // DAY, size),
    )


def read_ledger(db: sqlite3.Connection) -> Ledger:
    """Everything that was counted and every voucher, in order of day and of window and slot."""
    return Ledger(
        tuple(DayCount(*row) for row in db.execute("SELECT day, outcome, number FROM scans ORDER BY 1, 2")),
        tuple(DayTraffic(*row) for row in db.execute("SELECT day, requests, bytes FROM traffic ORDER BY 1")),
        tuple(
            Kept(*row)
            for row in db.execute(
                "SELECT window, slot, state, digest, size, receipt, problem FROM vouchers ORDER BY 1, 2"
            )
        ),
    )
