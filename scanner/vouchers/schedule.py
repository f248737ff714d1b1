"""When a device that sends cover sends: one voucher in each of 64 slots of a window, whatever was scanned. Pure.

Lifecycle of a slot::

    before its time   nothing
    at its time       filled once: with the match that waits longest, or with a dummy
    device was off    filled at the next occasion in the same window; what was missed of past windows stays empty

The times of a device are shifted by a part of a slot that its id gives, so that not all devices send at once.
"""

from __future__ import annotations

import hashlib

from scanner.vouchers.header import WINDOW_SECONDS, window_at
from scanner.vouchers.terms import SLOTS_WITH_COVER

SLOT_SECONDS = WINDOW_SECONDS // SLOTS_WITH_COVER


def slots_due(device_id: bytes, now: float) -> tuple[int, range]:
    """The window a moment, in seconds since 1970, falls in, and its slots whose time has come."""
    window = window_at(now)
    shift = int.from_bytes(hashlib.sha256(b"prescan/v1/slot" + device_id).digest()[:4]) % SLOT_SECONDS
    past = int(now) - window * WINDOW_SECONDS - shift
    return window, range(min(SLOTS_WITH_COVER, max(0, past // SLOT_SECONDS + 1)))
