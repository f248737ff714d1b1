"""Compiled scans: looking at every row for one query."""

from __future__ import annotations

import numpy as np

from scanner.index._intrinsics import (
    ROWS,
    compiled,
    lowest_bit,
    pointer,
    put,
    rows_within,
    scratch,
    words_at,
)
from scanner.index._pieces import FOUR_WORDS, ONE_WORD, STACKED, distance, packed
from scanner.index.hits import DISTANCE_SHIFT, FEW, ROW_MASK

_U64 = np.uint64
_1 = np.uint64(1)
_new_hits = scratch(np.uint64, STACKED + ROWS)


@compiled
def scan_from(query, radius, begin, end, rows, hits, found, enough):
    """Look at the rows from begin up to end in turn, until enough are found.

    found hits are there already; returns the row at which it stopped and the number of hits, which may be up to ROWS
    more than enough.
    """
    row = begin
    while row + ROWS <= end and found < enough:
        near = rows_within(rows, row, query, radius)
        while near:
            one = row + lowest_bit(near)
            near &= near - _1
            put(hits, found, packed(one, distance(query, rows, one)))
            found += 1
        row += ROWS
    while row < end and found < enough:
        away = distance(query, rows, row)
        if away <= radius:
            put(hits, found, packed(row, away))
            found += 1
        row += 1
    return row, found


@compiled
def unpacked(hits, count):
    """Rows and distances of packed hits, (2, count) i64; few ones by ascending row, many in any order."""
    found = np.empty((2, count), np.int64)
    for i in range(count):
        row = np.int64(hits[i] & np.uint64(ROW_MASK))
        away = np.int64(hits[i] >> np.uint64(DISTANCE_SHIFT))
        j = i
        if count <= FEW:
            while j > 0 and found[0, j - 1] > row:
                found[0, j] = found[0, j - 1]
                found[1, j] = found[1, j - 1]
                j -= 1
        found[0, j] = row
        found[1, j] = away
    return found


@compiled
def scanned(query, radius, most, rows, count):
    """Rows and distances within the radius by looking at every row, as (2, k) i64, or None if there are none.

    k is at most most: the first ones.
    """
    base = pointer(rows, 0, _U64)
    stacked = _new_hits()
    row, found = scan_from(query, radius, 0, count, base, stacked, 0, min(most, STACKED))
    if found == 0:
        return None
    if row == count or found >= most:
        return unpacked(stacked, min(found, most))
    room = np.empty(8 * STACKED, np.uint64)
    for i in range(found):
        room[i] = stacked[i]
    while True:
        row, found = scan_from(
            query, radius, row, count, base, pointer(room, 0, _U64), found, min(most, len(room) - ROWS)
        )
        if row == count or found >= most:
            return unpacked(room, min(found, most))
        larger = np.empty(8 * len(room), np.uint64)
        for i in range(found):  # compiles in a tenth of the time that slices take
            larger[i] = room[i]
        room = larger


@compiled
def scan_one_256(code, radius, most, rows, count):
    """Look at every row for a code of 32 bytes; rows are u8."""
    return scanned(words_at(pointer(code, 0, _U64), 0, FOUR_WORDS), radius, most, rows, count)


@compiled
def scan_one_64(code, radius, most, rows, count):
    """Look at every row for a code of 8 bytes; rows are u8."""
    return scanned(words_at(pointer(code, 0, _U64), 0, ONE_WORD), radius, most, rows, count)
