"""Vouchers wait here until the intake has signed for them; the user's record of it. Crash-safe; time is an argument.

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
even if its voucher was dropped; a content gets one voucher a window; what is erased is overwritten (secure_delete).

With cover, matches wait in a queue of their own, unsealed, until their slot comes (scanner.vouchers.schedule).
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, overload

from scanner.errors import StorageError

SCHEMA_VERSION = 2
DAY = 24 * 3600
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
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (window, slot)
) STRICT;
CREATE TABLE contents (
    window INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (window, content)
) STRICT, WITHOUT ROWID;
CREATE TABLE queue (
    position INTEGER PRIMARY KEY,
    content BLOB NOT NULL UNIQUE,
    payload BLOB NOT NULL,
    added REAL NOT NULL
) STRICT;
CREATE TABLE scans (
    day INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (day, outcome)
) STRICT, WITHOUT ROWID;
CREATE TABLE traffic (
    day INTEGER PRIMARY KEY,
    requests INTEGER NOT NULL,
    bytes INTEGER NOT NULL
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
        with self._transaction("store a voucher in") as db:
            if content is not None and not _note_content(db, window, content):
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
        with self._transaction("store a match in") as db:
            kept = db.execute(
                "INSERT INTO queue (content, payload, added) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (content, payload, now),
            )
            return kept.rowcount == 1

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
        with self._transaction("store vouchers in") as db:
            taken = {slot for (slot,) in db.execute("SELECT slot FROM vouchers WHERE window = ?", (window,))}
            for slot in slots:
                if slot not in taken:
                    payload = _next_match(db, window, content_of)
                    _insert(db, window, slot, seal_dummy(slot) if payload is None else seal(payload, slot), now)
                    taken.add(slot)
                    filled += 1
            self._drop_excess(db, now)
        if filled:
            self._overwrite_log()
        return filled

    def waiting_matches(self) -> int:
        """Matches that wait for a slot."""
        with self._transaction("read") as db:
            (number,) = db.execute("SELECT count(*) FROM queue").fetchone()
        return int(number)

    def forget_before(self, window: int) -> None:
        """Erase which contents had vouchers in windows before this one."""
        with self._transaction("update") as db:
            db.execute("DELETE FROM contents WHERE window < ?", (window,))
        self._overwrite_log()

    def count_scans(self, numbers: Mapping[str, int], now: float) -> None:
        """Count scans by their outcomes, for their day; all of them or, if it fails, none."""
        with self._transaction("update") as db:
            db.executemany(
                "INSERT INTO scans VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET number = number + excluded.number",
                [(int(now) // DAY, outcome, number) for outcome, number in numbers.items()],
            )

    def count_request(self, size: int, now: float) -> None:
        """Count a request to the intake and the bytes of its body, before it is sent."""
        with self._transaction("update") as db:
            db.execute(
                "INSERT INTO traffic VALUES (?, 1, ?) "
                "ON CONFLICT DO UPDATE SET requests = requests + 1, bytes = bytes + excluded.bytes",
                (int(now) // DAY, size),
            )

    def ledger(self) -> Ledger:
        """Everything this device did, for its user."""
        with self._transaction("read") as db:
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

    def _overwrite_log(self) -> None:
        """Take what was erased out of the write-ahead log too; if another process reads just now, a later call does."""
        with self._lock, suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

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


def _insert(db: sqlite3.Connection, window: int, slot: int, voucher: bytes, now: float) -> None:
    db.execute(
        "INSERT INTO vouchers (window, slot, state, voucher, added, due, digest, size) "
        "VALUES (?, ?, 'pending', ?, ?, ?, ?, ?)",
        (window, slot, voucher, now, now, hashlib.sha256(voucher).digest(), len(voucher)),
    )


def _note_content(db: sqlite3.Connection, window: int, content: bytes) -> bool:
    """Note that a content gets its voucher in a window; False if it has one."""
    noted = db.execute("INSERT INTO contents VALUES (?, ?) ON CONFLICT DO NOTHING", (window, content))
    return noted.rowcount == 1


def _next_match(db: sqlite3.Connection, window: int, content_of: Callable[[bytes], bytes]) -> bytes | None:
    """Take the match that waits longest off the queue, and those before it whose content has its voucher."""
    while row := db.execute("SELECT position, payload FROM queue ORDER BY position LIMIT 1").fetchone():
        position, payload = row
        db.execute("DELETE FROM queue WHERE position = ?", (position,))
        if _note_content(db, window, content_of(payload)):
            return bytes(payload)
    return None
