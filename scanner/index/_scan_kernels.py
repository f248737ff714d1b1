"""Compiled distances from one query to every row of a bank."""

from __future__ import annotations

import numpy as np

from scanner.index._intrinsics import compiled, popcount


@compiled
def distances_into(query, bank, out):
    """out[i] = popcount(query ^ bank[i]); query (W,) u64, bank (n, W) u64, out (n,) u16."""
    words = query.shape[0]
    for row in range(bank.shape[0]):
        distance = np.int64(0)
        for word in range(words):
            distance += popcount(query[word] ^ bank[row, word])
        out[row] = distance
