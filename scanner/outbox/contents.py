"""Which contents have their voucher.

Rule: a content gets one voucher a window.
"""

from __future__ import annotations

import sqlite3


def note_content(db: sqlite3.Connection, window: int, content: bytes) -> bool:
    """Note that a content gets its voucher in a window; False if it has one."""
    noted = db.execute("INSERT INTO contents VALUES (?, ?) ON CONFLICT DO NOTHING", (window, content))
    return noted.rowcount == 1


def forget_before(db: sqlite3.Connection, window: int) -> None:
    """Erase which contents had vouchers in windows before this one."""
    db.execute("DELETE FROM contents WHERE window < ?", (window,))
