"""Compiled search over tables of half the size: eight tables of 32-bit pairs instead of sixteen of 16-bit chunks.

Exact for the same reason, with plain pigeonholes: the eight allowances a[t] sum to radius + 1, so in some pair the
hashes differ in fewer than a[t] bits. Rows stand in buckets by a pair's top p bits; buckets fewer than a[t] bits away
are read, and the 8-bit sketch, the pair's next bits, leaves those that together are fewer than a[t] bits away. At
radius 31 this reads buckets up to 3 bits away, where the larger tables read 1: half the memory for ten to twenty times
the time.

Bounds and clamps are those of scanner.index._kernels. Only hashes of four words.
"""

from __future__ import annotations

import numpy as np

from scanner.index._build_kernels import write_id
from scanner.index._intrinsics import (
    SKETCHES,
    bytes_within,
    compiled,
    lowest_bit,
    number_at,
    part,
    pointer,
    popcount,
    prefetch,
    put,
    scratch,
    word,
    words_at,
)
from scanner.index._pieces import (
    AT_IDS,
    AT_OFFSETS,
    AT_SKETCHES,
    CANDIDATES,
    COUNT,
    CROWDED,
    FOUR_WORDS,
    FULL,
    HEADER_BYTES,
    KEY_BITS,
    LARGEST_ALLOWANCE,
    PROBES,
    STACKED,
    allowance,
    distance,
    id_bytes,
    mask_of_first,
    masks_below,
    most_checked,
    packed,
    too_many,
)
from scanner.index._scan_kernels import scanned, unpacked

PAIRS = 8
PAIR_BITS = 32
SKETCH_BITS = 8
LARGEST_RADIUS = PAIRS * LARGEST_ALLOWANCE - 1

_BLOCK = 512
_AHEAD = 64  # bytes of sketches asked for at once
_U16, _U32, _U64, _I64, _U8 = np.uint16, np.uint32, np.uint64, np.int64, np.uint8
_1 = np.uint64(1)
_new_probes = scratch(np.uint32, PROBES + 32)
_new_candidates = scratch(np.uint32, CANDIDATES + 32)
_new_block = scratch(np.uint32, _BLOCK + 32)
_new_hits = scratch(np.uint64, STACKED)
_NO_ROOM = np.empty(0, np.uint64)


@part
def pair_of(words, at, pair):
    """Thirty-two bits of the hash whose first word is words[at]; the first sixteen on top."""
    both = word(words, at + (pair >> 1)) >> np.uint64((pair & 1) << 5)
    return np.int64(((both & np.uint64(0xFFFF)) << np.uint64(16)) | ((both >> np.uint64(16)) & np.uint64(0xFFFF)))


@part
def seen_before(query, rows, row, pair, radius, unread):
    """Whether the row is a candidate in an earlier pair; unread is the bits of a pair beyond key and sketch."""
    for t in range(pair):
        difference = pair_of(query, 0, t) ^ pair_of(rows, row * 4, t)
        if popcount(np.uint64(difference >> unread)) < allowance(radius, PAIRS, t):
            return True
    return False


@compiled
def check(at, query, radius, unread, pair, count, rows, ids, places, masks, total, hits, capacity, found):
    """Verify the candidates of one pair; returns the number of hits, or FULL if they do not fit."""
    block = _new_block()
    size_of_id = id_bytes(count)
    done = 0
    while done < total:
        size = 0
        while done < total and size + SKETCHES <= _BLOCK:
            mask = np.uint64(masks[done])
            place = np.int64(places[done])
            done += 1
            while mask:
                entry = place + lowest_bit(mask)
                mask &= mask - _1
                prefetch(ids, size_of_id * entry)
                put(block, size, entry)
                size += 1
        for j in range(size):
            row = min(number_at(ids, size_of_id * np.int64(block[j]), size_of_id), count - 1)
            put(block, j, row)
            prefetch(rows, row * 4)
        for j in range(size):
            row = np.int64(block[j])
            away = distance(query, rows, row)
            if away <= radius and not seen_before(at, rows, row, pair, radius, unread):
                if found == capacity:
                    return FULL
                put(hits, found, packed(row, away))
                found += 1
    return found


