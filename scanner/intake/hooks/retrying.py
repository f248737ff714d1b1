"""When a webhook that failed is sent again. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

SPREAD = 0.2


def next_attempt(
    schedule: Sequence[float], attempts: int, at: int, retry_after: float | None, random: float
) -> int | None:
    """The time of the next attempt.

    Args:
        schedule: seconds to wait before each attempt.
        attempts: how many were made.
        at: when the last one ended, in seconds since 1970.
        retry_after: seconds the receiver asked for; it is never sent earlier.
        random: from 0 to 1; spreads what failed together over a fifth of the wait more.

    Returns:
        seconds since 1970, or None if no attempt is left.
    """
    if attempts >= len(schedule):
        return None
    wait = schedule[attempts] * (1 + SPREAD * random)
    return at + math.ceil(max(wait, retry_after or 0.0))
