"""Compiled Hamming search over packed codes.

Kernels never validate, allocate results or decide; scanner.index.flat does.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_1 = np.uint64(1)
_2 = np.uint64(2)
_4 = np.uint64(4)
_8 = np.uint64(8)
_16 = np.uint64(16)
_32 = np.uint64(32)
_PAIRS = np.uint64(0x5555555555555555)
_FOURS = np.uint64(0x3333333333333333)
_NIBBLES = np.uint64(0x0F0F0F0F0F0F0F0F)
_LAST = np.uint64(0x7F)


@njit(nogil=True, cache=True, inline="always")
def popcount(word):
    """Bits set in a u64. Written out: LLVM knows the pattern and uses the processor's own instruction."""
    word = word - ((word >> _1) & _PAIRS)
    word = (word & _FOURS) + ((word >> _2) & _FOURS)
    word = (word + (word >> _4)) & _NIBBLES
    word = word + (word >> _8)
    word = word + (word >> _16)
    word = word + (word >> _32)
    return np.int64(word & _LAST)


@njit(nogil=True, cache=True)
def distances_into(query, bank, out):
    """out[i] = popcount(query ^ bank[i]); query (W,) u64, bank (n, W) u64, out (n,) u16."""
    words = query.shape[0]
    for row in range(bank.shape[0]):
        distance = np.int64(0)
        for word in range(words):
            distance += popcount(query[word] ^ bank[row, word])
        out[row] = distance


@njit(nogil=True, cache=True)
def within_into(query, bank, radius, first, rows, distances):
    """Write the rows of bank within radius of query, from row first on, until the end or until rows is full.

    query (W,) u64, bank (n, W) u64, rows (capacity,) i64, distances (capacity,) u16; capacity at least 1.
    Returns how many were written and the row to go on from (n when done).
    """
    words = query.shape[0]
    found = 0
    for row in range(first, bank.shape[0]):
        distance = np.int64(0)
        for word in range(words):
            distance += popcount(query[word] ^ bank[row, word])
        if distance <= radius:
            if found == rows.shape[0]:
                return found, row
            rows[found] = row
            distances[found] = distance
            found += 1
    return found, bank.shape[0]