@compiled
def search(at, query, radius, rows, header, tables, hits, capacity):
    """Find every row within the radius; returns the number of hits, FULL if they do not fit, or CROWDED."""
    count = header[COUNT]
    bits = header[KEY_BITS]
    if radius > LARGEST_RADIUS:
        return CROWDED
    patterns = pointer(tables, HEADER_BYTES, _U16)
    offsets = pointer(tables, header[AT_OFFSETS], _U32)
    sketches = pointer(tables, header[AT_SKETCHES], _U8)
    ids = pointer(tables, header[AT_IDS], _U8)
    entries = PAIRS * count
    unread = PAIR_BITS - bits - SKETCH_BITS
    starts = _new_probes()
    lengths = _new_probes()
    places = _new_candidates()
    masks = _new_candidates()
    hit_count = 0
    read = 0
    checked = 0
    for pair in range(PAIRS):
        own = allowance(radius, PAIRS, pair)
        probes = masks_below(bits, own)
        value = pair_of(at, 0, pair)
        key = (value >> (PAIR_BITS - bits)) + (pair << bits)
        sketch = np.uint64((value >> unread) & 0xFF)
        for j in range(probes):
            bucket = key ^ np.int64(patterns[j])
            put(starts, j, bucket)
            prefetch(offsets, bucket)
        for j in range(probes):
            bucket = np.int64(starts[j])
            end = min(np.int64(offsets[bucket + 1]), entries)
            start = min(np.int64(offsets[bucket]), end)
            put(starts, j, start)
            put(lengths, j, end - start)
            read += end - start
            for place in range(start, min(end, start + 512), _AHEAD):
                prefetch(sketches, place)
            prefetch(sketches, end)
        if read > 4 * count + 65536:
            return CROWDED
        found = 0
        probe = 0
        limit = own - 1
        for weight in range(own):
            last_probe = masks_below(bits, weight + 1)
            while probe < last_probe:
                place = np.int64(starts[probe])
                left = np.int64(lengths[probe])
                probe += 1
                while True:
                    near = bytes_within(sketches, place, sketch, limit) & mask_of_first(left)
                    put(places, found, place)
                    put(masks, found, near)
                    found += np.int64(near != np.uint64(0))
                    if found >= CANDIDATES:
                        for k in range(found):
                            checked += popcount(np.uint64(masks[k]))
                        if too_many(checked, pair, PAIRS, count):
                            return CROWDED
                        hit_count = check(
                            at, query, radius, unread, pair, count, rows, ids, places, masks, found,
                            hits, capacity, hit_count,
                        )  # fmt: skip
                        if hit_count < 0:
                            return hit_count
                        found = 0
                    if left <= SKETCHES:
                        break
                    place += SKETCHES
                    left -= SKETCHES
            limit -= 1
        hit_count = check(
            at, query, radius, unread, pair, count, rows, ids, places, masks, found, hits, capacity, hit_count
        )
        if hit_count < 0:
            return hit_count
    return hit_count


@compiled
def search_one(code, radius, most, rows, tables):
    """The same as scanner.index._kernels.search_one_256, with these tables."""
    at = pointer(code, 0, _U64)
    query = words_at(at, 0, FOUR_WORDS)
    base = pointer(rows, 0, _U64)
    header = pointer(tables, 0, _I64)
    stacked = _new_hits()
    count = header[COUNT]
    capacity = min(most, STACKED)
    room = _NO_ROOM
    hits = stacked
    while True:  # once, or twice if there are more hits than the stack holds; one call, so that it is compiled once
        found = search(at, query, radius, base, header, tables, hits, capacity)
        if found != FULL or capacity == most or len(room):
            break
        capacity = min(most, most_checked(count))
        room = np.empty(capacity, np.uint64)
        hits = pointer(room, 0, _U64)
    if found == CROWDED or (found == FULL and capacity < most):
        return scanned(query, radius, most, rows, count)
    if found == 0:
        return None
    size = capacity if found == FULL else found
    return unpacked(room, size) if len(room) else unpacked(stacked, size)


@compiled
def build_pair_into(rows, count, pair, bits, offsets, sketches, ids):
    """Fill one pair's part of the tables of a block.

    rows (count * 32,) u8; offsets (8 * 2^bits + 1,) u32, the last one the caller's to write; sketches
    (8 count + padding,) u8; ids u8, as many bytes each as id_bytes says.
    """
    base = pointer(rows, 0, np.uint64)
    buckets = 1 << bits
    places = np.zeros(buckets + 1, np.int64)
    for row in range(count):
        places[(pair_of(base, row * 4, pair) >> (PAIR_BITS - bits)) + 1] += 1
    for bucket in range(buckets):
        places[bucket + 1] += places[bucket]
    for bucket in range(buckets):
        places[bucket] += pair * count
        offsets[pair * buckets + bucket] = places[bucket]
    for row in range(count):
        value = pair_of(base, row * 4, pair)
        bucket = value >> (PAIR_BITS - bits)
        place = places[bucket]
        places[bucket] = place + 1
        sketches[place] = (value >> (PAIR_BITS - bits - SKETCH_BITS)) & 0xFF
        write_id(ids, place, row, id_bytes(count))
