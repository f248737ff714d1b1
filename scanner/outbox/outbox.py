"""Vouchers wait here until the intake has signed for them. Crash-safe; time is an argument.

Lifecycle of a voucher::

    state      event                               next       what happens
    ---------  ----------------------------------  ---------  --------------------------------------------------
    (none)     add                                 pending    slot taken and bytes stored in one transaction
    pending    receipt                             delivered  receipt stored, voucher bytes erased
    pending    failure (network, 5xx, 429, …)      pending    tried again after a growing, random delay
    pending    refusal (any other 4xx)             parked     never sent again; kept to be looked at
    pending    older than max_age, or the outbox   dropped    bytes erased, counted
               holds more than max_bytes

Rules: the bytes sent again are the bytes stored, so a voucher is sent twice but never made twice; a slot is used once,
even if its voucher was dropped.
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from scanner.outbox import contents, ledger, queue
from scanner.outbox.database import Database
from scanner.outbox.ledger import Ledger


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """How long and how much the outbox keeps, and how it waits.

    Attributes:
        first_delay, longest_delay: seconds; the n-th wait is drawn evenly from 0 to
            ``min(longest_delay, first_delay * 2**n)`` ("full jitter", M. Brooker, AWS Architecture Blog, 2015).
        max_age: seconds after which a voucher is dropped: longer than two windows.
        max_bytes: the oldest pending vouchers beyond this are dropped, never the newest.
    """

    first_delay: float = 2.0
    longest_delay: float = 3600.0
    max_age: float = 60 * 24 * 3600.0
    max_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Waiting:
    """A voucher to be sent now."""

    window: int
    slot: int
    voucher: bytes
    attempts: int


class Outbox:
    """Vouchers on this device, in one SQLite file of mode 600. Safe to use from many threads and processes.

    Args:
        path: the file; made if missing.
        settings: bounds and delays.
        rng: where jitter comes from.

    Raises:
        StorageError: the file can't be opened, is no outbox, or is of another version.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: OutboxSettings = OutboxSettings(),
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._rng = rng or random.SystemRandom()
        self._database = Database(Path(path))

    @overload
    def add(self, window: int, seal: Callable[[int, int], bytes], now: float) -> int: ...

    @overload
    def add(self, window: int, seal: Callable[[int, int], bytes], now: float, content: bytes) -> int | None: ...

    def add(
        self, window: int, seal: Callable[[int, int], bytes], now: float, content: bytes | None = None
    ) -> int | None:
        """Take the next slot of a window and store the voucher made for it.

        Args:
            window: the window.
            seal: called once with window and slot, returns the voucher.
            now: seconds since 1970.
            content: names what it is about; given again in the same window, nothing is made.

        Returns:
            the slot, or None if the content has its voucher already.

        Raises:
            StorageError: nothing was stored.
        """
        with self._database.transaction("store a voucher in") as db:
            if content is not None and not contents.note_content(db, window, content):
                return None
            (slot,) = db.execute(
                "SELECT coalesce(max(slot) + 1, 0) FROM vouchers WHERE window = ?", (window,)
            ).fetchone()
            _insert(db, window, slot, seal(window, slot), now)
            self._drop_excess(db, now)
        return int(slot)

    def enqueue(self, content: bytes, payload: bytes, now: float) -> bool:
        """Keep a match until its slot comes.

        Args:
            content: names what it is about; one that waits already is not kept twice.
            payload: what the voucher is to tell.
            now: seconds since 1970.

        Returns:
            whether it was new.

        Raises:
            StorageError: nothing was stored.
        """
        with self._database.transaction("store a match in") as db:
            return queue.enqueue(db, content, payload, now)

    def fill(
        self,
        window: int,
        slots: Iterable[int],
        content_of: Callable[[bytes], bytes],
        seal: Callable[[bytes, int], bytes],
        seal_dummy: Callable[[int], bytes],
        now: float,
    ) -> int:
        """Put a voucher into each slot that has none: the match that waits longest, or a dummy.

        Args:
            window: the window.
            slots: those whose time has come.
            content_of: names a payload's content in this window; a content that has its voucher is taken off the queue.
            seal: makes the voucher of a payload for a slot.
            seal_dummy: makes a voucher of nothing for a slot.
            now: seconds since 1970.

        Returns:
            how many were filled.

        Raises:
            StorageError: nothing was stored.
        """
        filled = 0
        with self._database.transaction("store vouchers in") as db:
            taken = {slot for (slot,) in db.execute("SELECT slot FROM vouchers WHERE window = ?", (window,))}
            for slot in slots:
                if slot not in taken:
                    payload = queue.next_match(db, window, content_of)
                    _insert(db, window, slot, seal_dummy(slot) if payload is None else seal(payload, slot), now)
                    taken.add(slot)
                    filled += 1
            self._drop_excess(db, now)
        if filled:
            self._database.overwrite_log()
        return filled

    def waiting_matches(self) -> int:
        """Matches that wait for a slot."""
        with self._database.transaction("read") as db:
            return queue.waiting_matches(db)

    def forget_before(self, window: int) -> None:
        """Erase which contents had vouchers in windows before this one."""
        with self._database.transaction("update") as db:
            contents.forget_before(db, window)
        self._database.overwrite_log()

    def count_scans(self, numbers: Mapping[str, int], now: float) -> None:
        """Count scans by their outcomes, for their day; all of them or, if it fails, none."""
        with self._database.transaction("update") as db:
            ledger.count_scans(db, numbers, now)

    def count_request(self, size: int, now: float) -> None:
        """Count a request to the intake and the bytes of its body, before it is sent."""
        with self._database.transaction("update") as db:
            ledger.count_request(db, size, now)

    def ledger(self) -> Ledger:
        """Everything this device did, for its user."""
        with self._database.transaction("read") as db:
            return ledger.read_ledger(db)

    def due(self, now: float, limit: int = 100) -> list[Waiting]:
        """List pending vouchers whose time has come, longest waiting first."""
        with self._database.transaction("read") as db:
            self._drop_excess(db, now)
            rows = db.execute(
                "SELECT window, slot, voucher, attempts FROM vouchers WHERE state = 'pending' AND due <= ? "
                "ORDER BY due, window, slot LIMIT ?",
                (now, limit),
            ).fetchall()
        return [Waiting(*row) for row in rows]

    def next_due(self) -> float | None:
        """When the next pending voucher is to be sent, in seconds since 1970; None if none waits."""
        with self._database.transaction("read") as db:
            (due,) = db.execute("SELECT min(due) FROM vouchers WHERE state = 'pending'").fetchone()
        return None if due is None else float(due)

    def record_receipt(self, waiting: Waiting, receipt: bytes) -> None:
        """Pending -> delivered. The caller has checked the receipt."""
        self._move(waiting, "state = 'delivered', voucher = NULL, problem = NULL, receipt = ?", receipt)

    def record_failure(self, waiting: Waiting, now: float, problem: str, *, retry_after: float | None = None) -> None:
        """Pending -> pending, to be tried again later.

        Args:
            waiting: the voucher.
            now: seconds since 1970.
            problem: what happened, in a few words.
            retry_after: seconds the intake asked to be left alone; the wait is at least this.
        """
        longest = min(self._settings.longest_delay, self._settings.first_delay * 2 ** min(waiting.attempts, 60))
        delay = max(self._rng.uniform(0, longest), retry_after or 0)
        self._move(waiting, "attempts = attempts + 1, due = ?, problem = ?", now + delay, problem)

    def record_refusal(self, waiting: Waiting, problem: str) -> None:
        """Pending -> parked."""
        self._move(waiting, "state = 'parked', attempts = attempts + 1, problem = ?", problem)

    def receipts(self) -> list[bytes]:
        """Every receipt, in order of window and slot."""
        with self._database.transaction("read") as db:
            rows = db.execute("SELECT receipt FROM vouchers WHERE receipt IS NOT NULL ORDER BY window, slot")
            return [row[0] for row in rows]

    def counts(self) -> dict[str, int]:
        """Number of vouchers in each state that has any."""
        with self._database.transaction("read") as db:
            return dict(db.execute("SELECT state, count(*) FROM vouchers GROUP BY state ORDER BY state"))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drop_excess(self, db: sqlite3.Connection, now: float) -> None:
        db.execute(
            "UPDATE vouchers SET state = 'dropped', voucher = NULL, problem = 'too old' "
            "WHERE state = 'pending' AND added < ?",
            (now - self._settings.max_age,),
        )
        db.execute(
            "UPDATE vouchers SET state = 'dropped', voucher = NULL, problem = 'outbox full' "
            "FROM (SELECT window AS w, slot AS s, "
            "      sum(length(voucher)) OVER (ORDER BY added DESC, window DESC, slot DESC) AS newer "
            "      FROM vouchers WHERE state = 'pending') "
            "WHERE window = w AND slot = s AND newer > ? AND newer > length(voucher)",  # the newest always stays
            (self._settings.max_bytes,),
        )

    def _move(self, waiting: Waiting, assignments: str, *values: object) -> None:
        with self._database.transaction("update") as db:
            db.execute(
                f"UPDATE vouchers SET {assignments} WHERE window = ? AND slot = ? AND state = 'pending'",  # noqa: S608
                (*values, waiting.window, waiting.slot),
            )


def _insert(db: sqlite3.Connection, window: int, slot: int, voucher: bytes, now: float) -> None:
    db.execute(
        "INSERT INTO vouchers (window, slot, state, voucher, added, due, digest, size) "
        "VALUES (?, ?, 'pending', ?, ?, ?, ?, ?)",
        (window, slot, voucher, now, now, hashlib.sha256(voucher).digest(), len(voucher)),
    )
