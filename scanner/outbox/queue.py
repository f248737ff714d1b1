"""With cover, matches wait in a queue of their own, unsealed, until their slot comes (scanner.vouchers.schedule)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from scanner.outbox.contents import note_content


def enqueue(db: sqlite3.Connection, content: bytes, payload: bytes, now: float) -> bool:
    """Put a match at the end of the queue; False if its content waits already."""
    kept = db.execute(
        "INSERT INTO queue (content, payload, added) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (content, payload, now),
    )
    return kept.rowcount == 1


def next_match(db: sqlite3.Connection, window: int, content_of: Callable[[bytes], bytes]) -> bytes | None:
    """Take the match that waits longest off the queue, and those before it whose content has its voucher."""
    while row := db.execute("SELECT position, payload FROM queue ORDER BY position LIMIT 1").fetchone():
        position, payload = row
        db.execute("DELETE FROM queue WHERE position = ?", (position,))
        if note_content(db, window, content_of(payload)):
            return bytes(payload)
    return None


def waiting_matches(db: sqlite3.Connection) -> int:
    """Matches that wait for a slot."""
    (number,) = db.execute("SELECT count(*) FROM queue").fetchone()
    return int(number)
