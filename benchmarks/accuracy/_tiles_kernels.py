"""Compiled counting of the distances of all pairs of two blocks of hashes, and of the pairs inside clusters.

Columns lie word by word, so that one word of many hashes is loaded at once. Distances of hashes of one or four words
fit in a byte (256 as 0, put right where near pairs are looked at); those of two neighbouring columns make one number of
16 bits, and a table of such numbers is counted: one increment for two pairs.
"""

from __future__ import annotations

import numpy as np
from numba import config, njit, types
from numba.extending import intrinsic

COLUMNS = 1024
"""Columns met by each row in turn, few enough to stay in the nearest cache."""
FULL = 1 << 31
"""A cell of the table is emptied before it can hold so many."""

compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

if config.DISABLE_JIT:  # type: ignore[attr-defined]

    def ones(word):
        """Bits set in a u64."""
        return np.uint64(int(word).bit_count())

else:

    @intrinsic
    def ones(typing_context, word):
        """Bits set in a u64."""

        def generate(context, builder, signature, arguments):
            return builder.ctpop(arguments[0])

        return types.uint64(types.uint64), generate


@compiled
def near_pairs(row, first, query, columns, away, length, reach, counts, near, found):
    """Append row, column and distance of a row's pairs within reach; near (3, k) i64; returns how many there are now.

    away holds the distances from the column first on, of bytes or wider; a 0 that stands for 256 is counted as that.
    """
    for j in range(length):
        if away[j] <= reach:
            total = np.uint64(0)
            for w in range(columns.shape[0]):
                total += ones(query[w] ^ columns[w, first + j])
            if total != away[j]:
                counts[0] -= 1
                counts[total] += 1
            if total <= reach:
                near[0, found] = row
                near[1, found] = first + j
                near[2, found] = total
                found += 1
    return found


@compiled
def emptied(table, counts):
    """Add a table of neighbours' distances to the counts of distances, and empty it."""
    for both in range(65536):
        if table[both]:
            counts[both & 255] += table[both]
            counts[both >> 8] += table[both]
            table[both] = 0


@compiled
def count_short(rows, columns, shift, reach, at_column, at_row, counts, table, near):
    """Count pairs of hashes of one or four words, from a place on; returns where it stopped and near pairs found.

    rows (n, W) u64, columns (W, m) u64; row i meets the columns over i - shift, all if shift is n or more; counts
    (64 W + 1,) i64; table (65536,) u32, empty; near (3, k) i64, k at least COLUMNS. It stops when near is nearly full,
    with the place to go on from, or at the end with at_column m. A pair within reach is always looked at, so reach is
    at least 0.
    """
    words, width = columns.shape
    away = np.empty(COLUMNS, np.uint8)
    neighbours = away.view(np.uint16)
    found = 0
    since = 0
    while at_column < width:
        last = min(at_column + COLUMNS, width)
        while at_row < rows.shape[0]:
            if found + COLUMNS > near.shape[1]:
                emptied(table, counts)
                return at_column, at_row, found
            first = max(at_column, at_row - shift + 1)
            length = last - first
            if length > 0:
                nearest = np.uint64(255)
                q0 = rows[at_row, 0]
                c0 = columns[0, first:last]
                if words == 4:
                    q1, q2, q3 = rows[at_row, 1], rows[at_row, 2], rows[at_row, 3]
                    c1, c2, c3 = columns[1, first:last], columns[2, first:last], columns[3, first:last]
                    for j in range(length):
                        total = ones(q0 ^ c0[j]) + ones(q1 ^ c1[j]) + ones(q2 ^ c2[j]) + ones(q3 ^ c3[j])
                        away[j] = total
                        nearest = min(nearest, total & np.uint64(255))
                else:
                    for j in range(length):
                        total = ones(q0 ^ c0[j])
                        away[j] = total
                        nearest = min(nearest, total)
                for j in range(length >> 1):
                    table[neighbours[j]] += np.uint32(1)
                if length & 1:
                    counts[away[length - 1]] += 1
                since += length
                if nearest <= reach:
                    found = near_pairs(at_row, first, rows[at_row], columns, away, length, reach, counts, near, found)
            at_row += 1
            if since > FULL:
                emptied(table, counts)
                since = 0
        at_row = 0
        at_column = last
    emptied(table, counts)
    return at_column, at_row, found


@compiled
def count_long(rows, columns, shift, reach, at_column, at_row, counts, near):
    """Count pairs of hashes of any number of words, at most 1023, as count_short does."""
    words, width = columns.shape
    away = np.empty(COLUMNS, np.uint16)
    found = 0
    while at_column < width:
        last = min(at_column + COLUMNS, width)
        while at_row < rows.shape[0]:
            if found + COLUMNS > near.shape[1]:
                return at_column, at_row, found
            first = max(at_column, at_row - shift + 1)
            length = last - first
            if length > 0:
                away[:length] = 0
                for w in range(words):
                    query = rows[at_row, w]
                    column = columns[w, first:last]
                    for j in range(length):
                        away[j] += np.uint16(ones(query ^ column[j]))
                nearest = np.uint64(65535)
                for j in range(length):
                    counts[away[j]] += 1
                    nearest = min(nearest, np.uint64(away[j]))
                if nearest <= reach:
                    found = near_pairs(at_row, first, rows[at_row], columns, away, length, reach, counts, near, found)
            at_row += 1
        at_row = 0
        at_column = last
    return at_column, at_row, found


@compiled
def count_inside(rows, row_order, row_clusters, columns, column_order, column_clusters, shift, counts, sums):
    """Count the pairs inside clusters; add number, distances and squares to sums[cluster], (c, 3) i64, unless c is 0.

    rows (n, W) u64, columns (m, W) u64; the orders sort them by cluster, the clusters are i64 in that order; row i
    meets the columns over i - shift; counts (64 W + 1,) i64.
    """
    start = 0
    for place in range(len(row_order)):
        cluster = row_clusters[place]
        while start < len(column_order) and column_clusters[start] < cluster:
            start += 1
        i = row_order[place]
        at = start
        while at < len(column_order) and column_clusters[at] == cluster:
            j = column_order[at]
            if j > i - shift:
                total = np.uint64(0)
                for w in range(rows.shape[1]):
                    total += ones(rows[i, w] ^ columns[j, w])
                away = np.int64(total)
                counts[away] += 1
                if len(sums):
                    sums[cluster, 0] += 1
                    sums[cluster, 1] += away
                    sums[cluster, 2] += away * away
            at += 1
