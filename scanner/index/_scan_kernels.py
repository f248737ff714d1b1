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
_new_hits = scratch(np.uint64, STACKED)


@compiled
def scan_from(query, radius, begin, end, rows, hits, capacity):
    """Look at the rows from begin up to end in turn; returns the number of hits, or -1 if they do not fit."""
    found = 0
    row = begin
    while row + ROWS <= end:
        near = rows_within(rows, row, query, radius)
        while near:
            one = row + lowest_bit(near)
            near &= near - _1
            if found == capacity:
                return -1
            put(hits, found, packed(one, distance(query, rows, one)))
            found += 1
        row += ROWS
    while row < end:
        away = distance(query, rows, row)
        if away <= radius:
            if found == capacity:
                return -1
            put(hits, found, packed(row, away))
            found += 1
        row += 1
    return found


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
def scanned(query, radius, rows, count):
    """Rows and distances within the radius by looking at every row, as (2, k) i64, or None if there are none."""
    base = pointer(rows, 0, _U64)
    stacked = _new_hits()
    found = scan_from(query, radius, 0, count, base, stacked, STACKED)
    if found == 0:
        return None
    if found > 0:
        return unpacked(stacked, found)
    capacity = STACKED
    while True:
        capacity *= 8
        room = np.empty(capacity, np.uint64)
        found = scan_from(query, radius, 0, count, base, pointer(room, 0, _U64), capacity)
        if found >= 0:
            return unpacked(room, found)


@compiled
def found_or_scanned(hits, found, query, radius, rows, count):
    """What a search of tables found, as scanned gives it; a scan if the search gave up or its hits did not fit.

    Too many hits for the stack, or too little gained by the tables: there are many rows to be read either way.
    """
    if found == 0:
        return None
    if found > 0:
        return unpacked(hits, found)
    return scanned(query, radius, rows, count)


@compiled
def scan_one_256(code, radius, rows, count):
    """Look at every row for a code of 32 bytes; rows are u8."""
    return scanned(words_at(pointer(code, 0, _U64), 0, FOUR_WORDS), radius, rows, count)


@compiled
def scan_one_64(code, radius, rows, count):
    """Look at every row for a code of 8 bytes; rows are u8."""
    return scanned(words_at(pointer(code, 0, _U64), 0, ONE_WORD), radius, rows, count)
