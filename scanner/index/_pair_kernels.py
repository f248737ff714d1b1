"""Compiled counting of distances: one query against a bank, and all pairs of two banks."""

from __future__ import annotations

import numpy as np

from scanner.index._intrinsics import ROWS, compiled, pointer, popcount, put, row_distances_into, scratch, words_at
from scanner.index._pieces import FOUR_WORDS, ONE_WORD, distance

_ROWS_AT_ONCE = 1024
_HISTOGRAMS = 4  # taken in turn, so that one count need not wait for the other
_new_lanes = scratch(np.uint64, ROWS)


@compiled
def distances_into(query, bank, out):
    """out[i] = popcount(query ^ bank[i]); query (W,) u64, bank (n, W) u64, out (n,) u16."""
    words = query.shape[0]
    for row in range(bank.shape[0]):
        total = np.int64(0)
        for w in range(words):
            total += popcount(query[w] ^ bank[row, w])
        out[row] = total


@compiled
def count_pairs(like, left, left_count, right, right_count, same, counts):
    """Add to counts[d] the pairs (i, j) at distance d, with i < j where both banks are the same.

    left and right u8; counts (4, 64 W + 1) i64, to be summed over its first axis.
    """
    words = len(like)
    queries = pointer(left, 0, np.uint64)
    rows = pointer(right, 0, np.uint64)
    lanes = _new_lanes()
    width = counts.shape[1]
    tables = pointer(counts, 0, np.int64)
    for begin in range(0, right_count, _ROWS_AT_ONCE):
        end = min(begin + _ROWS_AT_ONCE, right_count)
        for i in range(min(left_count, end) if same else left_count):
            query = words_at(queries, i * words, like)
            j = max(begin, i + 1) if same else begin
            while j + ROWS <= end:
                row_distances_into(rows, j, query, lanes)
                for lane in range(ROWS):
                    place = (lane & (_HISTOGRAMS - 1)) * width + np.int64(lanes[lane])
                    put(tables, place, tables[place] + 1)
                j += ROWS
            while j < end:
                place = distance(query, rows, j)
                put(tables, place, tables[place] + 1)
                j += 1
    return counts.size  # counts is used to the end, so that it lives as long as the pointer


@compiled
def count_pairs_256(left, left_count, right, right_count, same, counts):
    """The above for codes of 32 bytes."""
    return count_pairs(FOUR_WORDS, left, left_count, right, right_count, same, counts)


@compiled
def count_pairs_64(left, left_count, right, right_count, same, counts):
    """The above for codes of 8 bytes."""
    return count_pairs(ONE_WORD, left, left_count, right, right_count, same, counts)
