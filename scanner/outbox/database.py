"""The outbox's SQLite file: its schema, opening it, its transactions.

Rules: there is one writer at a time, over all threads and processes; what is committed outlives a crash; a block that
raises leaves nothing; what is erased is overwritten (secure_delete); what SQLite or the file system raises is a
StorageError that names the file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scanner.errors import StorageError

SCHEMA_VERSION = 2
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


class Database:
    """One SQLite file of mode 600. Safe to use from many threads and processes.

    Args:
        path: the file; made if missing.

    Raises:
        StorageError: the file can't be opened, is no outbox, or is of another version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        with self._reported("open"):
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    @contextmanager
    def transaction(self, what: str) -> Iterator[sqlite3.Connection]:
        """Begin a transaction; it is committed when the block ends.

        Args:
            what: what is done to the outbox, as an error says it.

        Raises:
            StorageError: the database failed, and nothing was changed.
        """
        with self._reported(what), self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def overwrite_log(self) -> None:
        """Take what was erased out of the write-ahead log too; if another process reads just now, a later call does."""
        with self._lock, suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _prepare(self) -> None:
        with self.transaction("open") as db:
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

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"can't {what} the outbox {self._path}: {error}") from error
