"""Vouchers wait here until the intake has signed for them. Crash-safe; the time is always an argument.

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
even if its voucher was dropped; what is erased is overwritten (secure_delete).
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scanner.errors import StorageError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x50726573  # "Pres", in SQLite's file header
_WAL_TRIES = 100
_WAL_PAUSE = 0.05

_SCHEMA = f"""
CREATE TABLE vouchers (
    window INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'parked', 'dropped')),
    voucher BLOB,
    receipt BLOB,
    added REAL NOT NULL,
    due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    problem TEXT,
    PRIMARY KEY (window, slot)
) STRICT;
CREATE INDEX vouchers_due ON vouchers (due) WHERE state = 'pending';
PRAGMA user_version = {SCHEMA_VERSION};
PRAGMA application_id = {APPLICATION_ID};
"""


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
        self._path = Path(path)
        self._lock = threading.Lock()
        with self._reported("open"):
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def add(self, window: int, seal: Callable[[int, int], bytes], now: float) -> int:
        """Take the next slot of a window and store the voucher made for it.

        Args:
            window: the window.
            seal: called once with window and slot, returns the voucher.
            now: seconds since 1970.

        Returns:
            the slot.

        Raises:
            StorageError: nothing was stored.
        """
        with self._transaction("store a voucher in") as db:
            (slot,) = db.execute(
                "SELECT coalesce(max(slot) + 1, 0) FROM vouchers WHERE window = ?", (window,)
            ).fetchone()
            db.execute(
                "INSERT INTO vouchers (window, slot, state, voucher, added, due) VALUES (?, ?, 'pending', ?, ?, ?)",
                (window, slot, seal(window, slot), now, now),
            )
            self._drop_excess(db, now)
        return int(slot)

    def due(self, now: float, limit: int = 100) -> list[Waiting]:
        """List pending vouchers whose time has come, longest waiting first."""
        with self._transaction("read") as db:
            self._drop_excess(db, now)
            rows = db.execute(
                "SELECT window, slot, voucher, attempts FROM vouchers WHERE state = 'pending' AND due <= ? "
                "ORDER BY due, window, slot LIMIT ?",
                (now, limit),
            ).fetchall()
        return [Waiting(*row) for row in rows]

    def next_due(self) -> float | None:
        """When the next pending voucher is to be sent, in seconds since 1970; None if none waits."""
        with self._transaction("read") as db:
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
        with self._transaction("read") as db:
            rows = db.execute("SELECT receipt FROM vouchers WHERE receipt IS NOT NULL ORDER BY window, slot")
            return [row[0] for row in rows]

    def counts(self) -> dict[str, int]:
        """Number of vouchers in each state that has any."""
        with self._transaction("read") as db:
            return dict(db.execute("SELECT state, count(*) FROM vouchers GROUP BY state ORDER BY state"))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self) -> None:
        with self._transaction("open") as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            (owner,) = db.execute("PRAGMA application_id").fetchone()
            (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if (version, owner, tables) == (0, 0, 0):
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    db.execute(statement)
            elif owner != APPLICATION_ID:
                raise StorageError(f"{self._path} is a database of something else, not an outbox")
            elif version != SCHEMA_VERSION:
                raise StorageError(
                    f"{self._path} is an outbox of version {version}; this release reads {SCHEMA_VERSION}"
                )
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA secure_delete = ON")
        self._use_write_ahead_log()

    def _use_write_ahead_log(self) -> None:
        """Switch to WAL, which SQLite refuses without waiting while another process opens the file."""
        for _ in range(_WAL_TRIES):
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                time.sleep(_WAL_PAUSE)
            else:
                return
        self._db.execute("PRAGMA journal_mode = WAL")

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
        with self._transaction("update") as db:
            db.execute(
                f"UPDATE vouchers SET {assignments} WHERE window = ? AND slot = ? AND state = 'pending'",  # noqa: S608
                (*values, waiting.window, waiting.slot),
            )

    @contextmanager
    def _transaction(self, what: str) -> Iterator[sqlite3.Connection]:
        with self._reported(what), self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"can't {what} the outbox {self._path}: {error}") from error
